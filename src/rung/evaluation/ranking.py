"""Turns a bake-off's candidates and costs into an order by cost, people included, and into the one to take. Knows no words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rung.evaluation.candidates import Bakeoff, Candidate
from rung.evaluation.comparisons import Comparison, by_helped, compare
from rung.evaluation.money import Bill, bill, by_person
from rung.workload import Costs

CLOSE = 0.05  # of the cheapest total: what costs no more above it may be taken for being smaller


@dataclass(frozen=True, slots=True)
class Ranked:
    """One candidate with its bill. `open` says that it may be released: it keeps the promise and every limit. `apart` compares
    the cases it answers rightly with the cheapest open one's, corrected for all pairs of candidates, as which is cheapest is a
    result; None for what is not open, and for the cheapest itself."""

    candidate: Candidate
    bill: Bill
    open: bool
    apart: Comparison | None = None

    @property
    def name(self) -> str:
        """The candidate's name."""
        return self.candidate.name


def rank(bakeoff: Bakeoff, costs: Costs, volume: int | None) -> list[Ranked]:
    """All candidates: those that may be released first, then the others, each from the cheapest on."""
    ranked = [Ranked(one, bill(one, costs, volume), one.threshold is not None and not one.refused) for one in bakeoff.candidates]
    ranked.sort(key=lambda one: (not one.open, one.bill.total, *_size(one.candidate), one.name))
    pairs = compare(bakeoff.candidates, by_helped)
    return [replace(one, apart=pairs.get((one.name, ranked[0].name))) if one.open else one for one in ranked]


def pick(ranking: Sequence[Ranked], costs: Costs) -> Ranked | None:
    """The candidate to take: the cheapest that may be released, or the smallest of those that cost at most `CLOSE` more and
    cannot be told apart from it, of equal ones the cheapest. None where there is none, or none that is cheaper than people
    alone."""
    able = [one for one in ranking if one.open and one.bill.total < by_person(costs)]
    near = [
        one for one in able if one.bill.total <= able[0].bill.total * (1 + CLOSE) and (one.apart is None or not one.apart.differs)
    ]
    return min(near, key=lambda one: _size(one.candidate), default=None)


def unbeaten(measured: Sequence[tuple[float, ...]]) -> list[bool]:
    """Which of these no other is at least as good as in every figure, less being better, and better in one: the Pareto front."""
    beaten = ((other != one and all(a <= b for a, b in zip(other, one, strict=True)) for other in measured) for one in measured)
    return [not any(each) for each in beaten]


def large(bakeoff: Bakeoff) -> Candidate | None:
    """The large baseline that is right most often, if any is named."""
    return best([one for one in bakeoff.candidates if one.large])


def fixed(bakeoff: Bakeoff) -> str | None:
    """The one large baseline: what others are held against before any result is known. None where the results decide on that,
    because there is none, or are several."""
    names = [one.name for one in bakeoff.candidates if one.large]
    return names[0] if len(names) == 1 else None


def reference(bakeoff: Bakeoff, chosen: str | None) -> Candidate | None:
    """What a decision is held against: the large baseline, or else what is right most often of those not `chosen`."""
    big = large(bakeoff)
    return big if big and big.name != chosen else best([one for one in bakeoff.candidates if one.name != chosen])


def best(candidates: Sequence[Candidate]) -> Candidate | None:
    """The candidate that is right most often, of equals the smallest."""
    return min(candidates, key=lambda one: (-sum(one.right), *_size(one), one.name), default=None)


def _size(candidate: Candidate) -> tuple[bool, bool, int, float]:
    """Small is what needs no endpoint, whose bytes are not known; then what takes fewer bytes, then less of a machine."""
    return candidate.kind == "endpoint", candidate.cost > 0, candidate.size, candidate.busy
