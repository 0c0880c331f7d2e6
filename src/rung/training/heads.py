"""The recipe `heads`: gold in, specialist out, on an encoder that stays as it is, and without PyTorch.

Kernel ridge regression on one-hot labels, all label fields at once: one matrix inverse trains every head, and the same inverse
gives each training case the answer of a machine that has not seen it (leave-fold-out in closed form; Rifkin and Lippert 2007,
"Notes on regularized least squares", section 5, by blocks). Those rehearsed answers fit every calibration, so no gold is
spent on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rung import core
from rung.core import Answer, Fields
from rung.models.copying import open_copier
from rung.models.encoder import Encoder
from rung.models.extraction import learnt
from rung.models.heads import CopyHead, Heads, LabelHead, number_rows, spans, trust
from rung.models.ngrams import BUCKETS, Sparse, ngrams
from rung.models.specialist import (
    LABEL_SIGNALS,
    SHARPNESS,
    Kernel,
    Machine,
    Specialist,
    name_signals,
    read_labels,
    record_signals,
)
from rung.training.copies import Copies, Folds, Lost, folds_of
from rung.training.fitting import fit_copy_head, fit_label_head, place_labels
from rung.workload import Field

Array = NDArray[np.float32]

USUAL = Kernel(smooth=3.0, width=2.0, ridge=1.0)  # the best on Banking77, near it elsewhere; see benchmarks/README.md
OTHERS = (Kernel(1.0, 2.0, 1.0), Kernel(9.0, 2.0, 1.0), Kernel(3.0, 4.0, 1.0), Kernel(1.0, 2.0, 0.4), Kernel(3.0, 2.0, 0.4))
FOLDS = 5
TRIAL = 2_000  # cases on which the kernel is chosen: an inverse of that size takes a fraction of a second


Rehearsed = Mapping[int, dict[str, tuple[Any, float]]]  # by case and field a value and its probability


@dataclass(frozen=True, slots=True)
class Reading:
    """n texts as an encoder reads them: `embeddings` [n, 384]. `unseen` [n] are those it has not been trained on, where it has
    been trained on the others: only they can rehearse."""

    encoder: Encoder
    texts: Sequence[str]
    embeddings: Array
    unseen: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """The specialist; by training case the answer of one that had not seen it, of all cases or of some; and as `lost` the copied
    values that stand nowhere in their texts, as (case, field or property, value)."""

    specialist: core.Specialist
    rehearsal: Mapping[int, Answer]
    lost: Sequence[Lost] = ()


def train_heads(reading: Reading, expected: Sequence[Fields], fields: Sequence[Field], copies: Copies | None = None) -> Trained:
    """Train on n cases; `copies` is what fills learnt copy fields, if there are any. Deterministic: the same cases in the same
    order give the same bits."""
    rehearsed: Rehearsed = {at: {} for out, _ in folds_of(len(reading.texts), FOLDS, reading.unseen) for at in out}
    machine, labels = None, list[LabelHead]()
    if label_fields := [field for field in fields if field.fill == "label"]:
        machine, labels = _train_labels(reading, expected, label_fields, rehearsed)
    copied_heads: list[CopyHead] = []
    for field in fields:
        if field.fill == "copy":
            if copies and learnt(field):
                found = {at: copies.rehearsal[at][field.name] for at in rehearsed}
            else:
                copy = open_copier(field)
                found = {at: copy(reading.texts[at]) for at in rehearsed}
            head = fit_copy_head(field, list(found.values()), [expected[at][field.name] for at in found])
            copied_heads.append(head)
            for at, copied in found.items():
                rehearsed[at][field.name] = (copied.value, trust(head.calibration, copied))
    heads = Heads(labels, copied_heads)
    specialist = Specialist(reading.encoder, machine, heads, fields, copies.extractor if copies else None)
    answers = {at: _answer(row, fields) for at, row in sorted(rehearsed.items())}
    return Trained(specialist, answers, copies.lost if copies else ())


def _train_labels(
    reading: Reading, expected: Sequence[Fields], fields: Sequence[Field], rehearsed: Rehearsed
) -> tuple[Machine, list[LabelHead]]:
    """The machine and the heads of all label fields; each case's rehearsed labels go into `rehearsed`."""
    targets, columns = one_hot(expected, fields)
    grams = [ngrams(text) for text in reading.texts]
    linear = gram(grams)
    cosines = reading.embeddings @ reading.embeddings.T
    folds = folds_of(len(reading.texts), FOLDS, reading.unseen)
    kernel = _choose(linear, cosines, targets, columns, folds)
    dual, smooth, sparse = solve(kernel, linear, cosines, targets, folds)
    heads: list[LabelHead] = []
    owners = np.stack([targets[:, span].argmax(axis=1) for span in columns], axis=1).astype(np.int32)
    cases = np.sort(np.concatenate([out for out, _ in folds]))
    for field, span, truth in zip(fields, columns, owners.T, strict=True):
        choice, signals = _rehearsed(smooth[:, span], sparse[:, span], cosines, truth, folds)
        choice, signals = choice[cases], signals[cases]
        head = fit_label_head(field, LABEL_SIGNALS, choice, signals, truth[cases])
        heads.append(head)
        for at, label, row in zip(cases.tolist(), choice.tolist(), name_signals(signals), strict=True):
            rehearsed[at][field.name] = (field.labels[label], head.calibration(row))
    return _machine(kernel, reading.embeddings, owners, dual, grams), heads


def rehearse_labels(
    texts: Sequence[str], expected: Sequence[Fields], embeddings: Array, fields: Sequence[Field], groups: Sequence[int]
) -> list[tuple[NDArray[np.intp], Array]]:
    """For each label field, the cases' own labels [n] as positions in `Field.labels`, and a share for each label [n, labels].

    The shares, which add up to 1, come from a machine with the usual kernel that has not seen the case nor any other of its
    group (`groups` [n]): near-duplicates would vouch for each other.
    """
    label_fields = [field for field in fields if field.fill == "label"]
    targets, columns = one_hot(expected, label_fields)
    found, member = np.unique(np.asarray(groups), return_inverse=True)
    drawn = (np.random.default_rng(0).permutation(len(found)) % FOLDS)[member]
    folds = [(np.flatnonzero(drawn == fold), np.flatnonzero(drawn != fold)) for fold in range(FOLDS)]
    _, smooth, sparse = solve(USUAL, gram([ngrams(text) for text in texts]), embeddings @ embeddings.T, targets, folds)
    rehearsed: list[tuple[NDArray[np.intp], Array]] = []
    for span in columns:
        scores = smooth[:, span] + sparse[:, span]
        odds = np.exp(SHARPNESS * (scores - scores.max(axis=1, keepdims=True)))
        rehearsed.append((targets[:, span].argmax(axis=1), odds / odds.sum(axis=1, keepdims=True)))
    return rehearsed


def gram(grams: Sequence[Sparse]) -> Array:
    """Inner products [n, n] of n sparse rows: frequent buckets as one dense product, rare ones by their posting lists."""
    n = len(grams)
    buckets = np.concatenate([row for row, _ in grams])
    weights = np.concatenate([row for _, row in grams])
    rows = np.repeat(np.arange(n), [len(row) for row, _ in grams])
    order = np.argsort(buckets, kind="stable")
    buckets, weights, rows = buckets[order], weights[order], rows[order]
    starts = np.flatnonzero(np.r_[True, buckets[1:] != buckets[:-1]]) if len(buckets) else np.empty(0, np.int64)
    counts = np.diff(np.r_[starts, len(buckets)])
    frequent = counts > max(n // 100, 1)
    column = np.repeat(np.where(frequent, np.cumsum(frequent) - 1, -1), counts)
    dense = np.zeros((n, int(frequent.sum())), np.float32)
    common = column >= 0
    dense[rows[common], column[common]] = weights[common]
    products = dense @ dense.T
    for start, count in zip(starts[~frequent].tolist(), counts[~frequent].tolist(), strict=True):
        posting, weight = rows[start : start + count], weights[start : start + count]
        products[posting[:, None], posting] += weight[:, None] * weight
    return products


def one_hot(expected: Sequence[Fields], fields: Sequence[Field]) -> tuple[Array, list[slice]]:
    """One-hot labels of all label fields side by side, [n, labels], and each field's columns."""
    columns = spans([field.labels for field in fields])
    targets = np.zeros((len(expected), columns[-1].stop), np.float32)
    np.put_along_axis(targets, place_labels(expected, fields) + [span.start for span in columns], 1, axis=1)
    return targets, columns


def _choose(linear: Array, cosines: Array, targets: Array, columns: Sequence[slice], folds: Folds) -> Kernel:
    """The usual kernel, unless another's rehearsed accuracy on `TRIAL` cases, averaged over fields, is better by
    more than its standard error: a choice among near-equals would only follow the noise."""
    spread = np.linspace(0, len(linear) - 1, min(TRIAL, len(linear))).astype(int)  # the gold may be sorted
    part = np.ix_(spread, spread)
    some: Folds = [(np.flatnonzero(np.isin(spread, out)), np.flatnonzero(np.isin(spread, rest))) for out, rest in folds]
    cases = np.concatenate([out for out, _ in some])
    truth = targets[spread]

    def accuracy(kernel: Kernel) -> float:
        _, smooth, sparse = solve(kernel, linear[part], cosines[part], truth, some)
        scores = (smooth + sparse)[cases]
        return float(np.mean([(scores[:, c].argmax(axis=1) == truth[cases, c].argmax(axis=1)).mean() for c in columns]))

    best = max(OTHERS, key=accuracy)
    usual, better = accuracy(USUAL), accuracy(best)
    return best if better - usual > np.sqrt(better * (1 - better) / len(cases)) else USUAL


def solve(kernel: Kernel, linear: Array, cosines: Array, targets: Array, folds: Folds) -> tuple[Array, Array, Array]:
    """The dual weights [n, labels], and the smooth and sparse scores [n, labels] of the cases that rehearse, without their own
    fold; the other rows are zero."""
    smooth_kernel = kernel.compare(cosines)
    total = smooth_kernel + linear
    total[np.diag_indices_from(total)] += kernel.ridge
    inverse: Array = np.linalg.inv(total)
    dual: Array = inverse @ targets
    smooth, sparse = np.zeros_like(targets), np.zeros_like(targets)
    for out, rest in folds:
        without = dual[rest] - inverse[np.ix_(rest, out)] @ np.linalg.solve(inverse[np.ix_(out, out)], dual[out])
        smooth[out] = smooth_kernel[np.ix_(out, rest)] @ without
        sparse[out] = linear[np.ix_(out, rest)] @ without
    return dual, smooth, sparse


def _rehearsed(
    smooth: Array, sparse: Array, cosines: Array, truth: NDArray[np.int32], folds: Folds
) -> tuple[NDArray[np.intp], Array]:
    """One field's choices [n] and signals [n, LABEL_SIGNALS], each case's without its own fold."""
    choice, signals = np.zeros(len(truth), np.intp), np.zeros((len(truth), len(LABEL_SIGNALS)), np.float32)
    unknown = [0.0] * smooth.shape[1]
    for out, rest in folds:
        choice[out], signals[out] = read_labels(smooth[out], sparse[out], cosines[np.ix_(out, rest)], truth[rest], unknown)
    return choice, signals


def _machine(kernel: Kernel, embeddings: Array, owners: NDArray[np.int32], dual: Array, grams: Sequence[Sparse]) -> Machine:
    """The n-gram half as one weight row per bucket, so that serving does not compare n-grams text by text."""
    used = np.unique(np.concatenate([buckets for buckets, _ in grams]))
    rows = number_rows(used, BUCKETS)
    sparse = np.zeros((len(used) + 1, dual.shape[1]), np.float32)
    for (buckets, weights), weight in zip(grams, dual, strict=True):
        sparse[rows[buckets]] += weights[:, None] * weight
    return Machine(kernel, embeddings, owners, dual, rows, sparse)


def _answer(row: dict[str, tuple[Any, float]], fields: Sequence[Field]) -> Answer:
    confidence = {name: probability for name, (_, probability) in row.items()}
    return Answer(
        fields={field.name: row[field.name][0] for field in fields if field.name in row},
        field_confidence=confidence,
        signals=record_signals(confidence),
    )
