"""Turns signals and what was right into a `Calibration`, and those of fields into heads. Knows nothing about training models.

Logistic regression by Newton's method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rung.core import Fields, same
from rung.models.calibration import Calibration, logit
from rung.models.copying import Found
from rung.models.extraction import learnt
from rung.models.heads import CopyHead, LabelHead
from rung.workload import Field

PRIOR_CASES = 10.0  # how many average cases a label's own record is mixed with
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


def fit_label_head(
    field: Field, names: Sequence[str], choice: NDArray[np.intp], signals: NDArray[np.float32], truth: NDArray[np.integer[Any]]
) -> LabelHead:
    """A label field's head from the choices [n] of models that had not seen the cases, their `names` signals [n, names], and the
    true labels [n]. The column "prior" of `signals` is filled in."""
    right = choice == truth
    halves = np.arange(len(choice)) % 2
    for half in (0, 1):  # a case must not vouch for its own label
        prior = _prior(choice[halves != half], right[halves != half], len(field.labels))
        signals[halves == half, names.index("prior")] = prior[choice[halves == half]]
    rows = [dict[str, float](zip(names, row, strict=True)) for row in signals.tolist()]
    prior = tuple(_prior(choice, right, len(field.labels)).tolist())
    return LabelHead(field.name, field.labels, prior, fit_calibration(rows, right))


def fit_copy_head(field: Field, found: Sequence[Found], expected: Sequence[Any]) -> CopyHead:
    """A copy field's head from what was found in cases, and the values that were expected."""
    right = np.array([same(one.value, value) for one, value in zip(found, expected, strict=True)])
    return CopyHead(field.name, fit_calibration([one.signals for one in found], right, rising=learnt(field)))


def _prior(choice: NDArray[np.intp], right: NDArray[np.bool_], labels: int) -> NDArray[np.float64]:
    """The log-odds that each label is right when chosen, mixed with the average over all labels."""
    base = float(right.mean()) if len(right) else 0.5
    chosen, correct = np.bincount(choice, minlength=labels), np.bincount(choice[right], minlength=labels)
    return np.array([logit((c + PRIOR_CASES * base) / (n + PRIOR_CASES)) for c, n in zip(correct, chosen, strict=True)])


def place_labels(expected: Sequence[Fields], fields: Sequence[Field]) -> NDArray[np.int64]:
    """Each case's label in each label field, as its place in `Field.labels` [cases, fields]."""
    places = [{_key(label): at for at, label in enumerate(field.labels)} for field in fields]
    found = [[place[_key(row[field.name])] for field, place in zip(fields, places, strict=True)] for row in expected]
    return np.array(found, np.int64).reshape(len(expected), len(fields))


def _key(label: object) -> tuple[bool, object]:
    """True and 1 are equal in Python and two different labels in JSON."""
    return isinstance(label, bool), label
