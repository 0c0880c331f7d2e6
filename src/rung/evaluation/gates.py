"""Turns evidence and limits into leave to release, or into every number that does not hold. Knows nothing about releases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rung.cascade.promise import contradiction
from rung.core import RungError
from rung.evaluation.evidence import Evidence, spell_cost
from rung.evaluation.rates import Rate
from rung.evaluation.slices import Slice
from rung.evaluation.times import milliseconds
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


def doubts(evidence: Evidence, limits: Limits) -> list[str]:
    """What lies over its limit by no more than chance may do: it refuses nothing, and is said."""
    return [figure.doubt for figure in _figures(evidence, limits) if figure.at_least <= figure.limit < figure.value]


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
    yield from (figure.refusal for figure in _figures(evidence, limits) if figure.at_least > figure.limit)
    for attribute, ceiling in limits.slices.items():
        yield from _slice_failures(attribute, ceiling, evidence)


@dataclass(frozen=True, slots=True)
class _Figure:
    """A figure with a ceiling: `seen` says it with its n and interval, `bound` says `at_least`, below which it lies only by a
    chance that the confidence rules out."""

    name: str
    value: float
    at_least: float
    limit: float
    seen: str
    bound: str
    asked: str
    help: str

    @property
    def refusal(self) -> str:
        return f"{self.seen}, at least {self.bound}, over limits.{self.name} of {self.asked}. {self.help}"

    @property
    def doubt(self) -> str:
        return (
            f"{self.seen}, over limits.{self.name} of {self.asked}. That may be chance, so nothing is refused; more test cases "
            f"would tell. {self.help}"
        )


def _figures(evidence: Evidence, limits: Limits) -> Iterator[_Figure]:
    """A ceiling is broken where the lower bound lies above it: chance alone does not refuse a release."""
    sure, times, cost = evidence.promise.confidence, evidence.times, evidence.metrics.cost
    if limits.p99 is not None and times:
        at_least, p99 = times.at_least("p99", sure), times["p99"].seconds
        seen = f"p99 is {milliseconds(p99)} (n={len(times):,}, {times.how}; 95% interval {times.between('p99')})"
        asked, bound = milliseconds(limits.p99), f"{milliseconds(at_least)} with {sure * 100:g}% confidence"
        yield _Figure("p99", p99, at_least, limits.p99, seen, bound, asked, _SLOW)
    if limits.cost_per_case is not None and cost is not None:
        seen = f"a case costs {spell_cost(evidence)[:-1]}, 95% interval, n={cost.of:,})"
        bound, limit = f"${cost.low:.6f} by that interval", limits.cost_per_case
        yield _Figure("cost_per_case", cost.value, cost.low, limit, seen, bound, f"${limit:g}", _DEAR)
    metrics = evidence.metrics
    for rate, limit, name, what, help_ in (
        (evidence.left, limits.escalated, "escalated", "cases leave the specialists", _LEFT),
        (
            metrics.accepted_hallucinated,
            limits.hallucinated,
            "hallucinated",
            "answers hold a value that stands nowhere in the input",
            _INVENTED,
        ),
        (metrics.refused, limits.refused, "refused", "cases get no answer from any tier", _REFUSED),
    ):
        if limit is not None and rate.share is not None:
            at_least = lower_bound(rate.count, rate.of, sure)
            seen = f"{rate.count:,} of {rate.of:,} {what}: {rate.share:.2%} ({_between(rate)})"
            bound = f"{at_least:.2%} with {sure * 100:g}% confidence"
            yield _Figure(name, rate.share, at_least, limit, seen, bound, f"{limit:.2%}", help_)


def _between(rate: Rate) -> str:
    return f"95% interval {rate.low:.2%} to {rate.high:.2%}"


_SLOW = "Shorter texts, fewer tiers or a faster machine would help."
_DEAR = "A cheaper endpoint, or more gold for the specialist, would help."
_LEFT = "More gold for the labels it confuses, or a promise that allows more error, would help."
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
                f"among the cases with {one.name} {one.error.count:,} of {one.error.of:,} answers are wrong "
                f"({_between(one.error)}), at least {at_least:.2%} (a bound that holds for all {len(slices)} slices at once with "
                f"{evidence.promise.confidence:.0%} confidence), over limits.slices.{attribute} of {ceiling:.2%}. More gold for "
                "it, or a check that leaves it to a person, would help."
            )


def _drop_failures(drop: Drop | None, limits: Limits) -> Iterator[str]:
    if drop is None or limits.dropped is None:
        return
    if drop.cases and non_inferior(drop.gained, drop.lost, drop.cases, limits.dropped) <= 1 - drop.confidence:
        return
    low, high = difference(drop.gained, drop.lost, drop.cases, drop.confidence)
    provable = provable_margin(drop.gained, drop.lost, drop.cases, drop.confidence) if drop.cases else 1.0
    yield (
        f"beside release {drop.against[:12]}, which answers now, {drop.gained:,} of {drop.cases:,} cases are answered rightly by "
        f"the new one alone and {drop.lost:,} by the old one alone, a change of {low * 100:+.1f} to {high * 100:+.1f} points "
        f"({drop.confidence * 100:g}% interval): with {drop.confidence * 100:g}% confidence it loses less than "
        f"{provable * 100:.3g} points, and limits.dropped asks for less than {limits.dropped * 100:g}. "
        + ("More test cases, or a wider limit, would help." if drop.gained >= drop.lost else "A better release would help.")
    )
