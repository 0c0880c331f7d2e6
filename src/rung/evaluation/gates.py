"""Turns evidence and limits into leave to release, or into every number that does not hold. Knows nothing about releases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rung.cascade.promise import contradiction
from rung.core import RungError
from rung.evaluation.evidence import Evidence, spell_cost
from rung.evaluation.rates import Rate
from rung.evaluation.slices import Slice
from rung.evaluation.times import milliseconds
from rung.statistics.binomial import lower_bound, upper_bound
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


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the gate makes of the promise or of a limit, by its name in the file: "proven"; "within" it as far as the test cases
    tell; "doubtful" where what lies over it may be chance, which refuses nothing; or "refused". The sentence has the figure, n,
    interval and bound, and what would help."""

    limit: str
    verdict: Literal["proven", "within", "doubtful", "refused"]
    sentence: str


def rulings(evidence: Evidence, limits: Limits, drop: Drop | None = None) -> list[Ruling]:
    """What the gate makes of the promise and of each limit that is set, in this order; of `dropped` where there is a `drop`."""
    found = [_promise_ruling(evidence), *(figure.ruling for figure in _figures(evidence, limits))]
    for attribute, ceiling in limits.slices.items():
        found += _slice_rulings(attribute, ceiling, evidence)
    return [*found, *_drop_rulings(drop, limits)]


def gate(evidence: Evidence, limits: Limits, drop: Drop | None = None) -> None:
    """Raise `GateError` naming every number that does not hold, by how much, and what would help."""
    if failures := _that_are("refused", rulings(evidence, limits, drop)):
        raise GateError("this release is refused:\n" + "\n".join(f"  {failure}" for failure in failures))


def doubts(evidence: Evidence, limits: Limits) -> list[str]:
    """What lies over its limit by no more than chance may do: it refuses nothing, and is said."""
    return _that_are("doubtful", rulings(evidence, limits))


def gate_drop(drop: Drop | None, limits: Limits) -> None:
    """Raise `GateError` unless a release is proven to drop by less than `limits.dropped` against the one that answers now."""
    for failure in _that_are("refused", _drop_rulings(drop, limits)):
        raise GateError(f"this release is not promoted: {failure}")


def _that_are(verdict: str, found: Iterable[Ruling]) -> list[str]:
    return [one.sentence for one in found if one.verdict == verdict]


def _promise_ruling(evidence: Evidence) -> Ruling:
    if not evidence.cases:
        empty = "the test split is empty, so nothing is shown. More gold, or fewer lines pinned to train, would help."
        return Ruling("promise", "refused", empty)
    wrong, answered, promise = evidence.wrong, evidence.answered, evidence.promise
    if against := contradiction(wrong, answered, promise):
        return Ruling("promise", "refused", against)
    if not answered:
        return Ruling(
            "promise", "doubtful", "no test case is answered without a person, so nothing is shown. More gold would help."
        )
    at_most = upper_bound(wrong, answered, promise.confidence)
    seen = (
        f"{wrong:,} of {answered:,} answers are wrong, {wrong / answered:.2%}, at most {at_most:.2%} with "
        f"{promise.confidence * 100:g}% confidence, and {promise.error * 100:g}% was promised."
    )
    if wrong / answered > promise.error:
        return Ruling("promise", "doubtful", f"{seen} {_CHANCE}")
    if at_most > promise.error:
        return Ruling("promise", "within", f"{seen} These cases are too few to prove it; calibration has.")
    return Ruling("promise", "proven", seen)


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
    def ruling(self) -> Ruling:
        limit = f"limits.{self.name} of {self.asked}"
        if self.at_least > self.limit:
            return Ruling(self.name, "refused", f"{self.seen}, at least {self.bound}, over {limit}. {self.help}")
        if self.value > self.limit:
            return Ruling(self.name, "doubtful", f"{self.seen}, over {limit}. {_CHANCE} {self.help}")
        return Ruling(self.name, "within", f"{self.seen}, at least {self.bound}, within {limit}.")


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


_CHANCE = "That may be chance, so nothing is refused; more test cases would tell."
_SLOW = "Shorter texts, fewer tiers or a faster machine would help."
_DEAR = "A cheaper endpoint, or more gold for the specialist, would help."
_LEFT = "More gold for the labels it confuses, or a promise that allows more error, would help."
_INVENTED = "A check that looks values up in the text, or a tier that copies, would help."
_REFUSED = "A later tier, or an endpoint that is up, would help."
_OF_SLICES = {
    "refused": " More gold for it, or a check that leaves it to a person, would help.",
    "doubtful": f" {_CHANCE}",
    "within": "",
}


def _slice_rulings(attribute: str, ceiling: float, evidence: Evidence) -> list[Ruling]:
    """All slices of an attribute together: the confidence of each is raised so that all hold at once (Bonferroni). One for each
    that is over the ceiling, or one for the nearest to it."""
    slices: Sequence[Slice] = [one for one in evidence.metrics.slices if one.by == attribute]
    name, confidence = f"slices.{attribute}", evidence.promise.confidence
    if not slices:
        known = ", ".join(dict.fromkeys(one.by for one in evidence.metrics.slices)) or "none"
        missing = (
            f"limits.slices names {attribute}, and the test cases have no such slices (they have: {known}). A label field, or an "
            "attribute of context with 2 to 30 different values, makes slices."
        )
        return [Ruling(name, "refused", missing)]
    sure = 1 - (1 - confidence) / len(slices)
    bounds = [(lower_bound(one.error.count, one.error.of, sure), one) for one in slices]
    over = [(bound, one) for bound, one in bounds if bound > ceiling]
    found: list[Ruling] = []
    for at_least, one in over or [max(bounds, key=lambda pair: pair[0])]:
        sentence = (
            f"among the cases with {one.name} {one.error.count:,} of {one.error.of:,} answers are wrong "
            f"({_between(one.error)}), at least {at_least:.2%} (a bound that holds for all {len(slices)} slices at once with "
            f"{confidence:.0%} confidence), {'over' if over else 'the most of any, within'} limits.{name} of {ceiling:.2%}."
        )
        verdict = "refused" if over else "doubtful" if (one.error.share or 0.0) > ceiling else "within"
        found.append(Ruling(name, verdict, sentence + _OF_SLICES[verdict]))
    return found


def _drop_rulings(drop: Drop | None, limits: Limits) -> Iterator[Ruling]:
    if drop is None or limits.dropped is None:
        return
    low, high = difference(drop.gained, drop.lost, drop.cases, drop.confidence)
    provable = provable_margin(drop.gained, drop.lost, drop.cases, drop.confidence) if drop.cases else 1.0
    seen = (
        f"beside release {drop.against[:12]}, which answers now, {drop.gained:,} of {drop.cases:,} cases are answered rightly by "
        f"the new one alone and {drop.lost:,} by the old one alone, a change of {low * 100:+.1f} to {high * 100:+.1f} points "
        f"({drop.confidence * 100:g}% interval): with {drop.confidence * 100:g}% confidence it loses less than "
        f"{provable * 100:.3g} points, and limits.dropped asks for less than {limits.dropped * 100:g}."
    )
    if drop.cases and non_inferior(drop.gained, drop.lost, drop.cases, limits.dropped) <= 1 - drop.confidence:
        yield Ruling("dropped", "proven", seen)
    else:
        better = "More test cases, or a wider limit," if drop.gained >= drop.lost else "A better release"
        yield Ruling("dropped", "refused", f"{seen} {better} would help.")
