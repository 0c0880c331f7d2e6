"""Turns evidence and limits into leave to release, or into every number that does not hold. Knows nothing about releases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rung.cascade.promise import contradiction
from rung.core import RungError
from rung.evaluation.evidence import Evidence
from rung.evaluation.slices import Slice
from rung.statistics.binomial import lower_bound
from rung.statistics.paired import difference, non_inferior, provable_margin
from rung.workload import Limits


class GateError(RungError):
    """The evidence does not allow this release: each failed limit with its number."""

    code = "gate_failed"
    exit_status = 1


@dataclass(frozen=True, slots=True)
class Drop:
    """A release beside `against`, which answers now, on the same `cases` that neither has learnt from: `gained` are answered
    rightly, without a person, by the new one alone, `lost` by the old one alone. `confidence` is the promise's."""

    against: str
    cases: int
    gained: int
    lost: int
    confidence: float

    def document(self) -> dict[str, Any]:
        """As JSON, with the two-sided interval of the change in the share answered rightly."""
        low, high = difference(self.gained, self.lost, self.cases, self.confidence)
        return {**asdict(self), "change_at_least": low, "change_at_most": high}


def gate(evidence: Evidence, limits: Limits, drop: Drop | None = None) -> None:
    """Raise `GateError` naming every number that does not hold, by how much, and what would help."""
    if failures := [*_failures(evidence, limits), *_drop_failures(drop, limits)]:
        raise GateError("this release is refused:\n" + "\n".join(f"  {failure}" for failure in failures))


def gate_drop(drop: Drop | None, limits: Limits) -> None:
    """Raise `GateError` unless a release is proven to drop by less than `limits.dropped` against the one that answers now."""
    for failure in _drop_failures(drop, limits):
        raise GateError(f"this release is not promoted: {failure}")


def _failures(evidence: Evidence, limits: Limits) -> Iterator[str]:
    if not evidence.cases:
        yield "the test split is empty, so nothing is shown. More gold, or fewer lines pinned to train, would help."
    against = contradiction(evidence.wrong, evidence.answered, evidence.promise)
    if against is not None:
        yield against
    if limits.p99 is not None and evidence.p99 > limits.p99:
        yield (
            f"p99 is {evidence.p99 * 1000:.0f} ms, {(evidence.p99 - limits.p99) * 1000:.0f} ms over limits.p99 of "
            f"{limits.p99 * 1000:.0f} ms (n={evidence.timed}). Shorter texts, fewer tiers or a faster machine would help."
        )
    if limits.cost_per_case is not None and evidence.cost > limits.cost_per_case:
        yield (
            f"a case costs ${evidence.cost:.6f}, ${evidence.cost - limits.cost_per_case:.6f} over limits.cost_per_case of "
            f"${limits.cost_per_case:g} (n={evidence.cases}). A cheaper endpoint, or more gold for the specialist, would help."
        )
    if limits.escalated is not None and evidence.escalated > limits.escalated:
        yield (
            f"{evidence.escalated:.1%} of the cases leave the specialists, {(evidence.escalated - limits.escalated) * 100:.1f} "
            f"points over limits.escalated of {limits.escalated:.0%} (n={evidence.cases}). More gold for the labels it confuses, "
            "or a promise that allows more error, would help."
        )
    yield from _ceiling_failures(evidence, limits)
    for attribute, ceiling in limits.slices.items():
        yield from _slice_failures(attribute, ceiling, evidence)


def _ceiling_failures(evidence: Evidence, limits: Limits) -> Iterator[str]:
    """A ceiling is broken where the exact lower bound lies above it: chance alone does not refuse a release."""
    metrics, sure = evidence.metrics, evidence.promise.confidence
    invented, refused = metrics.accepted_hallucinated, metrics.refused
    for rate, ceiling, name, what, help_ in (
        (invented, limits.hallucinated, "hallucinated", "answers hold a value that stands nowhere in the input", _INVENTED),
        (refused, limits.refused, "refused", "cases get no answer from any tier", _REFUSED),
    ):
        if ceiling is not None and (at_least := lower_bound(rate.count, rate.of, sure)) > ceiling:
            yield (
                f"{rate.count:,} of {rate.of:,} {what}, at least {at_least:.2%} with {sure:.0%} confidence, over limits.{name} "
                f"of {ceiling:.2%}. {help_}"
            )


_INVENTED = "A check that looks values up in the text, or a tier that copies, would help."
_REFUSED = "A later tier, or an endpoint that is up, would help."


def _slice_failures(attribute: str, ceiling: float, evidence: Evidence) -> Iterator[str]:
    """All slices of an attribute together: the confidence of each is raised so that all hold at once (Bonferroni)."""
    slices: Sequence[Slice] = [one for one in evidence.metrics.slices if one.by == attribute]
    if not slices:
        known = ", ".join(dict.fromkeys(one.by for one in evidence.metrics.slices)) or "none"
        yield (
            f"limits.slices names {attribute}, and the test cases have no such slices (they have: {known}). A label field, or an "
            "attribute of context with 2 to 30 different values, makes slices."
        )
    sure = 1 - (1 - evidence.promise.confidence) / max(len(slices), 1)
    for one in slices:
        at_least = lower_bound(one.error.count, one.error.of, sure)
        if at_least > ceiling:
            yield (
                f"among the cases with {one.name} {one.error.count:,} of {one.error.of:,} answers are wrong, at least "
                f"{at_least:.2%} (a bound that holds for all {len(slices)} slices at once with "
                f"{evidence.promise.confidence:.0%} confidence), over limits.slices.{attribute} of {ceiling:.2%}. More gold for "
                "it, or a check that leaves it to a person, would help."
            )


def _drop_failures(drop: Drop | None, limits: Limits) -> Iterator[str]:
    if drop is None or limits.dropped is None:
        return
    if drop.cases and non_inferior(drop.gained, drop.lost, drop.cases, limits.dropped) <= 1 - drop.confidence:
        return
    provable = provable_margin(drop.gained, drop.lost, drop.cases, drop.confidence) if drop.cases else 1.0
    yield (
        f"beside release {drop.against[:12]}, which answers now, {drop.gained:,} of {drop.cases:,} cases are answered rightly by "
        f"the new one alone and {drop.lost:,} by the old one alone: with {drop.confidence:.0%} confidence it loses less than "
        f"{provable * 100:.1f} points, and limits.dropped asks for less than {limits.dropped * 100:.1f}. "
        + ("More test cases, or a wider limit, would help." if drop.gained >= drop.lost else "A better release would help.")
    )
