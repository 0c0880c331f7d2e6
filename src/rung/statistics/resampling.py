"""Turns any statistic of cases into an interval by resampling the cases. Knows nothing about the statistic."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 2**18  # weights handed to the statistic at a time: two megabytes, which a processor's cache holds

Measure: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def bootstrap(
    measure: Measure, cases: int, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The percentile bootstrap interval of a statistic (Efron, Tibshirani 1993, chapter 13); the same for the same seed.

    `measure` gets weights [some resamples, cases], how often each case was drawn, and returns the statistic of each resample;
    not a number where it has none, which leaves that resample out. Needs at least one case.

    Where noise can only add to a statistic, as to a calibration error near 0, resampling adds it once more: the upper end
    still holds, the lower one does not.
    """
    chance = np.random.Generator(np.random.PCG64(seed))
    rows = max(1, AT_ONCE // cases)
    values = [measure(_weights(chance, min(rows, resamples - start), cases)) for start in range(0, resamples, rows)]
    low, high = np.nanquantile(np.concatenate(values), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _weights(chance: np.random.Generator, rows: int, cases: int) -> NDArray[np.float64]:
    drawn = chance.integers(0, cases, (rows, cases)) + cases * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * cases).reshape(rows, cases).astype(np.float64)
