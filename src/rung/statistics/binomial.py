"""Turns a count of cases into exact bounds on the share behind it, and ordered figures into bounds on their quantiles.

Knows nothing about what was counted or measured.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from math import ceil, exp, lgamma, log, log1p


def binomial_tail(wrong: int, answered: int, rate: float) -> float:
    """P(X <= wrong) for X ~ Binomial(answered, rate), exact up to rounding (a part in 10^8 at a million cases)."""
    if wrong >= answered:
        return 1.0
    if rate <= 0.0 or rate >= 1.0:
        return float(rate <= 0.0)
    if wrong > rate * answered:  # the other tail is the one whose terms fall from the first on
        return 1.0 - binomial_tail(answered - wrong - 1, answered, 1 - rate)
    term = total = 1.0  # in units of P(X = wrong)
    for k in range(wrong, 0, -1):
        term *= k * (1 - rate) / ((answered - k + 1) * rate)
        total += term
        if term < 1e-17 * total:
            break
    ways = lgamma(answered + 1) - lgamma(wrong + 1) - lgamma(answered - wrong + 1)
    return min(1.0, exp(ways + wrong * log(rate) + (answered - wrong) * log1p(-rate)) * total)


def upper_bound(wrong: int, answered: int, confidence: float) -> float:
    """The exact (Clopper-Pearson) one-sided upper confidence bound on an error rate; 1.0 when nothing was answered."""
    return least(lambda rate: binomial_tail(wrong, answered, rate) > 1 - confidence) if wrong < answered else 1.0


def lower_bound(wrong: int, answered: int, confidence: float) -> float:
    """The exact one-sided lower confidence bound on an error rate; 0.0 when nothing was wrong."""
    return least(lambda rate: 1 - binomial_tail(wrong - 1, answered, rate) < 1 - confidence) if wrong else 0.0


def interval(count: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact two-sided (Clopper-Pearson) confidence interval of a share, `count` of `of` cases; (0.0, 1.0) of none."""
    rest, sure = of - count, (1 + confidence) / 2
    if count > rest:  # a bound takes as long as there are cases to count: count the fewer, and mirror
        return 1 - upper_bound(rest, of, sure), 1 - lower_bound(rest, of, sure)
    return lower_bound(count, of, sure), upper_bound(count, of, sure)


def quantile_interval(ordered: Sequence[float], share: float, confidence: float = 0.95) -> tuple[float | None, float | None]:
    """The two-sided confidence interval of the figure that this `share` (0..1) of all lies at or below, from independent ones in
    ascending order: two of them, whatever their distribution (David and Nagaraja 2003, Order Statistics, section 7.1).

    An end is None where even the least or the greatest of so few may lie inside.
    """
    ranks, tail = range(1, len(ordered) + 1), (1 - confidence) / 2

    def below(rank: int) -> float:
        """P(fewer than `rank` of the figures lie at or below the quantile)"""
        return binomial_tail(rank - 1, len(ordered), share)

    low, high = bisect_right(ranks, tail, key=below), bisect_left(ranks, 1 - tail, key=below)
    return ordered[low - 1] if low else None, ordered[high] if high < len(ordered) else None


def quantile_cases(share: float, confidence: float = 0.95) -> int:
    """How many independent figures it takes for the interval of this quantile to have an upper end."""
    return ceil(log((1 - confidence) / 2) / log(share))


def least(too_small: Callable[[float], bool], low: float = 0.0, high: float = 1.0, steps: int = 50) -> float:
    """The least number between `low` and `high` that is not too small, by halving; `high` if all below it are."""
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if too_small(middle) else (low, middle)
    return high
