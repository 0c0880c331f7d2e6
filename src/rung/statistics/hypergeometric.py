"""Turns two counts of cases into the exact chance that they differ so much by luck. Knows nothing about what was counted.

Of a population of cases some are marked, and some of all are drawn blindly: the number of marked ones drawn is hypergeometric.
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


def at_least(of: Chances) -> Chances:
    """P(X >= 0), ..., P(X >= drawn), from the chances of each count."""
    return np.minimum(1.0, np.cumsum(of[::-1])[::-1])


def two_sided(count: int, of: Chances) -> float:
    """The chance of a count that is as far out, on either side: twice the smaller tail (Fisher's exact test, doubled)."""
    return min(1.0, 2 * float(min(of[count:].sum(), of[: count + 1].sum())))


@lru_cache(maxsize=8)
def _log_factorials(most: int) -> Chances:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most + 1)))])
