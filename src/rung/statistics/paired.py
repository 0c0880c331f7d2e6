"""Turns what two candidates got right and wrong on the same cases into tests and intervals of their difference.

Knows nothing about the candidates: only how many cases were `gained`, right with the second candidate alone, and how many
were `lost`, right with the first alone. A difference is the second's share right less the first's.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rung.statistics.binomial import binomial_tail, interval, least

NUISANCE = 1e-6  # the chance given away to leave out shares of discordant cases that are not credible
SHARES = 100  # of discordant cases, tried among the credible ones: the largest p-value is missed by less than 1 in 1,000

Counts: TypeAlias = NDArray[np.float64]


def mcnemar(gained: int, lost: int) -> float:
    """The exact two-sided p-value of "the candidates are equally often right" (McNemar 1947, in its binomial form)."""
    return min(1.0, 2 * binomial_tail(min(gained, lost), gained + lost, 0.5))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for being several (Holm 1979), in their order: each may be compared with the level as it stands."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def difference(gained: int, lost: int, cases: int, confidence: float = 0.95) -> tuple[float, float]:
    """A two-sided interval of the difference: Tango's score interval (Tango 1998, Statistics in Medicine 17, 891-908).

    It is (-1, 1) of no cases. It is approximate, and close at every share of discordant cases; what must hold exactly, a
    gate, is for `non_inferior`.
    """
    if not cases:
        return -1.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)

    def short(at: float) -> float:
        return gained - lost - cases * at

    def deviation(at: float) -> float:
        return z * float(_deviation(np.asarray(gained, float), np.asarray(lost, float), cases, at))

    return least(lambda at: short(at) > deviation(at), -1.0), least(lambda at: short(at) >= -deviation(at), -1.0)


def non_inferior(gained: int, lost: int, cases: int, margin: float) -> float:
    """The p-value of "the second candidate is worse by `margin` (0..1) or more": a small one proves that it is not.

    Exact at any number of cases: the chance of a score as high as Tango's here, at the least favourable share of discordant
    cases (Hsueh, Liu, Chen 2001, Biometrics 57, 478-483) among those credible after these (Berger, Boos 1994, JASA 89,
    1012-1016). Held against the normal distribution, that score proves falsely up to 6% of the time instead of 5% where few
    of a few hundred cases are discordant.
    """
    if not cases:
        return 1.0
    at_least, at_most = interval(gained + lost, cases, 1 - NUISANCE)
    lowest, highest = max(at_least, margin), max(at_most, margin)
    shares = lowest + (highest - lowest) * np.linspace(0, 1, SHARES)[:, None] ** 2  # densest where it matters most
    farthest = cases * highest + 9 * sqrt(cases * highest) + 20  # more discordant cases come once in 10^15
    score = float(_score(np.asarray(gained, float), np.asarray(lost, float), cases, margin))
    edge = _edge(min(cases, int(farthest)), cases, margin, score)
    return min(1.0, float(_chance(edge, cases, shares, margin).max()) + NUISANCE)


def provable_margin(gained: int, lost: int, cases: int, confidence: float = 0.95) -> float:
    """The smallest margin (0..1), to a millionth, by which this evidence proves the second candidate not to be worse."""
    return least(lambda margin: non_inferior(gained, lost, cases, margin) > 1 - confidence, steps=20)


def detectable(cases: int, discordant: float, confidence: float = 0.95, power: float = 0.8) -> float:
    """The smallest true difference that a two-sided test on so many cases finds with this power, if the share `discordant` of
    cases differs (Miettinen 1968, Biometrics 24; Connor 1987, Biometrics 43, 207-211); 1.0 if none.

    A difference needs at least as many discordant cases: where that share is smaller, all are taken to be on one side.
    """
    sure, seen = NormalDist().inv_cdf((1 + confidence) / 2), NormalDist().inv_cdf(power)

    def hidden(true: float) -> bool:
        share = max(discordant, true)
        return true * sqrt(cases) < sure * sqrt(share) + seen * sqrt(share - true * true)

    return least(hidden)


def _deviation(gained: Counts, lost: Counts, cases: int, at: float) -> Counts:
    """The standard deviation of gained - lost if the difference is `at`, at the likeliest share of lost cases given that."""
    linear = (2 * cases - gained + lost) * at - gained - lost
    square = linear * linear + 8 * cases * lost * at * (1 - at)
    share = (np.sqrt(np.maximum(square, 0.0)) - linear) / (4 * cases)
    return np.sqrt(np.maximum(cases * (2 * share + at * (1 - at)), 0.0))


def _score(gained: Counts, lost: Counts, cases: int, margin: float) -> Counts:
    deviation = _deviation(gained, lost, cases, -margin)
    excess = gained - lost + cases * margin
    return np.divide(excess, deviation, out=np.zeros_like(excess), where=deviation > 0)


def _edge(most: int, cases: int, margin: float, score: float) -> Counts:
    """For 0 to `most` discordant cases, the fewest gained among them that score as much; one more than all where none do."""
    discordant = np.arange(most + 1.0)
    low, high = np.full(most + 1, -1.0), discordant + 1
    while (open_ := high - low > 1).any():
        middle = np.floor((low + high) / 2)
        enough = _score(middle, discordant - middle, cases, margin) >= score - 1e-9
        low, high = np.where(open_ & ~enough, middle, low), np.where(open_ & enough, middle, high)
    return high


def _chance(edge: Counts, cases: int, shares: Counts, margin: float) -> Counts:
    """The chance that at least edge[d] of d discordant cases are gained, at each share [shares, 1] of discordant cases.

    One discordant case more moves the edge by one at most, so that each tail follows from the one before.
    """
    counts = np.arange(len(edge), dtype=np.float64)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, cases + 1)))])  # of factorials

    def weight(k: Counts, n: Counts, rate: Counts) -> Counts:
        possible = (k >= 0) & (k <= n)
        k = np.where(possible, k, 0)
        ways = logs[n.astype(int)] - logs[k.astype(int)] - logs[(n - k).astype(int)]
        return np.where(possible, np.exp(ways + k * np.log(rate) + (n - k) * np.log1p(-rate)), 0.0)

    gain = np.maximum((1 - margin / shares) / 2, 1e-300)
    stays, last, n = edge[1:] == edge[:-1], edge[:-1], counts[:-1]
    change = np.where(stays, gain, gain - 1) * weight(np.where(stays, last - 1, last), n, gain)
    tails = np.cumsum(np.concatenate([np.full((len(shares), 1), edge[0] <= 0), change], axis=1), axis=1)
    shares = np.minimum(shares, 1 - 1e-12)
    return (weight(counts, np.full_like(counts, cases), shares) * tails).sum(axis=1)
