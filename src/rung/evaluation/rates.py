"""Turns counts and resampled cases into rates and estimates with 95 % intervals. Knows nothing about what is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from math import isfinite
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rung.statistics.binomial import interval

DIGITS = 6  # significant ones, in JSON
RESAMPLES = 2000
FEWEST = 400  # of many cases
LARGEST = 40_000_000  # numbers drawn: 160 MB
ROWS = 250  # resamples at a time, so that memory stays bounded

Draws = NDArray[np.float32]  # [resamples, cases]: how often each resample has each case
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `of` cases, and the exact two-sided 95 % interval of the share (Clopper and Pearson 1934)."""

    count: int
    of: int
    low: float
    high: float

    @property
    def share(self) -> float | None:
        """The share seen (0..1); None of no cases."""
        return self.count / self.of if self.of else None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"count": self.count, "of": self.of, "share": self.share, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure from `of` cases, and its 95 % interval: the percentile bootstrap over cases (Efron and Tibshirani 1993, ch. 13),
    widened to hold the figure itself where resampling moves it to one side."""

    value: float
    low: float
    high: float
    of: int


def rate(count: int, of: int) -> Rate:
    """The rate with its interval; from 0 to 1 of no cases."""
    return Rate(count, of, *interval(count, of))


def draw(cases: int) -> Draws:
    """`RESAMPLES` times as many cases as there are, drawn with replacement, always the same; beyond 20,000 cases fewer times, so
    that memory stays bounded. One draw serves every figure, for drawing is what takes longest."""
    rng = np.random.default_rng(0)
    drawn = np.zeros((max(min(RESAMPLES, LARGEST // max(cases, 1)), FEWEST), cases), np.float32)
    for row in drawn if cases else ():
        row[:] = np.bincount(rng.integers(0, cases, cases), minlength=cases)
    return drawn


def estimate(figure: Callable[[Draws], NDArray[np.float64]], draws: Draws, of: int) -> Estimate | None:
    """The figure of the cases themselves and of the resamples; `figure` gives one for each row, nan where there is none.

    None where the cases themselves have none.
    """
    value = float(figure(np.ones((1, draws.shape[1]), np.float32))[0])
    if not isfinite(value):
        return None
    drawn = np.concatenate([figure(draws[start : start + ROWS]) for start in range(0, len(draws), ROWS)])
    low, high = np.nanquantile(drawn, (0.025, 0.975)).tolist()
    return Estimate(value, min(low, value), max(high, value), of)


def totals(draws: NDArray[Any], group: Ints, groups: int, values: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """By row and group, the sum of `values` over the cases, as often as they are drawn; how often, where there are none.

    `group` [cases] gives the group of each, 0 up to `groups`, of which is none what is beyond; the result is [rows, groups].
    """
    order = np.argsort(group, kind="stable")
    order = order[: np.searchsorted(group[order], groups)]
    present, starts = np.unique(group[order], return_index=True)
    weighted = draws[:, order] if values is None else draws[:, order] * values[order]
    found = np.zeros((len(draws), groups))
    if len(present):
        found[:, present] = np.add.reduceat(weighted, starts, axis=1, dtype=np.float64)
    return found


def over(parts: NDArray[Any], of: NDArray[Any]) -> NDArray[np.float64]:
    """Ratios, nan where there is nothing to divide by."""
    return np.where(of > 0, parts / np.where(of > 0, of, 1), np.nan)


def plain(value: Any) -> Any:
    """Figures as JSON, the same on every run: of a dataclass its `document`, or else its fields; floats have `DIGITS` significant
    digits, and what is not finite is null."""
    if is_dataclass(value):
        own = getattr(value, "document", None)
        value = own() if own else {one.name: getattr(value, one.name) for one in fields(value)}
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in cast("Mapping[str, Any]", value).items()}
    return [plain(one) for one in cast("Sequence[Any]", value)] if isinstance(value, list | tuple) else value
