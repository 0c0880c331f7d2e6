"""Turns a cascade and agreed answers into evidence: what each tier answers, how often wrongly, how fast, at what cost.

It asks through `decide`, so what it judges is what will be served. It knows nothing about training or files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf
from typing import Any

import numpy as np

from rung.cascade import PERSON, Cascade, decide
from rung.cascade.promise import Judged, Threshold, contradiction, lower_bound, upper_bound
from rung.core import Case, Decision, Fields, RungError, same
from rung.workload import Limits, Promise

AT_ONCE = 32  # cases under way at a time, as on a busy server
TIMED = 500  # cases decided one at a time for the latency figures

Tick = Callable[[int], None]


class GateError(RungError):
    """The evidence does not allow this release: each failed limit with its number."""

    code = "gate_failed"
    exit_status = 1


@dataclass(frozen=True, slots=True)
class Agreed:
    """One case and the answer people agreed on, without template fields."""

    case: Case
    expected: Fields


@dataclass(frozen=True, slots=True)
class TierEvidence:
    """What one tier did on the test split. `bound` is the exact upper bound on its error at the promise's confidence."""

    tier: str
    cases: int
    wrong: int
    bound: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the test split showed. Seconds are per case, one at a time over `timed` cases; `cost` is in US dollars per case.

    `fields` gives, per field, how often the last answer any tier gave was right, accepted or not.
    """

    promise: Promise
    threshold: Threshold
    cases: int
    tiers: tuple[TierEvidence, ...]
    people: int
    escalated: float
    fields: Mapping[str, float]
    p50: float
    p99: float
    timed: int
    cost: float

    @property
    def answered(self) -> int:
        """Cases answered without a person."""
        return sum(tier.cases for tier in self.tiers)

    @property
    def wrong(self) -> int:
        """How many of those wrongly."""
        return sum(tier.wrong for tier in self.tiers)

    def document(self) -> dict[str, Any]:
        """The evidence as JSON, with the exact bounds on the error among answered cases."""
        confidence = self.promise.confidence
        return {
            **asdict(self),
            "answered": self.answered,
            "wrong": self.wrong,
            "error": self.wrong / self.answered if self.answered else None,
            "error_at_least": lower_bound(self.wrong, self.answered, confidence),
            "error_at_most": upper_bound(self.wrong, self.answered, confidence),
        }


def right(answer: Fields, expected: Fields) -> bool:
    """Whether an answer agrees with the expected one in every field that gold speaks of; 1 and 1.0 agree, 1 and true do not."""
    return all(same(answer.get(name), value) for name, value in expected.items())


async def ask_all(cascade: Cascade, cases: Sequence[Case], tick: Tick | None = None) -> list[Decision]:
    """Decide many cases, `AT_ONCE` at a time, in order."""
    places = asyncio.Semaphore(AT_ONCE)

    async def ask(case: Case) -> Decision:
        async with places:
            decision = await decide(case, cascade)
        if tick is not None:
            tick(1)
        return decision

    return list(await asyncio.gather(*map(ask, cases)))


async def climb(cascade: Cascade, cases: Sequence[Case], tick: Tick | None = None) -> list[Decision]:
    """Decide many cases with no tier trusted, so that every tier's answer to every case is seen."""
    return await ask_all(replace(cascade, level=inf), cases, tick)


def judge(cascade: Cascade, climbed: Sequence[Decision], agreed: Sequence[Agreed]) -> Judged:
    """What every tier said, from decisions that climbed to the top."""
    tiers = [tier.name for tier in cascade.tiers]
    confidence = np.full((len(climbed), len(tiers)), -1.0)
    correct = np.zeros((len(climbed), len(tiers)), np.bool_)
    for row, (decision, case) in enumerate(zip(climbed, agreed, strict=True)):
        for attempt in decision.attempts:  # of two attempts by one tier the second counts, as in `decide`
            column = tiers.index(attempt.tier)
            usable = attempt.answer is not None and not attempt.problems
            confidence[row, column] = attempt.confidence if usable else -1.0
            correct[row, column] = attempt.answer is not None and right(attempt.answer.fields, case.expected)
    return Judged(confidence, correct)


async def evaluate(
    cascade: Cascade, agreed: Sequence[Agreed], promise: Promise, threshold: Threshold, tick: Tick | None = None
) -> Evidence:
    """The evidence on a test split: `TIMED` cases, spread over all, one at a time for their times, the others together."""
    spread = set(np.linspace(0, len(agreed) - 1, min(len(agreed), TIMED)).astype(int).tolist())
    agreed = [
        *(each for at, each in enumerate(agreed) if at in spread),
        *(each for at, each in enumerate(agreed) if at not in spread),
    ]
    alone = agreed[:TIMED]
    decisions: list[Decision] = []
    for each in alone:
        decisions += await ask_all(cascade, [each.case], tick)
    seconds = [decision.seconds for decision in decisions]
    decisions += await ask_all(cascade, [each.case for each in agreed[TIMED:]], tick)
    correct = [
        decision.answer is not None and right(decision.answer, each.expected)
        for decision, each in zip(decisions, agreed, strict=True)
    ]
    tiers: list[TierEvidence] = []
    for tier in cascade.tiers:
        outcomes = [ok for decision, ok in zip(decisions, correct, strict=True) if decision.tier == tier.name]
        wrong = outcomes.count(False)
        tiers.append(TierEvidence(tier.name, len(outcomes), wrong, upper_bound(wrong, len(outcomes), promise.confidence)))
    return Evidence(
        promise=promise,
        threshold=threshold,
        cases=len(agreed),
        tiers=tuple(tiers),
        people=sum(decision.tier == PERSON for decision in decisions),
        escalated=1 - _by_specialists(tiers) / max(len(agreed), 1),
        fields=_field_accuracy(decisions, agreed),
        p50=float(np.quantile(seconds, 0.5, method="higher")) if seconds else 0.0,
        p99=float(np.quantile(seconds, 0.99, method="higher")) if seconds else 0.0,
        timed=len(seconds),
        cost=sum(decision.cost for decision in decisions) / max(len(agreed), 1),
    )


def _by_specialists(tiers: Sequence[TierEvidence]) -> int:
    """Cases that the specialists answered, static and encoder together; where there are none, the first tier. Endpoints' names
    hold a slash."""
    own = [tier.cases for tier in tiers if "/" not in tier.tier]
    return sum(own) if own else tiers[0].cases


def _field_accuracy(decisions: Sequence[Decision], agreed: Sequence[Agreed]) -> dict[str, float]:
    names = list(agreed[0].expected) if agreed else []
    empty: Fields = {}
    said = [next((a.answer.fields for a in reversed(d.attempts) if a.answer is not None), empty) for d in decisions]
    return {
        name: sum(same(fields.get(name), each.expected[name]) for fields, each in zip(said, agreed, strict=True)) / len(agreed)
        for name in names
    }


def gate(evidence: Evidence, limits: Limits) -> None:
    """Raise `GateError` naming every number that does not hold, by how much, and what would help."""
    failures: list[str] = []
    if not evidence.cases:
        failures.append("the test split is empty, so nothing is shown. More gold, or fewer lines pinned to train, would help.")
    against = contradiction(evidence.wrong, evidence.answered, evidence.promise)
    if against is not None:
        failures.append(against)
    if limits.p99 is not None and evidence.p99 > limits.p99:
        failures.append(
            f"p99 is {evidence.p99 * 1000:.0f} ms, {(evidence.p99 - limits.p99) * 1000:.0f} ms over limits.p99 of "
            f"{limits.p99 * 1000:.0f} ms (n={evidence.timed}). Shorter texts, fewer tiers or a faster machine would help."
        )
    if limits.cost_per_case is not None and evidence.cost > limits.cost_per_case:
        failures.append(
            f"a case costs ${evidence.cost:.6f}, ${evidence.cost - limits.cost_per_case:.6f} over limits.cost_per_case of "
            f"${limits.cost_per_case:g} (n={evidence.cases}). A cheaper endpoint, or more gold for the specialist, would help."
        )
    if limits.escalated is not None and evidence.escalated > limits.escalated:
        failures.append(
            f"{evidence.escalated:.1%} of the cases leave the specialists, {(evidence.escalated - limits.escalated) * 100:.1f} "
            f"points over limits.escalated of {limits.escalated:.0%} (n={evidence.cases}). More gold for the labels it confuses, "
            "or a promise that allows more error, would help."
        )
    if failures:
        raise GateError("this release is refused:\n" + "\n".join(f"  {failure}" for failure in failures))


def describe(evidence: Evidence, name: str, volume: int | None) -> str:
    """The report a manager can read: plain text, a line each."""
    promise, threshold = evidence.promise, evidence.threshold
    sure = f"{promise.confidence * 100:g}% confidence"
    lines = [
        f"{name}. Promise: of the cases answered without a person at most {promise.error * 100:g}% are wrong, with {sure}.",
        f"Kept on {threshold.cases:,} calibration cases: {threshold.answered:,} answered, {threshold.wrong:,} wrong, at most "
        f"{threshold.bound:.2%} at this level.",
        "",
        f"On {evidence.cases:,} test cases that neither training nor calibration has seen:",
        f"  {'who answers':<28}{'cases':>8}{'share':>8}{'wrong':>8}{'error':>8}  at most ({sure})",
    ]
    for tier in evidence.tiers:
        error, bound = (f"{tier.wrong / tier.cases:.2%}", f"{tier.bound:.2%}") if tier.cases else ("-", "-")
        lines.append(f"  {tier.tier:<28}{tier.cases:>8,}{tier.cases / evidence.cases:>8.1%}{tier.wrong:>8,}{error:>8}  {bound}")
    lines += [
        f"  {'a person':<28}{evidence.people:>8,}{evidence.people / evidence.cases:>8.1%}",
        "",
        f"Time per case: p50 {evidence.p50 * 1000:.1f} ms, p99 {evidence.p99 * 1000:.1f} ms (n={evidence.timed}, one at a time).",
        f"Cost per case: ${evidence.cost:.6f}, without people's time.",
    ]
    if volume:
        answered = evidence.answered / evidence.cases * volume
        lines.append(f"At {volume:,} cases a month: about {answered:,.0f} answered, {volume - answered:,.0f} for people.")
    return "\n".join(lines)
