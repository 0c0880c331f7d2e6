"""Turns a cascade and agreed answers into evidence: what each tier answers, how often wrongly, how fast, at what cost.

It asks through `decide`, so what it judges is what will be served. It knows nothing about training or files.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import Any

from rung.cascade import PERSON, Cascade
from rung.cascade.promise import Threshold
from rung.core import Case, Decision
from rung.evaluation.asking import Agreed, Tick, ask_all, right, spread
from rung.evaluation.metrics import Metrics, measure
from rung.evaluation.rates import Rate, rate
from rung.evaluation.slices import LENGTH
from rung.evaluation.times import Times, arrive, rush, times_of
from rung.statistics.binomial import interval, lower_bound, upper_bound
from rung.workload import Promise, Workload

TIMED = 500  # cases for the latency figures
# of arrivals that may find an own tier at work: if no more do, p99 under load lies at most at p99.1 of one at a time
CALM = 0.001
LONGEST = 30.0  # seconds that putting own tiers under load may take


@dataclass(frozen=True, slots=True)
class TierEvidence:
    """What one tier did on the test split. `bound` is the exact upper bound on its error at the promise's confidence."""

    tier: str
    cases: int
    wrong: int
    bound: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the test split showed. `times` are of `TIMED` cases at most, spread over all, which arrive as in a busy hour of the
    stated volume; one at a time where none is stated, or so little that cases would not meet. `tiers` are all of the
    cascade, reached or not, with the bound that the promise asks for; `metrics` is everything else."""

    promise: Promise
    threshold: Threshold
    cases: int
    tiers: tuple[TierEvidence, ...]
    people: int
    escalated: float
    times: Times
    metrics: Metrics

    @property
    def answered(self) -> int:
        """Cases answered without a person."""
        return sum(tier.cases for tier in self.tiers)

    @property
    def wrong(self) -> int:
        """How many of those wrongly."""
        return sum(tier.wrong for tier in self.tiers)

    @property
    def left(self) -> Rate:
        """The share that left the specialists, `escalated`, with its interval."""
        return rate(round(self.escalated * self.cases), self.cases)

    def document(self, attributes: Collection[str] = ()) -> dict[str, Any]:
        """The evidence as JSON, with the exact bounds on the error among answered cases. No case is in it, nor any answer; of
        slices by what callers send along only those by these `attributes`, for their values may name somebody."""
        confidence = self.promise.confidence
        metrics = {name: value for name, value in self.metrics.document().items() if name != "disagreements"}
        kept = {LENGTH, *attributes, *(field.name for field in self.metrics.fields)}
        for name in ("slices", "worst"):
            metrics[name] = [one for one in metrics[name] if one["by"] in kept]
        return {
            **asdict(replace(self, metrics=None, times=None)),  # pyright: ignore[reportArgumentType]  # have documents of their own
            "times": self.times.document(),
            "cost": metrics["cost_usd_per_case"]["value"] if metrics["cost_usd_per_case"] else 0.0,
            "escalated_between": [self.left.low, self.left.high],
            "metrics": metrics,
            "answered": self.answered,
            "wrong": self.wrong,
            "error": self.wrong / self.answered if self.answered else None,
            "error_at_least": lower_bound(self.wrong, self.answered, confidence),
            "error_at_most": upper_bound(self.wrong, self.answered, confidence),
        }


async def evaluate(
    workload: Workload, cascade: Cascade, agreed: Sequence[Agreed], threshold: Threshold, tick: Tick | None = None
) -> tuple[Evidence, list[Decision]]:
    """The evidence on a test split, and each case's decision: `TIMED` cases, spread over all, are decided one at a time for their
    times, the others together."""
    promise = workload.promise
    apart = spread(len(agreed), TIMED)
    together = sorted({*range(len(agreed))} - {*apart})
    first, times = await _timed(workload, cascade, [agreed[at].case for at in apart], tick)
    found = dict(zip(apart, first, strict=True))
    found |= dict(zip(together, await ask_all(cascade, [agreed[at].case for at in together], tick), strict=True))
    decisions = [found[at] for at in range(len(agreed))]
    correct = [
        decision.answer is not None and right(decision.answer, each.expected)
        for decision, each in zip(decisions, agreed, strict=True)
    ]
    tiers: list[TierEvidence] = []
    for tier in cascade.tiers:
        outcomes = [ok for decision, ok in zip(decisions, correct, strict=True) if decision.tier == tier.name]
        wrong = outcomes.count(False)
        tiers.append(TierEvidence(tier.name, len(outcomes), wrong, upper_bound(wrong, len(outcomes), promise.confidence)))
    evidence = Evidence(
        promise=promise,
        threshold=threshold,
        cases=len(agreed),
        tiers=tuple(tiers),
        people=sum(decision.tier == PERSON for decision in decisions),
        escalated=1 - _by_specialists(tiers) / max(len(agreed), 1),
        times=times,
        metrics=measure(workload, agreed, decisions),
    )
    return evidence, decisions


async def _timed(workload: Workload, cascade: Cascade, cases: Sequence[Case], tick: Tick | None) -> tuple[list[Decision], Times]:
    """Decisions that are the same every time, one after the other; then own tiers again, under load, where load makes them wait.
    To that is added how long endpoints took, which are not asked again."""
    decisions = [decision for case in cases for decision in await ask_all(cascade, [case], tick)]
    waited = [sum(attempt.seconds for attempt in one.attempts if _paid(attempt.tier)) for one in decisions]
    rate, alone = rush(workload), [one.seconds for one in decisions]
    busy = (sum(alone) - sum(waited)) / max(len(cases), 1)
    if rate is None or rate * busy <= CALM:
        return decisions, times_of(alone, rate, alone=True)
    own = replace(cascade, tiers=tuple(tier for tier in cascade.tiers if not _paid(tier.name)))
    places = spread(len(cases), ceil(LONGEST / busy))
    seconds = await arrive(own, [cases[at] for at in places], rate)
    return decisions, times_of([one + waited[at] for one, at in zip(seconds, places, strict=True)], rate)


def _paid(tier: str) -> bool:
    """Whether it is an endpoint: their names hold a slash."""
    return "/" in tier


def _by_specialists(tiers: Sequence[TierEvidence]) -> int:
    """Cases that the specialists answered, static and encoder together; where there are none, the first tier."""
    own = [tier.cases for tier in tiers if not _paid(tier.tier)]
    return sum(own) if own else tiers[0].cases


def describe(evidence: Evidence, name: str, volume: int | None) -> str:
    """The report a manager can read: plain text, a line each."""
    lines = [
        describe_outcome(evidence, name),
        "",
        f"Time per case: {evidence.times.sentence if evidence.times else 'not measured'}; n={len(evidence.times)}, "
        f"{evidence.times.how}.",
        f"Cost per case: {spell_cost(evidence)}; n={evidence.cases:,}, without people's time.",
    ]
    if volume:
        answered = evidence.answered / evidence.cases * volume
        low, high = (share * volume for share in interval(evidence.answered, evidence.cases))
        left = f"{volume - answered:,.0f} ({volume - high:,.0f} to {volume - low:,.0f}) for people"
        lines.append(f"At {volume:,} cases a month: about {answered:,.0f} ({low:,.0f} to {high:,.0f}) answered, {left}.")
    lines.append("In brackets: 95% intervals.")
    return "\n".join(lines)


def describe_outcome(evidence: Evidence, name: str, part: str = "test") -> str:
    """What was promised, and who answered how many cases how well: all of the report that is the same on every run."""
    promise, threshold = evidence.promise, evidence.threshold
    sure = f"{promise.confidence * 100:g}% confidence"
    seen = "that neither training nor calibration has seen" if part == "test" else "that it was made from, so this is no evidence"
    lines = [
        f"{name}. Promise: of the cases answered without a person at most {promise.error * 100:g}% are wrong, with {sure}.",
        f"Kept on {threshold.cases:,} {threshold.source}: {threshold.answered:,} answered, {threshold.wrong:,} wrong, at most "
        f"{threshold.bound:.2%} at this level.",
        "",
        f"On {evidence.cases:,} {part} cases {seen}:",
        f"  {'who answers':<28}{'cases':>8}{'share':>8}{'wrong':>8}{'error':>8}  at most ({sure})",
    ]
    for tier in evidence.tiers:
        error, bound = (f"{tier.wrong / tier.cases:.2%}", f"{tier.bound:.2%}") if tier.cases else ("-", "-")
        lines.append(f"  {tier.tier:<28}{tier.cases:>8,}{tier.cases / evidence.cases:>8.1%}{tier.wrong:>8,}{error:>8}  {bound}")
    lines.append(f"  {'a person':<28}{evidence.people:>8,}{evidence.people / evidence.cases:>8.1%}")
    return "\n".join(lines)


def spell_cost(evidence: Evidence) -> str:
    """US dollars a case and the 95 % interval: `$0.000125 ($0.000101 to $0.000150)`."""
    cost = evidence.metrics.cost
    return f"${cost.value:.6f} (${cost.low:.6f} to ${cost.high:.6f})" if cost else "$0.000000"
