"""Turns observations as they come in into intervals and decisions that hold however often one looks.

Knows nothing about what is observed: only numbers from 0 to 1, such as 1 for a wrong answer. Replaying the same observations
in the same order, in any portions, gives the same state.

Method: testing by betting (Waudby-Smith, Ramdas 2024, JRSS-B 86, 1-27, "Estimating means of bounded random variables by
betting"). For each candidate mean two gamblers start with 1: one bets that the true mean is above it, one that it is below. At
a true mean no gambler wins in expectation, so the chance that his capital ever reaches 1 / alpha is at most alpha (Ville
1939). Each stakes what nearly maximises his growth after what was seen so far (their "aGRAPA").
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

RISK = 0.75  # of his capital, the most that a gambler stakes: all of it could be lost for good
AT_ONCE = 32  # observations in one step of a long replay
UNEVEN = 1.1  # the variance of a block's difference, in variances of one observation: 2 and 2 will do, or 1 and 10

MEANS = np.sin(np.linspace(0, np.pi / 2, 501)[1:-1]) ** 2  # candidates: finest near 0 and 1, where means vary least
DIFFERENCES = np.linspace(-1, 1, 401)[1:-1] * np.abs(np.linspace(-1, 1, 401)[1:-1])  # finest near 0

Comparison: TypeAlias = Literal["better", "worse", "undecided"]


class Mean:
    """An always-valid interval of the mean of observations from 0 to 1, each with that mean whatever came before it."""

    __slots__ = ("_candidates", "_capital", "_count", "_most", "_ruled_out", "_spread", "_threshold", "_total")

    def __init__(self, confidence: float = 0.95, candidates: ArrayLike = MEANS) -> None:
        """The interval's ends can be the candidates (rising, between 0 and 1 exclusive), 0 and 1."""
        self._candidates = np.asarray(candidates, np.float64)
        self._most = -RISK / (1 - self._candidates), RISK / self._candidates
        self._threshold = log(2 / (1 - confidence))
        self._capital = np.zeros((2, len(self._candidates)))  # logarithms: of who bets on above, and on below
        self._ruled_out = np.zeros(self._capital.shape, bool)
        self._count, self._total, self._spread = 1, 0.5, 0.25  # as if one observation, neither high nor low, had been seen

    def update(self, values: Sequence[float] | NDArray[np.float64]) -> None:
        """Takes further observations; `ValueError` if one is not between 0 and 1."""
        seen = _checked(values)
        for start in range(0, len(seen), AT_ONCE):
            self._bet(seen[start : start + AT_ONCE])

    def interval(self) -> tuple[float, float]:
        """The mean lies between these with the confidence, at all times together.

        An end once proven stays. If the low end lies above the high one, no single mean fits what was seen: it has moved.
        """
        above, below = self._ruled_out
        low, high = int(np.append(above, False).argmin()), int(np.append(below[::-1], False).argmin())
        return float(self._candidates[low - 1]) if low else 0.0, float(self._candidates[-high]) if high else 1.0

    def _bet(self, seen: NDArray[np.float64]) -> None:
        counts = self._count + np.arange(len(seen) + 1)
        totals = np.cumsum(np.append(self._total, seen))
        means = totals / counts  # before each observation, and after the last
        spreads = np.cumsum(np.append(self._spread, (seen - means[:-1]) * (seen - means[1:])))
        lead = means[:-1, None] - self._candidates
        stakes = lead / ((spreads / counts)[:-1, None] + lead * lead)
        gains = np.log1p(np.clip(stakes, *self._most) * (seen[:, None] - self._candidates))
        paths = np.empty((2, len(seen) + 1, len(self._candidates)))
        paths[:, 0], paths[0, 1:], paths[1, 1:] = self._capital, gains * (lead > 0), gains * (lead < 0)
        np.cumsum(paths, axis=1, out=paths)
        self._capital = paths[:, -1].copy()
        self._ruled_out |= paths.max(axis=1) >= self._threshold
        self._count, self._total, self._spread = int(counts[-1]), float(totals[-1]), float(spreads[-1])


class Difference:
    """An always-valid interval of the second arm's mean less the first's, for observations from 0 to 1 that come in any order
    and at any ratio, the order not depending on what is observed.

    The observations are cut into blocks as soon as a block has enough of both arms; the differences of the blocks' means have
    the difference as their mean. What moves both arms alike, a rush hour, so nearly cancels out.
    """

    __slots__ = ("_arms", "_mean")

    def __init__(self, confidence: float = 0.95, candidates: ArrayLike = DIFFERENCES) -> None:
        """The interval's ends can be the candidates (rising, between -1 and 1 exclusive), -1 and 1."""
        self._mean = Mean(confidence, (1 + np.asarray(candidates, np.float64)) / 2)
        self._arms = [[0, 0.0], [0, 0.0]]  # in the open block, the count and total of each

    def update(self, second: Sequence[bool] | NDArray[np.bool_], values: Sequence[float] | NDArray[np.float64]) -> None:
        """Takes further observations and, for each, whether it is of the second arm; `ValueError` as for a mean."""
        blocks: list[float] = []
        for arm, value in zip(np.asarray(second, int).tolist(), _checked(values).tolist(), strict=True):
            self._arms[arm][0] += 1
            self._arms[arm][1] += value
            (few, first), (many, last) = self._arms
            if few and many and 1 / few + 1 / many <= UNEVEN:
                blocks.append((1 + last / many - first / few) / 2)
                self._arms = [[0, 0.0], [0, 0.0]]
        self._mean.update(blocks)

    def interval(self) -> tuple[float, float]:
        """The difference lies between these with the confidence, at all times together; see `Mean.interval`."""
        low, high = self._mean.interval()
        return 2 * low - 1, 2 * high - 1

    def decision(self) -> Comparison:
        """Whether the second arm's mean is proven to be higher ("better") or lower ("worse"); wrong with a chance of at most
        1 - confidence, however often one looks."""
        low, high = self.interval()
        if (low >= 0) == (high <= 0):  # neither, or both because the difference has moved
            return "undecided"
        return "better" if low >= 0 else "worse"


class Excess:
    """A test of "the second arm has more than `margin` (0..1) more bad events than the first", for halting a canary.

    It halts a canary that is not worse than that with a chance of at most `alpha`, however often one looks.
    """

    __slots__ = ("_difference",)

    def __init__(self, margin: float, alpha: float = 0.05) -> None:
        """Nothing is proven yet."""
        self._difference = Difference(1 - 2 * alpha, [margin])

    def update(self, second: Sequence[bool] | NDArray[np.bool_], bad: Sequence[float] | NDArray[np.float64]) -> None:
        """Takes further observations: whether each is of the second arm, and 1 for a bad event, 0 for none."""
        self._difference.update(second, bad)

    def proven(self) -> bool:
        """Whether the excess is proven; once it is, it stays so."""
        return self._difference.interval()[0] > -1


def _checked(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    seen = np.asarray(values, np.float64)
    if not ((seen >= 0) & (seen <= 1)).all():
        raise ValueError("an observation must be a number from 0 to 1")
    return seen
