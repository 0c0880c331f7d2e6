"""Turns costs as they come in into proof that their mean is above a ceiling, which holds however often one looks.

Knows nothing about what is observed: only numbers from 0 on. Replaying the same ones in the same order, in any portions, gives
the same state. Method: testing by betting, as in `rung.statistics.sequential`, by the one gambler who bets on "above".
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

from rung.statistics.sequential import RISK


class Ceiling:
    """A test of "the mean is above a ceiling", for observations from 0 on that nothing bounds, such as costs.

    It says so of a mean that is not with a chance of at most `alpha`, however often one looks. Who bets on "above" cannot lose
    more than what he stakes on the way down to 0, so that this needs no upper bound.
    """

    __slots__ = ("_capital", "_ceiling", "_count", "_proven", "_spread", "_threshold", "_total")

    def __init__(self, ceiling: float, alpha: float = 0.05) -> None:
        """Nothing is proven yet."""
        self._ceiling = ceiling
        self._threshold = log(1 / alpha)
        self._capital, self._proven = 0.0, False
        self._count, self._total, self._spread = 1, 1.0, 0.25  # in ceilings, as if one observation at the ceiling had been seen

    def update(self, values: Sequence[float] | NDArray[np.float64]) -> None:
        """Takes further observations; `ValueError` if one is negative or not finite."""
        seen = np.asarray(values, np.float64)
        if not (np.isfinite(seen) & (seen >= 0)).all():
            raise ValueError("an observation must be a number from 0 on")
        if self._ceiling <= 0:
            self._proven |= bool((seen > 0).any())
        elif len(seen):
            self._bet(seen / self._ceiling)

    def proven(self) -> bool:
        """Whether the mean is proven to be above the ceiling; once it is, it stays so."""
        return self._proven

    def _bet(self, seen: NDArray[np.float64]) -> None:
        counts = self._count + np.arange(len(seen) + 1)
        totals = np.cumsum(np.append(self._total, seen))
        means = totals / counts
        spreads = np.cumsum(np.append(self._spread, (seen - means[:-1]) * (seen - means[1:])))
        lead = means[:-1] - 1
        stakes = np.clip(lead / ((spreads / counts)[:-1] + lead * lead), 0, RISK)
        path = self._capital + np.cumsum(np.log1p(stakes * (seen - 1)))
        self._capital, self._proven = float(path[-1]), self._proven or bool(path.max() >= self._threshold)
        self._count, self._total, self._spread = int(counts[-1]), float(totals[-1]), float(spreads[-1])
