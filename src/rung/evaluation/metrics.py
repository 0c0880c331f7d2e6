"""Turns what a cascade decided about agreed cases into every number that an evaluation reports, each with n and an interval.

Deterministic: the same cases and decisions give the same numbers, in whatever order they come. Knows nothing about time, which
does not repeat itself, or about limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from rung.core import Decision, same
from rung.evaluation.asking import Agreed
from rung.evaluation.confidence import Calibration, RiskCoverage, calibrate, trace
from rung.evaluation.faithfulness import Search
from rung.evaluation.fields import FieldMetrics, judge_fields
from rung.evaluation.findings import Finding, find
from rung.evaluation.rates import Draws, Estimate, Rate, draw, estimate, over, plain, rate
from rung.evaluation.slices import Slice, Worse, compare, cut
from rung.workload import Workload


@dataclass(frozen=True, slots=True)
class TierMetrics:
    """One tier: of the cases that reached it those it answered, and of those the wrong ones."""

    tier: str
    answered: Rate
    error: Rate


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A case whose last answer is wrong: its position `at` among the agreed, what was `expected` and `said` in the fields that
    differ, which tier said it, how sure it was, and whether it was accepted."""

    at: int
    accepted: bool
    confidence: float
    tier: str
    expected: Mapping[str, Any]
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Every number about one cascade on agreed cases.

    `answered` are the cases answered without a person, `error` the wrong among them. Whether it was accepted or not, the last
    answer that any tier gave is right as a `whole` (accuracy with no choice to abstain), was `objected` to by a check, or is not
    there at all (`refused`): each of all cases. `hallucinated` counts, of the cases with an answer, those with a copied value
    that stands nowhere in the case; `accepted_hallucinated` the same of those answered without a person. `cost` is in US dollars
    a case. `worst` are the slices that are significantly worse than the rest, `disagreements` all wrong last answers: accepted
    ones first, the most confident first. Where there is no case to tell from, a figure is None.
    """

    cases: int
    answered: Rate
    error: Rate
    whole: Rate
    refused: Rate
    objected: Rate
    hallucinated: Rate
    accepted_hallucinated: Rate
    cost: Estimate | None
    calibration: Calibration | None
    risk_coverage: RiskCoverage | None
    tiers: tuple[TierMetrics, ...]
    fields: tuple[FieldMetrics, ...]
    slices: tuple[Slice, ...]
    worst: tuple[Worse, ...]
    disagreements: tuple[Disagreement, ...]

    @property
    def slices_sentence(self) -> str:
        """Whether any slice is worse than the rest."""
        if self.worst:
            are = "is" if len(self.worst) == 1 else "are"
            return f"{len(self.worst):,} of {len(self.slices):,} slices {are} significantly worse than the rest."
        return (
            f"Of {len(self.slices):,} slices none has an error significantly above the rest's (Fisher's exact test, Holm, 5 %)."
        )

    def document(self) -> dict[str, Any]:
        """As JSON; floats have six significant digits, so that the same cases give the same bytes."""
        names = {one.name: one.name for one in fields(self)} | {"cost": "cost_usd_per_case"}
        return {told: plain(getattr(self, name)) for name, told in names.items()}


def measure(workload: Workload, agreed: Sequence[Agreed], decisions: Sequence[Decision]) -> Metrics:
    """Every number about the cascade that decided these cases, in their order, as `ask_all` gives them."""
    findings = find(agreed, decisions)
    draws = draw(len(findings))
    answers = [one for one in findings if one.said is not None]
    accepted = [one for one in findings if one.accepted]
    search = Search(workload)
    inventing = [one for one in answers if search.invented(one.case, one.said or {}, one.expected)]
    error = rate(sum(not one.right for one in accepted), len(accepted))
    slices = cut(workload, findings)
    return Metrics(
        cases=len(findings),
        answered=rate(len(accepted), len(findings)),
        error=error,
        whole=rate(sum(one.right for one in findings), len(findings)),
        refused=rate(len(findings) - len(answers), len(findings)),
        objected=rate(sum(one.objected for one in findings), len(findings)),
        hallucinated=rate(len(inventing), len(answers)),
        accepted_hallucinated=rate(sum(one.accepted for one in inventing), len(accepted)),
        cost=_cost(findings, draws),
        tiers=_tiers(findings),
        fields=judge_fields(workload, findings, draws),
        calibration=calibrate(findings, draws),
        risk_coverage=trace(findings, draws),
        slices=tuple(slices),
        worst=tuple(compare(slices, error)),
        disagreements=_disagreements(findings),
    )


def _cost(findings: Sequence[Finding], draws: Draws) -> Estimate | None:
    costs = np.array([one.cost for one in findings])
    return estimate(lambda drawn: over(drawn @ costs, drawn.sum(axis=1)), draws, len(findings))


def _tiers(findings: Sequence[Finding]) -> tuple[TierMetrics, ...]:
    """From the first that is asked to the last."""
    place: dict[str, int] = {}
    for one in findings:
        for at, tier in enumerate(one.reached):
            place[tier] = max(at, place.get(tier, 0))
    found: list[TierMetrics] = []
    for tier in sorted(place, key=lambda tier: (place[tier], tier)):
        right = [one.right for one in findings if one.accepted and one.tier == tier]
        reached = sum(tier in one.reached for one in findings)
        found.append(TierMetrics(tier, rate(len(right), reached), rate(right.count(False), len(right))))
    return tuple(found)


def _disagreements(findings: Sequence[Finding]) -> tuple[Disagreement, ...]:
    wrong = [one for one in findings if one.said is not None and not one.right]
    wrong.sort(key=lambda one: (not one.accepted, -one.confidence))
    found: list[Disagreement] = []
    for one in wrong:
        said = one.said or {}
        apart = [name for name, value in one.expected.items() if not same(said.get(name), value)]
        expected = {name: one.expected[name] for name in apart}
        instead = {name: said.get(name) for name in apart}
        found.append(Disagreement(one.at, one.accepted, one.confidence, one.tier, expected, instead))
    return tuple(found)
