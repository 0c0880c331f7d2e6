"""Turns the ledger's summary of a workload into a report that a manager can read and a program can use.

Knows nothing about SQL, models or terminals. Every rate carries the number of cases it is out of and exact one-sided bounds
(Clopper-Pearson) at the promise's confidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil, log, log1p
from typing import Any

from rung.cascade import PERSON
from rung.core import Outcome
from rung.ledger import Ledger, Summary, TierSummary
from rung.monitor.money import Money, assume, measure, price, sentences, tokens
from rung.monitor.promise import Standing
from rung.monitor.standings import standing
from rung.statistics.binomial import lower_bound, upper_bound
from rung.workload import Promise, Workload

ASKED = 200  # escalated decisions, the latest, over which the large model's tokens are counted
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `of` cases. Each bound on the true share holds by itself with the promise's confidence."""

    count: int
    of: int
    at_least: float
    at_most: float

    @property
    def share(self) -> float:
        """The share seen (0..1)."""
        return self.count / self.of

    def document(self) -> dict[str, Any]:
        """The rate as JSON shows it; shares are 0..1."""
        seen = {"cases": self.count, "of_cases": self.of, "share": self.share}
        return {**seen, "share_at_least": self.at_least, "share_at_most": self.at_most}


@dataclass(frozen=True, slots=True)
class Rung:
    """What ended at one tier, or at "person". `error` is the share wrong among what people settled, None where they settled
    nothing or decided themselves. `cost` is in US dollars, earlier tiers' attempts at these cases included."""

    tier: str
    decided: Rate
    settled: int
    error: Rate | None
    cost: float

    def document(self) -> dict[str, Any]:
        """The rung as JSON shows it."""
        return {
            "tier": self.tier,
            "decided": self.decided.document(),
            "settled_cases": self.settled,
            "error": None if self.error is None else self.error.document(),
            "cost_usd": self.cost,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """A workload since a time, or altogether. `rungs` go from the smallest tier to the person; none if nothing was decided.

    `error` is the share wrong among all settled answers that were given without a person, None while there are none;
    `waiting` counts cases that a person has still to decide. `p50` and `p99` are seconds, `cost` is in US dollars, `volume`
    in cases a month. `standing` is what the random sample says of the promise of the release at work, since it was promoted;
    `money` the whole cost, people and machines included.
    """

    workload: str
    since: datetime | None
    promise: Promise
    decisions: int
    rungs: tuple[Rung, ...]
    error: Rate | None
    waiting: int
    p50: float | None
    p99: float | None
    cost: float
    volume: int | None
    standing: Standing
    money: Money

    @property
    def cost_per_case(self) -> float | None:
        """US dollars, None if nothing was decided."""
        return self.cost / self.decisions if self.decisions else None

    @property
    def cost_per_month(self) -> float | None:
        """US dollars at the workload's volume, None if that is not stated or nothing was decided."""
        each = self.cost_per_case
        return None if each is None or self.volume is None else each * self.volume

    def document(self) -> dict[str, Any]:
        """The report as JSON shows it."""
        return {
            "workload": self.workload,
            "since": None if self.since is None else self.since.isoformat(),
            "promise": {"error_share_at_most": self.promise.error, "confidence": self.promise.confidence},
            "cases": self.decisions,
            "tiers": [rung.document() for rung in self.rungs],
            "error": None if self.error is None else self.error.document(),
            "waiting_cases": self.waiting,
            "p50_seconds": self.p50,
            "p99_seconds": self.p99,
            "cost_usd": self.cost,
            "cost_usd_per_case": self.cost_per_case,
            "cost_usd_per_month": self.cost_per_month,
            "live_promise": self.standing.document(),
            "money": self.money.document(),
        }

    def text(self) -> str:
        """The report as a table and plain words."""
        since = "" if self.since is None else f" since {self.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        if not self.decisions:
            return f"{self.workload}: nothing decided yet{since}. Next: `rung decide`."
        head = f"{self.workload}: {_cases(self.decisions)} decided{since}"
        return "\n".join([head, "", *_table(self.rungs), "", *_sentences(self)])


def report(ledger: Ledger, workload: Workload, since: datetime | None = None, now: datetime | None = None) -> Report:
    """What the ledger says about a workload, since a time or altogether, up to now."""
    now = now or datetime.now(UTC)
    summary = ledger.summary(workload.name, since)
    release = ledger.current_release(workload.name)
    drawn = ledger.queue.drawn(workload.name, release) if release else ()
    answered = [tier for name, tier in summary.tiers.items() if name != PERSON]
    settled = sum(tier.settled for tier in answered)
    return Report(
        workload=workload.name,
        since=since,
        promise=workload.promise,
        decisions=summary.decisions,
        rungs=tuple(_rungs(summary, workload)),
        error=_rate(sum(tier.overturned for tier in answered), settled, workload.promise) if settled else None,
        waiting=summary.waiting,
        p50=summary.p50,
        p99=summary.p99,
        cost=summary.cost,
        volume=workload.volume,
        standing=standing(drawn, workload.promise, workload.review.sample, now),
        money=_money(ledger, workload, since, now),
    )


def _money(ledger: Ledger, workload: Workload, since: datetime | None, now: datetime) -> Money:
    """Machines are paid from the hour of the first decision in this time on."""
    tallies = ledger.tallies(workload.name, since or _EPOCH, now)
    start = max(tallies[0].hour, since or _EPOCH) if tallies else now
    checked = ledger.queue.reviewed(workload.name, start)
    usage = measure(workload, tallies, checked, (now - start) / timedelta(hours=1))
    escalated = ledger.list(workload.name, Outcome.ESCALATED, since, ASKED)
    return price(usage, assume(workload, usage, ledger.queue.effort(workload.name, since), tokens(workload, escalated)))


def _rungs(summary: Summary, workload: Workload) -> Iterator[Rung]:
    if not summary.decisions:
        return
    named = [tier.name for tier in workload.tiers]
    former = sorted(summary.tiers.keys() - {*named, PERSON})  # tiers that the file no longer has
    for name in [*named, *former, PERSON]:
        seen = summary.tiers.get(name, TierSummary())
        judged = seen.settled if name != PERSON else 0
        yield Rung(
            tier=name,
            decided=_rate(seen.decisions, summary.decisions, workload.promise),
            settled=seen.settled,
            error=_rate(seen.overturned, judged, workload.promise) if judged else None,
            cost=seen.cost,
        )


def _rate(count: int, of: int, promise: Promise) -> Rate:
    rest, sure = of - count, promise.confidence
    if count > rest:  # a bound takes as long as there are cases to count: count the fewer, and mirror
        return Rate(count, of, 1 - upper_bound(rest, of, sure), 1 - lower_bound(rest, of, sure))
    return Rate(count, of, lower_bound(count, of, sure), upper_bound(count, of, sure))


def _table(rungs: Sequence[Rung]) -> Iterator[str]:
    head = "decided by", "cases", "share", "at least", "at most", "settled", "wrong", "error", "at most", "US dollars"
    rows: list[tuple[str, ...]] = [head, *map(_row, rungs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *numbers in rows:
        cells = (number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True))
        yield "  ".join([name.ljust(widths[0]), *cells])


def _row(rung: Rung) -> tuple[str, ...]:
    name = "a person" if rung.tier == PERSON else rung.tier
    decided, error = rung.decided, rung.error
    shares = f"{decided.share:.1%}", f"{decided.at_least:.1%}", f"{decided.at_most:.1%}"
    wrong = ("-", "-", "-") if error is None else (f"{error.count:,}", f"{error.share:.2%}", f"{error.at_most:.2%}")
    return (name, f"{decided.count:,}", *shares, f"{rung.settled:,}", *wrong, f"{rung.cost:,.4f}")


def _sentences(report: Report) -> Iterator[str]:
    people = report.rungs[-1].decided
    yield f"Error: {_error(report, people.of - people.count)}"
    yield f"Promise: {report.standing.sentence}"
    yield f"People: {_cases(people.count)} went to a person; {report.waiting:,} still to be decided."
    yield f"Time: half of the cases took at most {report.p50:.3f} s, 99% at most {report.p99:.3f} s."
    each, month = f"Cost: {report.cost_per_case:.6f} US dollars a case", report.cost_per_month
    yield f"{each}." if month is None else f"{each}, {month:,.2f} a month at {report.volume:,} cases."
    yield f"Money: {' '.join(sentences(report.money))}"
    yield (
        f"Bounds: each holds with {report.promise.confidence:.0%} confidence, if the cases, and those settled among them, are as "
        "good as drawn at random."
    )


def _error(report: Report, answered: int) -> str:
    error, promise = report.error, report.promise
    promised = f"the promise of at most {promise.error:.2%}"
    if not answered:
        return "no case was answered without a person, so there is none to measure."
    if error is None:
        enough = ceil(log(1 - promise.confidence) / log1p(-promise.error))  # then (1 - error)^enough <= 1 - confidence
        return (
            f"the live error is not known yet: of {_cases(answered)} answered without a person none is settled. Next: settle "
            f"some with `rung review`; {enough:,} drawn at random, none of them wrong, would support {promised}."
        )
    seen = f"{error.count:,} of {error.of:,} settled answers wrong, {error.share:.2%}"
    if error.at_most <= promise.error:
        return f"{seen}, at most {error.at_most:.2%}: this supports {promised}."
    if error.at_least > promise.error:
        return f"{seen}, at least {error.at_least:.2%}: this breaks {promised}. Next: add what was settled to the gold and train."
    return f"{seen}, at most {error.at_most:.2%}: too few to judge {promised}. Next: settle more with `rung review`."


def _cases(count: int) -> str:
    return f"{count:,} case{'' if count == 1 else 's'}"
