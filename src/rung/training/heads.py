"""The recipe `heads`: gold in, specialist out, on a frozen encoder and without PyTorch.

Kernel ridge regression on one-hot labels, all label fields at once: one matrix inverse trains every head, and the same inverse
gives each training case the answer of a machine that has not seen it (leave-fold-out in closed form; Rifkin and Lippert 2007,
"Notes on regularized least squares", section 5, by blocks). Those rehearsed answers fit every calibration, so no gold is
spent on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rung.core import Answer, Fields, same
from rung.models.calibration import Calibration, logit
from rung.models.copying import Found, open_copier
from rung.models.encoder import Encoder
from rung.models.extraction import learnt
from rung.models.ngrams import BUCKETS, Sparse, ngrams
from rung.models.specialist import (
    LABEL_SIGNALS,
    SHARPNESS,
    CopyHead,
    Kernel,
    LabelHead,
    Machine,
    Specialist,
    name_signals,
    read_labels,
    record_signals,
    trust,
)
from rung.training.copies import Copies
from rung.training.fitting import fit_calibration
from rung.workload import Field

Array = NDArray[np.float32]

USUAL = Kernel(smooth=3.0, width=2.0, ridge=1.0)  # the best on Banking77, near it elsewhere; see benchmarks/README.md
OTHERS = (Kernel(1.0, 2.0, 1.0), Kernel(9.0, 2.0, 1.0), Kernel(3.0, 4.0, 1.0), Kernel(1.0, 2.0, 0.4), Kernel(3.0, 2.0, 0.4))
FOLDS = 5
TRIAL = 2_000  # cases on which the kernel is chosen: an inverse of that size takes a fraction of a second
PRIOR_CASES = 10.0  # how many average cases a label's own record is mixed with


@dataclass(frozen=True, slots=True)
class Trained:
    """The specialist, and the answer to each training case of one that had not seen it, in the cases' order. `lost` are copied
    values that stand nowhere in their texts, as (case, field or property, value)."""

    specialist: Specialist
    rehearsal: list[Answer]
    lost: Sequence[tuple[int, str, Any]] = ()


def train_heads(
    texts: Sequence[str],
    expected: Sequence[Fields],
    embeddings: Array,
    encoder: Encoder,
    fields: Sequence[Field],
    copies: Copies | None = None,
) -> Trained:
    """Train on n cases: `embeddings` is [n, 384], `copies` what fills learnt copy fields, if there are any. Deterministic: the
    same cases in the same order give the same bits."""
    rehearsed = [dict[str, tuple[Any, float]]() for _ in texts]
    labelling = None
    if label_fields := [field for field in fields if field.fill == "label"]:
        labelling = _train_labels(texts, expected, embeddings, label_fields, rehearsed)
    heads: list[CopyHead] = []
    for field in fields:
        if field.fill == "copy":
            found = [row[field.name] for row in copies.rehearsal] if copies and learnt(field) else _copied(field, texts)
            heads.append(_copy_head(field, found, expected, rehearsed))
    specialist = Specialist(encoder, labelling, heads, fields, copies.extractor if copies else None)
    return Trained(specialist, [_answer(row, fields) for row in rehearsed], copies.lost if copies else ())


def _train_labels(
    texts: Sequence[str],
    expected: Sequence[Fields],
    embeddings: Array,
    fields: Sequence[Field],
    rehearsed: Sequence[dict[str, tuple[Any, float]]],
) -> tuple[Machine, list[LabelHead]]:
    """The machine and the heads of all label fields; each case's rehearsed labels go into `rehearsed`."""
    targets, columns = _targets(expected, fields)
    grams = [ngrams(text) for text in texts]
    linear = gram(grams)
    cosines = embeddings @ embeddings.T
    folds = np.random.default_rng(0).permutation(len(texts)) % FOLDS
    kernel = _choose(linear, cosines, targets, columns, folds)
    dual, smooth, sparse = solve(kernel, linear, cosines, targets, folds)
    heads: list[LabelHead] = []
    owners = np.stack([targets[:, span].argmax(axis=1) for span in columns], axis=1).astype(np.int32)
    for field, span, truth in zip(fields, columns, owners.T, strict=True):
        read = _rehearsed(smooth[:, span], sparse[:, span], cosines, truth, folds)
        head, found = _label_head(field, *read, truth)
        heads.append(head)
        for row, pair in zip(rehearsed, found, strict=True):
            row[field.name] = pair
    return _machine(kernel, embeddings, owners, dual, grams), heads


def rehearse_labels(
    texts: Sequence[str], expected: Sequence[Fields], embeddings: Array, fields: Sequence[Field], groups: Sequence[int]
) -> list[tuple[NDArray[np.intp], Array]]:
    """For each label field, the cases' own labels [n] as positions in `Field.labels`, and a share for each label [n, labels].

    The shares, which add up to 1, come from a machine with the usual kernel that has not seen the case nor any other of its
    group (`groups` [n]): near-duplicates would vouch for each other.
    """
    label_fields = [field for field in fields if field.fill == "label"]
    targets, columns = _targets(expected, label_fields)
    found, member = np.unique(np.asarray(groups), return_inverse=True)
    folds = (np.random.default_rng(0).permutation(len(found)) % FOLDS)[member]
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


def _targets(expected: Sequence[Fields], fields: Sequence[Field]) -> tuple[Array, list[slice]]:
    """One-hot labels of all fields side by side, [n, labels], and each field's columns."""
    blocks: list[Array] = []
    columns: list[slice] = []
    start = 0
    for field in fields:
        position = {_key(label): index for index, label in enumerate(field.labels)}
        block = np.zeros((len(expected), len(field.labels)), np.float32)
        block[np.arange(len(expected)), [position[_key(row[field.name])] for row in expected]] = 1
        blocks.append(block)
        columns.append(slice(start, start := start + len(field.labels)))
    return np.concatenate(blocks, axis=1), columns


def _key(label: object) -> tuple[bool, object]:
    """True and 1 are equal in Python and two different labels in JSON."""
    return isinstance(label, bool), label


def _choose(linear: Array, cosines: Array, targets: Array, columns: Sequence[slice], folds: NDArray[np.int64]) -> Kernel:
    """The usual kernel, unless another's rehearsed accuracy on `TRIAL` cases, averaged over fields, is better by
    more than its standard error: a choice among near-equals would only follow the noise."""
    spread = np.linspace(0, len(linear) - 1, min(TRIAL, len(linear))).astype(int)  # the gold may be sorted
    part = np.ix_(spread, spread)
    truth = targets[spread]

    def accuracy(kernel: Kernel) -> float:
        _, smooth, sparse = solve(kernel, linear[part], cosines[part], truth, folds[spread])
        scores = smooth + sparse
        return float(np.mean([(scores[:, c].argmax(axis=1) == truth[:, c].argmax(axis=1)).mean() for c in columns]))

    best = max(OTHERS, key=accuracy)
    usual, better = accuracy(USUAL), accuracy(best)
    return best if better - usual > np.sqrt(better * (1 - better) / len(truth)) else USUAL


def solve(kernel: Kernel, linear: Array, cosines: Array, targets: Array, folds: NDArray[np.int64]) -> tuple[Array, Array, Array]:
    """The dual weights [n, labels], and every case's smooth and sparse scores [n, labels] without its own fold."""
    smooth_kernel = kernel.compare(cosines)
    total = smooth_kernel + linear
    total[np.diag_indices_from(total)] += kernel.ridge
    inverse: Array = np.linalg.inv(total)
    dual: Array = inverse @ targets
    smooth, sparse = np.empty_like(targets), np.empty_like(targets)
    for fold in range(FOLDS):
        out, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        without = dual[rest] - inverse[np.ix_(rest, out)] @ np.linalg.solve(inverse[np.ix_(out, out)], dual[out])
        smooth[out] = smooth_kernel[np.ix_(out, rest)] @ without
        sparse[out] = linear[np.ix_(out, rest)] @ without
    return dual, smooth, sparse


def _rehearsed(
    smooth: Array, sparse: Array, cosines: Array, truth: NDArray[np.int32], folds: NDArray[np.int64]
) -> tuple[NDArray[np.intp], Array]:
    """One field's choices [n] and signals [n, LABEL_SIGNALS], each case's without its own fold."""
    choice, signals = np.empty(len(folds), np.intp), np.empty((len(folds), len(LABEL_SIGNALS)), np.float32)
    unknown = [0.0] * smooth.shape[1]
    for fold in range(FOLDS):
        out, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        choice[out], signals[out] = read_labels(smooth[out], sparse[out], cosines[np.ix_(out, rest)], truth[rest], unknown)
    return choice, signals


def _label_head(
    field: Field, choice: NDArray[np.intp], signals: Array, truth: NDArray[np.int32]
) -> tuple[LabelHead, list[tuple[Any, float]]]:
    right = choice == truth
    halves = np.arange(len(choice)) % 2
    position = LABEL_SIGNALS.index("prior")
    for half in (0, 1):  # a case must not vouch for its own label
        prior = _prior(choice[halves != half], right[halves != half], len(field.labels))
        signals[halves == half, position] = prior[choice[halves == half]]
    rows = name_signals(signals)
    calibration = fit_calibration(rows, right)
    prior = tuple(_prior(choice, right, len(field.labels)).tolist())
    pairs = [(field.labels[label], calibration(row)) for label, row in zip(choice.tolist(), rows, strict=True)]
    return LabelHead(field.name, field.labels, prior, calibration), pairs


def _prior(choice: NDArray[np.intp], right: NDArray[np.bool_], labels: int) -> NDArray[np.float64]:
    """The log-odds that each label is right when chosen, mixed with the average over all labels."""
    base = float(right.mean()) if len(right) else 0.5
    chosen = np.bincount(choice, minlength=labels)
    correct = np.bincount(choice[right], minlength=labels)
    return np.array([logit((c + PRIOR_CASES * base) / (n + PRIOR_CASES)) for c, n in zip(correct, chosen, strict=True)])


def _copied(field: Field, texts: Sequence[str]) -> list[Found]:
    copy = open_copier(field)
    return [copy(text) for text in texts]


def _copy_head(
    field: Field, found: Sequence[Found], expected: Sequence[Fields], rehearsed: Sequence[dict[str, tuple[Any, float]]]
) -> CopyHead:
    right = np.array([same(one.value, truth[field.name]) for one, truth in zip(found, expected, strict=True)])
    calibration: Calibration = fit_calibration([one.signals for one in found], right, rising=learnt(field))
    for row, copied in zip(rehearsed, found, strict=True):
        row[field.name] = (copied.value, trust(calibration, copied))
    return CopyHead(field.name, calibration)


def _machine(kernel: Kernel, embeddings: Array, owners: NDArray[np.int32], dual: Array, grams: Sequence[Sparse]) -> Machine:
    """The n-gram half as one weight row per bucket, so that serving does not compare n-grams text by text."""
    used = np.unique(np.concatenate([buckets for buckets, _ in grams]))
    rows = np.zeros(BUCKETS, np.int32)
    rows[used] = np.arange(1, len(used) + 1)
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
