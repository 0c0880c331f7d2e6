"""Turns candidates on the same test cases into paired comparisons against one of them. Knows nothing about costs or choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rung.evaluation.candidates import Candidate
from rung.statistics.paired import difference, holm, mcnemar, non_inferior, provable_margin

SIGNIFICANT = 0.05

Outcome = Callable[[Candidate], Sequence[bool]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate against another on n `cases`: those `gained`, right with the candidate alone, and `lost`, right with the other
    alone. `interval` is the 95 % interval (Tango) of `difference`, the candidate's share less the other's; `p` is McNemar's exact
    one, `adjusted` the same after Holm's correction over all comparisons that were made together."""

    candidate: str
    against: str
    cases: int
    gained: int
    lost: int
    interval: tuple[float, float]
    p: float
    adjusted: float

    @property
    def difference(self) -> float:
        """The difference seen (-1..1)."""
        return (self.gained - self.lost) / self.cases

    @property
    def differs(self) -> bool:
        """Whether the two can be told apart, at 5 % over all comparisons made together."""
        return self.adjusted <= SIGNIFICANT

    @property
    def sentence(self) -> str:
        """The difference in words: `2.1 points fewer (95 % interval -3.9 to -0.3, p = 0.021)`."""
        told = "no difference"
        if self.difference:
            told = f"{abs(self.difference) * 100:.1f} points {'more' if self.difference > 0 else 'fewer'}"
        return f"{told} (95 % interval {signed(self.interval[0])} to {signed(self.interval[1])}, {spell_p(self.p)})"

    def loses_less_than(self, margin: float) -> bool:
        """Whether it is shown, with 95 % confidence, that the candidate is not worse by this margin (0..1) or more."""
        return non_inferior(self.gained, self.lost, self.cases, margin) <= SIGNIFICANT

    @property
    def loses_at_most(self) -> float:
        """The smallest margin (0..1) of which that is shown."""
        return provable_margin(self.gained, self.lost, self.cases)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "difference": self.difference}


def compare(candidates: Sequence[Candidate], against: Candidate, outcome: Outcome) -> list[Comparison]:
    """Each candidate but that one itself, in their order. `outcome` says what counts as right: `by_right` or `by_helped`."""
    others = [one for one in candidates if one.name != against.name]
    counts = [_count(outcome(one), outcome(against)) for one in others]
    tests = [mcnemar(*pair) for pair in counts]
    n = len(against.right)
    return [
        Comparison(one.name, against.name, n, gained, lost, difference(gained, lost, n), p, adjusted)
        for one, (gained, lost), p, adjusted in zip(others, counts, tests, holm(tests), strict=True)
    ]


def by_right(candidate: Candidate) -> Sequence[bool]:
    """Whether the last answer that any tier gave is right as a whole, accepted or not."""
    return candidate.right


def by_helped(candidate: Candidate) -> Sequence[bool]:
    """Whether the case was answered without a person, and rightly."""
    return candidate.helped


def signed(share: float) -> str:
    """A difference of shares in points, with its sign."""
    return f"{100 * share:+.1f}".replace("-", "\u2212")


def spell_p(p: float) -> str:
    """A p-value as a sentence has it."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _count(new: Sequence[bool], old: Sequence[bool]) -> tuple[int, int]:
    pairs = list(zip(new, old, strict=True))
    return pairs.count((True, False)), pairs.count((False, True))
