"""Turns sums by the hour and reviewed answers into what people look at over time: who decided, how long it took, how often it
was wrong. Knows nothing about pages or the ledger's tables."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil, floor
from typing import Any, TypeVar

from rung.ledger import Latency, Reviewed, Tally
from rung.statistics.binomial import lower_bound, upper_bound

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Timed = TypeVar("Timed")


@dataclass(frozen=True, slots=True)
class Estimate:
    """The share wrong among all answers, from `n` reviewed ones, `wrong` of them; at 95 % it lies between `low` and `high`."""

    share: float
    low: float
    high: float
    wrong: int
    n: int

    def document(self) -> dict[str, Any]:
        """As JSON; shares are 0..1."""
        bounds = {"share": self.share, "share_at_least": self.low, "share_at_most": self.high}
        return {"wrong": self.wrong, "reviewed": self.n, **bounds, "confidence": 0.95}


def begin(at: datetime, step: timedelta) -> datetime:
    """When the step that holds this moment began: steps are counted from 1970, so that days begin at midnight UTC."""
    return at - (at - _EPOCH) % step


def steps(since: datetime, until: datetime, step: timedelta) -> list[datetime]:
    """When each step began, from the one that holds `since` to the last one before `until`."""
    first = begin(since, step)
    return [first + n * step for n in range(ceil((until - first) / step))]


def by_step(items: Sequence[Timed], at: Callable[[Timed], datetime], step: timedelta) -> dict[datetime, Sequence[Timed]]:
    """The items of each step that has any; they are in the order of time."""
    found: dict[datetime, Sequence[Timed]] = {}
    first = 0
    while first < len(items):
        start = begin(at(items[first]), step)
        last = bisect_left(items, start + step, lo=first, key=at)
        found[start], first = items[first:last], last
    return found


def split(tallies: Iterable[Tally]) -> Counter[str]:
    """How many decisions ended at each tier."""
    found: Counter[str] = Counter()
    for each in tallies:
        found[each.tier] += each.decisions
    return found


def quantile(latencies: Iterable[Latency], share: float) -> float | None:
    """The seconds that this share (0..1) of the decisions took at most (nearest rank, 5 % off at most); None of none."""
    counted: Counter[float] = Counter()
    for each in latencies:
        counted[each.seconds] += each.decisions
    rank = ceil(share * counted.total())
    for seconds in sorted(counted):
        rank -= counted[seconds]
        if rank <= 0:
            return seconds
    return None


def error(reviewed: Sequence[Reviewed]) -> Estimate | None:
    """How often answers were wrong; None if none of them was reviewed.

    Answers that were likelier to be drawn weigh less (Horvitz, Thompson 1952). The interval is Clopper-Pearson's for as many
    reviews as those would be worth if all weighed the same (Korn, Graubard 1998, Survey Methodology 24, 193-201), rounded so that
    it is wider rather than narrower.
    """
    if not reviewed:
        return None
    least = min(each.share for each in reviewed)
    weights = [least / each.share for each in reviewed]
    total = sum(weights)
    share = sum(weight for weight, each in zip(weights, reviewed, strict=True) if each.wrong) / total
    worth = floor(total**2 / sum(weight**2 for weight in weights) + 1e-6)
    low, high = floor(share * worth + 1e-6), ceil(share * worth - 1e-6)
    wrong = sum(each.wrong for each in reviewed)
    return Estimate(share, lower_bound(low, worth, 0.975), upper_bound(high, worth, 0.975), wrong, len(reviewed))
