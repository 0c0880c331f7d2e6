"""Turns a period of a workload's past into charts: who decided, how often wrongly, how long it took, what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rung.cascade import PERSON
from rung.charts import Axis, Column, Figure, Reference, Series, columns, lines, spell
from rung.gateway.pages.past import HOUR, Period
from rung.ledger import Reviewed
from rung.monitor.history import begin, by_step, error, quantile, split
from rung.monitor.money import Money
from rung.workload import Workload

DAY = timedelta(days=1)
FEWEST = 20  # reviews that a point speaks of: the interval of fewer hides all others


@dataclass(frozen=True, slots=True)
class Range:
    """A time that people look at: its name, how many steps of which length it has, and the steps of what is rarer: reviews."""

    words: str
    count: int
    step: timedelta
    rarer: timedelta

    def since(self, now: datetime) -> datetime:
        """When its first step began."""
        return begin(now, self.step) - (self.count - 1) * self.step


RANGES = {
    "24h": Range("24 hours", 24, HOUR, 6 * HOUR),
    "7d": Range("7 days", 28, 6 * HOUR, DAY),
    "30d": Range("30 days", 30, DAY, 3 * DAY),
}
USUAL = "7d"


def ordered(workload: Workload, counts: Mapping[str, int]) -> list[str]:
    """The tiers from the smallest to the person; such as the file no longer has come before the person."""
    named = [tier.name for tier in workload.tiers]
    return [*named, *sorted(counts.keys() - {*named, PERSON}), PERSON]


def split_over_time(workload: Workload, period: Period) -> Figure:
    """Who decided how many, step by step."""
    names = ordered(workload, split(period.tallies))
    grouped = by_step(period.tallies, lambda each: each.hour, period.step)
    counted = [(at, split(grouped.get(at, ()))) for at in period.starts]
    rows = [Column(at.timestamp(), (at + period.step).timestamp(), [found[name] for name in names]) for at, found in counted]
    parts = ["people" if name == PERSON else name for name in names]
    return columns("Who decides", parts, rows, Axis(f"decisions {per(period.step)}", "count"))


def error_over_time(workload: Workload, period: Period, step: timedelta) -> Figure | None:
    """How often reviewed answers were wrong, step by step; None if none was reviewed."""
    told = [(start + (end - start) / 2, found) for start, end, some in _joined(period, step) if (found := error(some))]
    if not told:
        return None
    return lines(
        "How often answers are wrong",
        [Series("wrong", [(at.timestamp(), each.share) for at, each in told], [(each.low, each.high) for _, each in told])],
        Axis("time (UTC)", "time", include=(period.since.timestamp(), period.until.timestamp())),
        Axis(f"share wrong {per(step)}", "share", include=(0.0,)),
        [Reference(f"promised: at most {spell(workload.promise.error, 'share')}", workload.promise.error)],
        f"Of {sum(each.n for _, each in told):,} answers drawn at random and reviewed, with 95 % intervals; times with fewer "
        f"than {FEWEST} are joined to their neighbours.",
    )


def _joined(period: Period, step: timedelta) -> list[tuple[datetime, datetime, Sequence[Reviewed]]]:
    """The reviewed answers from when to when, in as many steps as it takes to have enough of them to say anything."""
    found: list[tuple[datetime, datetime, Sequence[Reviewed]]] = []
    for start, some in by_step(period.reviewed, lambda each: each.at, step).items():
        begun, end = max(start, period.since), min(start + step, period.until)
        if found and len(found[-1][2]) < FEWEST:
            begun, some = found[-1][0], [*found.pop()[2], *some]
        found.append((begun, end, some))
    if len(found) > 1 and len(found[-1][2]) < FEWEST:
        last = found.pop()
        begun, _, some = found.pop()
        found.append((begun, last[1], [*some, *last[2]]))
    return found


def times_over_time(workload: Workload, period: Period) -> Figure:
    """How long decisions took, step by step."""
    grouped = by_step(period.latencies, lambda each: each.hour, period.step)
    series = [
        Series(
            name,
            [((at + period.step / 2).timestamp(), quantile(grouped[at], share) or 0.0) for at in period.starts if at in grouped],
        )
        for name, share in (("99 % took at most", 0.99), ("half took at most", 0.50))
    ]
    limit = workload.limits.p99
    references = [Reference(f"limit for 99 %: {spell(limit, 'seconds')}", limit)] if limit else []
    span = (period.since.timestamp(), period.until.timestamp())
    return lines(
        "How long a decision takes", series, Axis("time (UTC)", "time", include=span), Axis("time", "seconds", True), references
    )


def costs_over_time(period: Period, each: Sequence[Money | None]) -> Figure:
    """What a case cost with everything in it, step by step."""
    rows = [
        Column(
            at.timestamp(),
            (at + period.step).timestamp(),
            [part / one.cost.decisions for part in (one.cost.endpoints, one.cost.machine, one.cost.people)] if one else (0, 0, 0),
        )
        for at, one in zip(period.starts, each, strict=True)
    ]
    return columns("What a case costs", ("endpoints", "machines", "people"), rows, Axis("US dollars a case", "USD"))


def per(step: timedelta) -> str:
    """An hour, 6 hours, a day ... as what a column counts by."""
    number, name = (step / DAY, "day") if step >= DAY else (step / HOUR, "hour")
    return f"{'an' if name == 'hour' else 'a'} {name}" if number == 1 else f"in {number:g} {name}s"
