"""Turns what somebody looks for into the decisions that fit, newest first, as far back as a page's time reaches; it says how far
that is. Knows nothing about pages.

Words are looked for in the texts themselves: an index of them would have to be kept with every decision, for few who look.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, literal, select, true, tuple_
from sqlalchemy import Row as Fetched

from rung.core import Outcome
from rung.ledger.nouns import Record
from rung.ledger.queries import locate
from rung.ledger.rows import decode, micros, moment, plain
from rung.ledger.schema import decisions

SECONDS = 0.04  # that a page spends on looking: the whole of it has 0.1
FIRST, MOST = 100, 4_000  # rows read at once; the first are looked at however long it takes
QUICK = 0.01  # seconds within which they come where more may be read at once

_BEGIN, _END = b'"text":', b',"context":'  # around a body's text, in which neither can stand: it has its quotes escaped

_c = decisions.c


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; whatever is given must hold. `words` are parts of the text in upper or lower case, all of them; a
    confidence lies from `least` to `most` (0..1), a time from `since` to before `until`, both timezone-aware."""

    words: tuple[str, ...] = ()
    outcome: Outcome | None = None
    tier: str | None = None
    release: str | None = None
    asked_by: str | None = None
    least: float | None = None
    most: float | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The records that fit, newest first, of the `looked` decisions that were looked at, back to the time `back`, None if there
    was none. `onward` is the id of the last one looked at, to look on from; None where nothing is older."""

    records: Sequence[Record]
    looked: int
    back: datetime | None
    onward: str | None


def search(connection: Connection, workload: str, wanted: Search, limit: int, before: str | None) -> Found:
    """The workload's decisions that fit. Raises UnknownDecision if there is no `before`."""
    return _look(_rows(connection, _query(workload, wanted), before), _reader(wanted.words), limit, SECONDS)


def _look(rows: Iterator[Fetched[Any]], read: Callable[[bytes], Record | None], limit: int, seconds: float) -> Found:
    until = perf_counter() + seconds
    found: list[Record] = []
    looked, row = 0, None
    for row in rows:
        looked += 1
        record = None if row.body is None else read(row.body)
        found += [] if record is None else [record]
        if len(found) == limit or (looked % FIRST == 0 and perf_counter() > until):
            break
    onward = row.id if row is not None and next(rows, None) else None
    return Found(found, looked, None if row is None else moment(row.at), onward)


def _rows(connection: Connection, query: Select[*tuple[Any, ...]], before: str | None) -> Iterator[Fetched[Any]]:
    """The rows of the query, some at a time: PostgreSQL hands over all that it is asked for."""
    size = FIRST
    last: tuple[int, int] | None = None
    if before is not None:
        mark = locate(connection, before)
        last = mark["at"], mark["seq"]
    while True:
        older = query if last is None else query.where(tuple_(_c.at, _c.seq) < tuple_(*map(literal, last)))
        began = perf_counter()
        rows = connection.execute(older.limit(size)).all()
        quick = perf_counter() - began < QUICK
        yield from rows
        if len(rows) < size:
            return
        last, size = (rows[-1].at, rows[-1].seq), min(2 * size, MOST) if quick else size


def _query(workload: str, wanted: Search) -> Select[*tuple[Any, ...]]:
    """Every decision of an outcome and time, for which there are indexes; of those that do not fit, without the body."""
    body = case((_fits(wanted), _c.body)).label("body")
    query = select(_c.seq, _c.at, _c.id, body).where(_c.workload == plain(workload))
    if wanted.outcome is not None:
        query = query.where(_c.outcome == wanted.outcome.value)
    if wanted.since is not None:
        query = query.where(_c.at >= micros(wanted.since))
    if wanted.until is not None:
        query = query.where(_c.at < micros(wanted.until))
    return query.order_by(_c.at.desc(), _c.seq.desc())


def _fits(wanted: Search) -> ColumnElement[bool]:
    said = {_c.tier: wanted.tier, _c.release: wanted.release, _c.asked_by: wanted.asked_by}
    fits = [column == plain(value) for column, value in said.items() if value is not None]
    fits += [] if wanted.least is None else [_c.confidence >= wanted.least]
    fits += [] if wanted.most is None else [_c.confidence <= wanted.most]
    return and_(true(), *fits)


def _reader(words: Sequence[str]) -> Callable[[bytes], Record | None]:
    """What turns a body into its record if its text has all the words. Few have, and only those are read in full."""
    written = [json.dumps(word, ensure_ascii=False)[1:-1].casefold() for word in words]
    sought = [word.casefold() for word in words]

    def read(body: bytes) -> Record | None:
        if written:
            text = body[body.find(_BEGIN) + len(_BEGIN) : body.find(_END)].decode("utf-8", "surrogatepass").casefold()
            if not all(word in text for word in written):
                return None
        record = decode(body, Record)
        text = record.case.text.casefold()
        return record if all(word in text for word in sought) else None

    return read
