"""Turns two counts of cases into the exact chance that they differ so much by luck. Knows nothing about what was counted.

Of a population of cases some are marked, and some of all are drawn blindly: the number of marked ones drawn is hypergeometric.
Of several populations, each with its own share of marked ones, it is a sum of such numbers.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Chances = NDArray[np.float64]


def chances(population: int, marked: int, drawn: int) -> Chances:
    """P(X = 0), ..., P(X = drawn) of X marked cases among those drawn, exact up to rounding (a part in 10^10 at 10^5 cases)."""
    logs = _log_factorials(population)
    found = np.zeros(drawn + 1)
    x = np.arange(max(0, drawn + marked - population), min(drawn, marked) + 1)
    marks, rest = logs[marked] - logs[x] - logs[marked - x], logs[population - marked]
    rest = rest - logs[drawn - x] - logs[population - marked - drawn + x]
    found[x] = np.exp(marks + rest - (logs[population] - logs[drawn] - logs[population - drawn]))
    return found


def at_least(counts: NDArray[np.intp], drawn: int, share: Chances) -> Chances:
    """At most this is P(X >= count), of `drawn` cases from any populations in which `share` are marked, on average over these
    cases; one for each of the counts and its share.

    A hypergeometric number is a sum of independent trials (Vatutin and Mikhailov 1982), so X is one too, and further than one
    above its mean its tail is at most the binomial one (Hoeffding 1956, theorem 4). Nearer than that, 1.
    """
    logs, x = _log_factorials(drawn)[: drawn + 1], np.arange(drawn + 1)
    ways = logs[-1] - logs - logs[::-1]
    share = np.clip(share, 1e-300, 1 - 1e-16)[:, None]
    each = np.exp(ways + x * np.log(share) + (drawn - x) * np.log1p(-share))
    tails = np.minimum(1.0, np.cumsum(each[:, ::-1], axis=1)[:, ::-1])[np.arange(len(counts)), counts]
    return np.where(counts >= drawn * share[:, 0] + 1, tails, 1.0)


def two_sided(count: int, of: Chances) -> float:
    """The chance of a count that is as far out, on either side: twice the smaller tail (Fisher's exact test, doubled)."""
    return min(1.0, 2 * float(min(of[count:].sum(), of[: count + 1].sum())))


@lru_cache(maxsize=8)
def _log_factorials(most: int) -> Chances:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most + 1)))])
