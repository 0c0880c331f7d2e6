"""Turns a smooth convex function into where it is least: L-BFGS (Liu and Nocedal 1989). Knows nothing about what it measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

STEPS = 100
REMEMBERED = 10  # steps that say how the function is bent
LEAST_FALL = 1e-4  # of what the slope promises (Armijo 1966)

Array = NDArray[np.float32]


def descend(measure: Callable[[Array], tuple[float, Array]], point: Array, flat: float) -> Array:
    """Where no slope is steeper than `flat`, or what `STEPS` steps from `point` reach. `measure` gives value and slope."""
    value, slope = measure(point)
    past: list[tuple[Array, Array, float]] = []
    for _ in range(STEPS):
        if float(np.abs(slope).max()) <= flat:
            break
        way = _direction(slope, past)
        fall = float(np.vdot(slope, way))
        length = 1.0 if past else 1 / float(np.linalg.norm(slope))
        moved: Array = np.float32(length) * way
        found, there = measure(np.add(point, moved))
        while found > value + LEAST_FALL * length * fall and length > 1e-6:
            length, moved = length / 2, moved / np.float32(2)
            found, there = measure(np.add(point, moved))
        bent: Array = there - slope
        curvature = float(np.vdot(moved, bent))
        point, value, slope = point + moved, found, there
        if curvature > 1e-9:
            past = [*past, (moved, bent, curvature)][-REMEMBERED:]
    return point


def _direction(slope: Array, past: Sequence[tuple[Array, Array, float]]) -> Array:
    """Downhill, bent by what the last steps showed of the curvature: the two loops."""
    way: Array = slope.copy()
    shares: list[float] = []
    for moved, bent, curvature in reversed(past):
        shares.append(float(np.vdot(moved, way)) / curvature)
        way -= np.float32(shares[-1]) * bent
    if past:
        _, bent, curvature = past[-1]
        way *= np.float32(curvature / float(np.vdot(bent, bent)))
    for (moved, bent, curvature), share in zip(past, reversed(shares), strict=True):
        way += np.float32(share - float(np.vdot(bent, way)) / curvature) * moved
    return np.negative(way)
