"""Turns signals and what was right into a `Calibration`: logistic regression by Newton's method. Knows nothing about models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rung.models.calibration import Calibration

RIDGE = 1.0  # on standardised signals: one case's worth of doubt against large weights


def fit_calibration(
    signals: Sequence[Mapping[str, float]], right: Sequence[bool] | NDArray[np.bool_], rising: bool = True
) -> Calibration:
    """Fit P(right | signals) over n cases. Signals that never vary are left out; with only one outcome it is a constant.

    `rising` says that each signal was made so that more of it means surer: one whose weight would turn negative among its
    correlated neighbours is left out, because such a weight misleads where the neighbours part, on texts unlike the gold. One
    imaginary case, less sure than any seen, counts as wrong: gold on which a model never fails must not make it sure of all.
    Cases with a signal that is missing or no finite number teach nothing: `Calibration` never trusts such a case. The constant
    is (right + 1) / (n + 2), so that nothing is ever held for certain (Laplace's rule of succession).
    """
    names = sorted(signals[0]) if signals else []
    rows = np.array([[row.get(name, np.nan) for name in names] for row in signals], np.float64).reshape(len(signals), len(names))
    usable = np.isfinite(rows).all(axis=1)
    values, outcome = rows[usable], np.asarray(right, np.float64)[usable]
    base = (outcome.sum() + 1) / (len(outcome) + 2)
    if rising and len(values):
        values = np.vstack([values, values.min(axis=0) - values.std(axis=0)])
        outcome = np.append(outcome, 0.0)
    bias = float(np.log(base / (1 - base)))
    if not 0 < outcome.sum() < len(outcome):
        return Calibration({}, bias)
    mean, scale = values.mean(axis=0), values.std(axis=0)
    kept = np.flatnonzero(scale > 1e-9)
    weights = np.array([bias])
    while len(kept):
        weights = _newton((values[:, kept] - mean[kept]) / scale[kept], outcome, bias)
        falling = weights[1:] <= 0 if rising else np.zeros(len(kept), np.bool_)
        if not falling.any():
            break
        kept, weights = np.delete(kept, int(weights[1:].argmin())), np.array([bias])
    named = {names[j]: (float(w), float(mean[j]), float(scale[j])) for j, w in zip(kept, weights[1:], strict=True)}
    return Calibration(named, float(weights[0]))


def _newton(values: NDArray[np.float64], outcome: NDArray[np.float64], bias: float) -> NDArray[np.float64]:
    design = np.column_stack([np.ones(len(values)), values])
    penalty = np.diag([1e-6] + [RIDGE] * values.shape[1])
    weights: NDArray[np.float64] = np.array([bias] + [0.0] * values.shape[1])
    for _ in range(50):
        probability = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (probability - outcome) + penalty @ weights
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design + penalty
        step = np.linalg.solve(curvature, gradient).astype(np.float64)
        weights = weights - step * min(1.0, 4.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    return weights
