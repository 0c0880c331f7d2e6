"""Turns observations as they come in into intervals and decisions that hold however often one looks.

Knows nothing about what is observed: only numbers from 0 to 1, such as 1 for a wrong answer. Replaying the same observations
in the same order, in any portions, gives the same state.

Method: testing by betting (Waudby-Smith, Ramdas 2024, JRSS-B 86, 1-27, "Estimating means of bounded random variables by
betting"). For each candidate mean two gamblers start with 1: one bets that the true mean is above it, one that it is below. At
a true mean no gambler wins in expectation, so the chance that his capital ever reaches 1 / alpha is at most alpha (Ville
1939). Each stakes what nearly maximises his growth after what was seen so far (their "aGRAPA").

Observations included with unequal, known chances p carry weights w = c / p, with one constant c: over what is included, each
w (x - m) is 0 in expectation at the true mean m of all, although x - m is not (inverse-probability weighting; in bets: Shekhar,
Xu, Lipton, Liang, Ramdas 2023, UAI, arXiv:2305.06884). So gamblers bet on w (x - m). Their stakes are limited as before, since w
is at most 1, and are set before w is seen: given w, x - m is not 0 in expectation.

A mean may move. Gamblers whose stakes never change test what it was on average: a stake b wins, on average, 1 + b (mean - m) a
time, and a product of such numbers is at most the power of their mean. So where the mean so far is at most m, whoever bet on
above has at most what a fair game would have given him, whatever the order. `Share` and `Turn` divide each capital among a few
such stakes (their "diversified Kelly"), each the best one for some ratio of the true share to m.
"""

from __future__ import annotations

from bisect import bisect_left
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

ABOVE = np.array([1.2, 1.5, 2.0, 3.0, 6.0]), np.array([0.05, 0.08, 0.72, 0.09, 0.06])  # true share / m, part of the capital:
BELOW = np.array([0.1, 0.3, 0.5, 0.7, 0.85]), np.array([0.15, 0.2, 0.3, 0.2, 0.15])  # a share that has doubled is found soonest
AT_FIRST, LATER = 0.6, 1500.0  # part of the capital staked from the first observation on, and half of the rest after so many more
FAR = 0.04 * np.arange(-40, 41) * (1 + abs(np.arange(-40, 41)) / 20)  # log-odds from a share to its candidates: finest near it
MOST = 100_000  # observations ahead: nobody plans for more
BLOCK = 64  # factors, each from 1 - RISK to the largest of ABOVE, in a product that neither overflows nor vanishes

Hits: TypeAlias = Sequence[bool | None] | NDArray[np.bool_] | NDArray[np.float64]  # None, in an array NaN: nobody knows
Comparison: TypeAlias = Literal["better", "worse", "undecided"]


class Mean:
    """An always-valid interval of the mean of observations from 0 to 1, each with that mean whatever came before it."""

    __slots__ = ("_candidates", "_capital", "_count", "_most", "_ruled_out", "_spread", "_squares", "_threshold", "_total")

    def __init__(self, confidence: float = 0.95, candidates: ArrayLike = MEANS) -> None:
        """The interval's ends can be the candidates (rising, between 0 and 1 exclusive), 0 and 1."""
        self._candidates = np.asarray(candidates, np.float64)
        self._most = -RISK / (1 - self._candidates), RISK / self._candidates
        self._threshold = log(2 / (1 - confidence))
        self._capital = np.zeros((2, len(self._candidates)))  # logarithms: of who bets on above, and on below
        self._ruled_out = np.zeros(self._capital.shape, bool)
        self._count, self._squares = 1.0, 1.0  # sums of weights and of their squares, as if one observation had been seen
        self._total, self._spread = 0.5, 0.25  # and it had been neither high nor low

    def update(
        self, values: Sequence[float] | NDArray[np.float64], weights: Sequence[float] | NDArray[np.float64] | None = None
    ) -> None:
        """Takes further observations and their weights, above 0 and at most 1, in inverse proportion to the chances with which
        they were included; without, all are 1. `ValueError` if an observation is not between 0 and 1, or a weight no weight."""
        seen = _checked(values)
        heavy = weighed(weights, len(seen))
        for start in range(0, len(seen), AT_ONCE):
            self._bet(seen[start : start + AT_ONCE], heavy[start : start + AT_ONCE])

    def interval(self) -> tuple[float, float]:
        """The mean lies between these with the confidence, at all times together.

        An end once proven stays. If the low end lies above the high one, no single mean fits what was seen: it has moved.
        """
        above, below = self._ruled_out
        low, high = int(np.append(above, False).argmin()), int(np.append(below[::-1], False).argmin())
        return float(self._candidates[low - 1]) if low else 0.0, float(self._candidates[-high]) if high else 1.0

    def _bet(self, seen: NDArray[np.float64], weights: NDArray[np.float64]) -> None:
        # The best stake is nearly E[g] / E[g^2] for g = w (x - m). About the weighted mean, E[g] is lead E[w], and E[g^2] is
        # E[w^2 (x - mean)^2] + lead^2 E[w^2]; what is left out, 2 lead E[w^2 (x - mean)], costs no validity and little growth.
        counts = np.cumsum(np.append(self._count, weights))
        squares = np.cumsum(np.append(self._squares, weights * weights))
        totals = np.cumsum(np.append(self._total, weights * seen))
        means = totals / counts  # before each observation, and after the last
        spreads = np.cumsum(np.append(self._spread, weights * weights * (seen - means[:-1]) * (seen - means[1:])))
        lead = means[:-1, None] - self._candidates
        stakes = lead * (counts / squares)[:-1, None] / ((spreads / squares)[:-1, None] + lead * lead)
        gains = np.log1p(np.clip(stakes, *self._most) * (weights[:, None] * (seen[:, None] - self._candidates)))
        paths = np.empty((2, len(seen) + 1, len(self._candidates)))
        paths[:, 0], paths[0, 1:], paths[1, 1:] = self._capital, gains * (lead > 0), gains * (lead < 0)
        np.cumsum(paths, axis=1, out=paths)
        self._capital = paths[:, -1].copy()
        self._ruled_out |= paths.max(axis=1) >= self._threshold
        self._count, self._squares = float(counts[-1]), float(squares[-1])
        self._total, self._spread = float(totals[-1]), float(spreads[-1])


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


class Share:
    """Always-valid bounds of the share of hits, finest near `mark` (0..1, exclusive).

    The share may move. Then they speak of its average so far, and what is proven once can be lost again. With the confidence, at
    all times together, the low one is never above a number, such as the mark, that the average does not exceed, nor the high one
    below one that it does. Each holds by itself; for a share that stays the same, whatever it is.

    Where it is not known whether an observation is a hit (NaN), every gambler loses: the bounds hold whichever it is.
    """

    __slots__ = ("_candidates", "_capital", "_stakes", "_sums", "_threshold", "hits", "observed", "unknown")

    def __init__(self, mark: float, confidence: float = 0.95) -> None:
        """The bounds can be the candidates, among them the mark itself, 0 and 1."""
        self._candidates = 1 / (1 + (1 / mark - 1) * np.exp(-FAR))
        self._candidates[len(FAR) // 2] = mark
        self._stakes = _stakes(self._candidates, np.concatenate([ABOVE[0], BELOW[0]]))
        self._threshold = -log(1 - confidence)
        self._capital = np.zeros(self._stakes.shape)  # logarithms
        self.observed, self.hits, self.unknown, self._sums = 0, 0, 0, np.zeros(2)  # counts, and the weights of all and of hits

    def update(self, hits: Hits, weights: Sequence[float] | NDArray[np.float64] | None = None) -> None:
        """Takes further observations: whether each is a hit, and its weight; see `Mean.update`."""
        hit, heavy = np.asarray(hits, np.float64), weighed(weights, len(hits))
        known = ~np.isnan(hit)
        self.observed, self.unknown = self.observed + int(known.sum()), self.unknown + int((~known).sum())
        self.hits += int(hit[known].sum())
        self._sums += heavy[known].sum(), heavy[known] @ hit[known]
        miss, struck = ((outcome - self._candidates)[:, None] * self._stakes for outcome in (0, 1))
        for which, gains in ((hit == 0, miss), (hit == 1, struck), (~known, np.minimum(miss, struck))):
            kinds, counts = np.unique(heavy[which], return_counts=True)
            for start in range(0, len(kinds), BLOCK):
                factors, often = np.multiply.outer(kinds[start : start + BLOCK], gains), counts[start : start + BLOCK]
                factors += 1
                once = bool((often == 1).all())  # mostly so or hardly ever: one logarithm of a product then, not many
                self._capital += np.log(factors.prod(axis=0)) if once else np.tensordot(often, np.log(factors), 1)

    @property
    def estimate(self) -> float | None:
        """The share so far of what is known, weighted; None of nothing."""
        return float(self._sums[1] / self._sums[0]) if self.observed else None

    def bounds(self) -> tuple[float, float]:
        """The share so far is at least the first, and at most the second."""
        above, below = (side >= self._threshold for side in _both(self._capital))
        low, high = int(np.append(above, False).argmin()), int(np.append(below[::-1], False).argmin())
        return float(self._candidates[low - 1]) if low else 0.0, float(self._candidates[-high]) if high else 1.0

    def more(self) -> int | None:
        """After how many further observations a bound will probably have reached the mark, if what was observed goes on; None
        if `MOST` are too few. Until hits are seen, half a hit in 1 / mark observations is assumed."""
        at = len(FAR) // 2
        mark, capital, stakes = self._candidates[at], self._capital[at], self._stakes[at]
        assumed = (np.log1p(stakes * (1 - mark)) + (2 / mark - 1) * np.log1p(-stakes * mark)) / 2
        growth = (capital + assumed) / (self.observed + self.unknown + 1 / mark)

        def reached(ahead: int) -> bool:
            return bool(max(_both(capital + ahead * growth)) >= self._threshold)

        ahead = bisect_left(range(MOST + 1), True, key=reached)  # once reached it stays so: the capital is convex in `ahead`
        return ahead if ahead <= MOST else None


class Turn:
    """A test of "the share of hits is above `mean`", also if it has risen late; or, falling, of "it is at most `mean`".

    Rising, part of the capital is staked from the first observation on and the rest bit by bit, for ever: what was good before
    does not hide what is bad now. So are e-processes begun one after another summed (Shin, Ramdas, Rinaldo 2023, "E-detectors",
    arXiv:2203.03532). All that is ever staked is 1, like a prior of the moment (Shiryaev 1963): that bounds the chance of any
    false alarm, where a plain sum bounds the time between two. Falling, all is staked from the first observation on.

    What may be a hit or none (NaN) counts as what speaks against what is tested.
    """

    __slots__ = ("_bets", "_capital", "_doubt", "_later", "_leads", "_mean", "_prior", "_seen", "_starts", "_threshold", "proven")

    def __init__(self, mean: float, alpha: float = 0.05, *, falling: bool = False) -> None:
        """Proves with a chance of at most `alpha`, ever, that the share was above the mean over a stretch up to now, if over no
        stretch it was; or, falling, that since the first observation it was at most the mean, if it was above."""
        ratios, prior = BELOW if falling else ABOVE
        self._mean, self._bets, self._prior = mean, _stakes(np.array(mean), ratios), np.log(prior)
        self._threshold, self._doubt, self._later = -log(alpha), float(falling), 0.0 if falling else 1 - AT_FIRST
        self._capital = np.full(len(ratios), -np.inf)  # logarithms: of what has been staked
        self._leads = np.full(len(ratios), -np.inf)  # and of that part which began at the best moment
        self._starts = np.zeros((len(ratios), 2), int)  # observations and hits before that moment
        self._seen: NDArray[np.int_] = np.zeros(2, np.int_)
        self.proven = False

    def until(self, hits: NDArray[np.float64], weights: NDArray[np.float64]) -> int:
        """Takes observations and weights (see `Mean.update`) up to the one that proves it; gives how many it took."""
        hits = np.where(np.isnan(hits), self._doubt, hits)
        after = int(self._seen[0]) + np.arange(len(hits) + 1)
        rest = np.where(after > 0, self._later * LATER / (LATER + after), 1.0)  # not yet staked
        with np.errstate(divide="ignore"):
            staked, left = np.log(rest[:-1] - rest[1:]), np.log(rest[1:])
        steps = np.log1p(np.outer(weights * (hits - self._mean), self._bets))
        paths = np.cumsum(steps, axis=0)
        entries = staked[:, None] - (paths - steps)
        capital = paths + np.logaddexp.accumulate(np.vstack([self._capital, entries]))[1:]
        whole = np.logaddexp(np.logaddexp.reduce(capital + self._prior, axis=1), left)
        self.proven = bool((whole >= self._threshold).any())
        taken = int((whole >= self._threshold).argmax()) + 1 if self.proven else len(hits)
        if taken:
            self._lead(entries[:taken], hits)
            self._capital, self._leads = capital[taken - 1], self._leads + paths[taken - 1]
            self._seen = self._seen + np.array([taken, int(hits[:taken].sum())])
        return taken

    def stretch(self) -> tuple[int, int]:
        """Up to the last observation, the hits and the observations of the stretch that speaks most for what is tested."""
        observed, hits = (self._seen - self._starts[int((self._leads + self._prior).argmax())]).tolist()
        return hits, observed

    def _lead(self, entries: NDArray[np.float64], hits: NDArray[np.float64]) -> None:
        best = entries.argmax(axis=0)
        sooner = np.take_along_axis(entries, best[None], 0)[0] > self._leads
        before = np.concatenate([[0], np.cumsum(hits)]).astype(int)[best]
        self._starts = np.where(sooner[:, None], self._seen + np.stack([best, before], axis=1), self._starts)
        self._leads = np.maximum(self._leads, entries.max(axis=0))


def _stakes(means: NDArray[np.float64], ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    """What grows most if the true share is `ratio` times the mean: with it the capital is the likelihood ratio of the two."""
    return np.minimum((ratios - 1) / (1 - means[..., None]), RISK / means[..., None])


def _both(capital: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The capital of all who bet on above, and of all who bet on below. The former is a part of a rising `Turn`'s from the same
    observations, so that no bound says what that has not proven."""
    parts = np.log(np.concatenate([AT_FIRST * ABOVE[1], BELOW[1]])) + capital
    above, below = np.split(parts, [len(ABOVE[1])], axis=-1)
    return np.logaddexp.reduce(above, axis=-1), np.logaddexp.reduce(below, axis=-1)


def weighed(weights: Sequence[float] | NDArray[np.float64] | None, count: int) -> NDArray[np.float64]:
    """The weights of so many observations, all 1 where none are given; `ValueError` if they are not; see `Mean.update`."""
    given = np.ones(count) if weights is None else np.asarray(weights, np.float64)
    if len(given) != count or not ((given > 0) & (given <= 1)).all():
        raise ValueError("there must be one weight for each observation, a number above 0 and at most 1")
    return given


def _checked(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    seen = np.asarray(values, np.float64)
    if not ((seen >= 0) & (seen <= 1)).all():
        raise ValueError("an observation must be a number from 0 to 1")
    return seen
