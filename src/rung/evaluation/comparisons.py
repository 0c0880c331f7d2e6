"""Turns candidates on the same test cases into paired comparisons. Knows nothing about costs or choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from rung.evaluation.candidates import Candidate
from rung.statistics.paired import difference, holm, mcnemar, non_inferior, provable_margin

SIGNIFICANT = 0.05

Outcome = Callable[[Candidate], Sequence[bool]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate against another on n `cases`: those `gained`, right with the candidate alone, and `lost`, right with the other
    alone. `p` is McNemar's exact one, `adjusted` the same after Holm's correction over all comparisons made together."""

    candidate: str
    against: str
    cases: int
    gained: int
    lost: int
    p: float
    adjusted: float

    @property
    def difference(self) -> float:
        """The difference seen (-1..1): the candidate's share less the other's."""
        return (self.gained - self.lost) / self.cases

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval (Tango) of that difference, for this comparison by itself."""
        return difference(self.gained, self.lost, self.cases)

    @property
    def differs(self) -> bool:
        """Whether the two can be told apart, at 5 % over all comparisons made together."""
        return self.adjusted <= SIGNIFICANT

    @property
    def sentence(self) -> str:
        """The difference in words: `2.1 points fewer (95 % interval -3.9 to -0.3, corrected p = 0.021)`."""
        told = "no difference"
        if self.difference:
            told = f"{abs(self.difference) * 100:.1f} points {'more' if self.difference > 0 else 'fewer'}"
        low, high = map(signed, self.interval)
        return f"{told} (95 % interval {low} to {high}, corrected {spell_p(self.adjusted)})"

    def loses_less_than(self, margin: float) -> bool:
        """Whether it is shown, with 95 % confidence, that the candidate is not worse by this margin (0..1) or more."""
        return non_inferior(self.gained, self.lost, self.cases, margin) <= SIGNIFICANT

    @property
    def loses_at_most(self) -> float:
        """The smallest margin (0..1) of which that is shown."""
        return provable_margin(self.gained, self.lost, self.cases)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "difference": self.difference, "interval": self.interval}


def compare(candidates: Sequence[Candidate], outcome: Outcome, fixed: str | None = None) -> dict[tuple[str, str], Comparison]:
    """Every two candidates, as `[candidate, against]`, both ways round. `outcome` says what counts as right.

    Correction is for all pairs, so that it holds whichever two are picked by their results. Where one candidate is `fixed` before
    any result is known, those that hold it are the only pairs, and the correction is for as many as there are others.
    """
    seen = {one.name: np.array(outcome(one), dtype=bool) for one in candidates}
    pairs = [pair for pair in combinations(seen, 2) if fixed is None or fixed in pair]
    counts = [(int(np.sum(seen[one] & ~seen[two])), int(np.sum(seen[two] & ~seen[one]))) for one, two in pairs]
    tests = [mcnemar(*count) for count in counts]
    found: dict[tuple[str, str], Comparison] = {}
    for (one, two), (gained, lost), p, adjusted in zip(pairs, counts, tests, holm(tests), strict=True):
        found[one, two] = Comparison(one, two, len(seen[one]), gained, lost, p, adjusted)
        found[two, one] = Comparison(two, one, len(seen[one]), lost, gained, p, adjusted)
    return found


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
