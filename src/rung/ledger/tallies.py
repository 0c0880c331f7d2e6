"""Turns decisions, as they are recorded, into sums by the hour. Knows nothing about what the sums are shown as."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import floor, log2
from typing import Any

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite

from rung.core import Outcome
from rung.ledger.nouns import Latency, Tally
from rung.ledger.rows import moment, plain
from rung.ledger.schema import hours, latencies

HOUR = 3_600_000_000  # microseconds
FINENESS = 8  # buckets of seconds in a factor of two: a quantile read from them is at most 5 % off
_SHORTEST = 1e-6

_INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def add(connection: Connection, rows: Sequence[Mapping[Any, Any]]) -> None:
    """Count rows of `decisions`, in the caller's transaction."""
    sums: dict[tuple[Any, ...], list[float]] = {}
    times: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        hour = row["at"] // HOUR
        found = sums.setdefault((row["workload"], hour, row["release"], row["tier"], row["outcome"]), [0, 0.0, 0.0])
        for place, value in enumerate((1, row["cost"], row["seconds"])):
            found[place] += value
        times[row["workload"], hour, floor(FINENESS * log2(max(row["seconds"], _SHORTEST)))] += 1
    # In order: two gateways that add to the same rows must not each hold what the other waits for.
    _raise(connection, hours, [(*key, *sums[key]) for key in sorted(sums)])
    _raise(connection, latencies, [(*key, times[key]) for key in sorted(times)])


def tallies(connection: Connection, workload: str, since: int, until: int, step: int = 1) -> list[Tally]:
    """The sums of the hours from `since` to before `until` (microseconds), so many hours at a time, oldest first."""
    c = hours.c
    first = (c.hour - c.hour % step).label("first")
    query = select(first, c.release, c.tier, c.outcome, func.sum(c.decisions), func.sum(c.cost), func.sum(c.seconds))
    query = query.where(c.workload == plain(workload), c.hour >= since // HOUR, c.hour * HOUR < until)
    found = connection.execute(query.group_by(first, c.release, c.tier, c.outcome).order_by(first))
    return [
        Tally(moment(hour * HOUR), release, tier, Outcome(outcome), int(count), cost, seconds)
        for hour, release, tier, outcome, count, cost, seconds in found
    ]


def times(connection: Connection, workload: str, since: int, until: int, step: int = 1) -> list[Latency]:
    """How long the decisions of these hours took, so many hours at a time, oldest first, shortest first."""
    c = latencies.c
    first = (c.hour - c.hour % step).label("first")
    query = select(first, c.bucket, func.sum(c.decisions)).group_by(first, c.bucket).order_by(first, c.bucket)
    query = query.where(c.workload == plain(workload), c.hour >= since // HOUR, c.hour * HOUR < until)
    return [
        Latency(moment(hour * HOUR), 2 ** ((bucket + 0.5) / FINENESS), int(count))
        for hour, bucket, count in connection.execute(query)
    ]


def _raise(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add each row's sums to those of the same key."""
    if not rows:
        return
    statement = _INSERT[connection.dialect.name](table)
    keys = [column.name for column in table.primary_key]
    added = {column.name: column + statement.excluded[column.name] for column in table.c if column.name not in keys}
    names = [column.name for column in table.c]
    connection.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=added), [dict(zip(names, row, strict=True)) for row in rows]
    )
