"""The baseline that every bake-off has: TF-IDF on hashed words and logistic regression, in numpy. Knows no encoder.

Words and runs of two and three of them (`models.ngrams`), sublinear counts, smoothed inverse document frequencies, length one;
multinomial logistic regression with an L2 penalty on top, by L-BFGS (Liu and Nocedal 1989). It is no recipe of a workload file:
what it answers says what the others are worth.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from rung.batching import Batcher
from rung.core import Answer, Case, Fields, Problem
from rung.models.copying import Found, open_copier
from rung.models.extraction import learnt
from rung.models.ngrams import BUCKETS, HALF, Sparse, ngrams
from rung.models.specialist import CopyHead, LabelHead, lone_blas, read_calibration, trust
from rung.models.static import SIGNALS, Array, build_answers, calibrate_all, read_scores, spans
from rung.training.copies import folds_of
from rung.training.descent import descend
from rung.training.fitting import fit_copy_head, fit_label_head, place_labels
from rung.training.heads import Trained
from rung.workload import Field

PENALTY = 1 / 20  # on half the squared weights, beside the sum of the cases' losses: scikit-learn's C = 20
LEAST = 2  # texts that a run of words must occur in
FOLDS = 5
FLAT = 1e-3  # the steepest slope of a case's mean loss at which training ends
TOGETHER = 512  # entries of the matrix in one product: dense enough that BLAS pays, small enough to stay in the cache
BATCH = 256

Row = tuple[NDArray[np.int32], Array]  # rows of the weights and their values


@dataclass(frozen=True, slots=True)
class Regression:
    """`rows` [BUCKETS] names each bucket's row in `weights` [used + 1, labels] and in `rarity` [used + 1]; row 0, which has no
    bucket, is the constant. Labels of all fields stand side by side."""

    rows: NDArray[np.int32]
    rarity: Array
    weights: Array

    def score(self, words: Sequence[Sparse]) -> tuple[Array, Array]:
        """Log-odds [texts, labels], and the share of each text's buckets that training saw [texts]."""
        read = [_read(one, self.rows, self.rarity) for one in words]
        with lone_blas():
            scores = np.stack([values @ self.weights[rows] for (rows, values), _ in read])
        return scores, np.array([known for _, known in read], np.float32)


class TfIdf:
    """The baseline, a `core.Specialist`. Copied fields that gold teaches are null: it does not read words in their place."""

    def __init__(
        self, labelling: tuple[Regression, Sequence[LabelHead]] | None, copies: Sequence[CopyHead], fields: Sequence[Field]
    ) -> None:
        """`fields` are the workload's, in the answer's order; `labelling` fills label fields, where there are any."""
        self._regression, labels = labelling or (None, ())
        self._labels, self._copies = list(labels), list(copies)
        filled = {head.field for head in (*self._labels, *self._copies)}
        self._order = [field.name for field in fields if field.name in filled]
        self._copiers = {field.name: _copier(field) for field in fields if field.fill == "copy"}
        self._batcher: Batcher[str, Answer] | None = None

    async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
        """Every label and copy field; objections change nothing: the same text gives the same answer."""
        if self._batcher is None:
            self._batcher = Batcher(self.answer_all, BATCH, "tf-idf")
        return await self._batcher.submit(case.text)

    async def close(self) -> None:
        """Finish what is under way and end the thread."""
        if self._batcher is not None:
            await self._batcher.close()
            self._batcher = None

    def answer_all(self, texts: Sequence[str]) -> list[Answer]:
        """The answers to a batch of texts, in order."""
        found: dict[str, tuple[Sequence[Any], Any]] = {}
        if self._regression is not None:
            scores, known = self._regression.score([_words(text) for text in texts])
            for head, span in zip(self._labels, spans([head.labels for head in self._labels]), strict=True):
                choice, signals = _signals(scores[:, span], known, head.prior)
                found[head.field] = [head.labels[at] for at in choice.tolist()], calibrate_all(head.calibration, signals)
        for head in self._copies:
            copied = [self._copiers[head.field](text) for text in texts]
            found[head.field] = [one.value for one in copied], [trust(head.calibration, one) for one in copied]
        values, sure = zip(*(found[name] for name in self._order), strict=True)
        return build_answers(self._order, values, np.stack(sure, axis=1))

    def save(self, folder: Path) -> None:
        """Write `tfidf.safetensors` and `tfidf.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, NDArray[Any]] = {}
        if (model := self._regression) is not None:
            tensors = {"buckets": _used(model.rows), "rarity": model.rarity, "weights": model.weights}
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / "tfidf.safetensors")
        heads = {"labels": [asdict(head) for head in self._labels], "copies": [asdict(head) for head in self._copies]}
        (folder / "tfidf.json").write_text(json.dumps(heads, ensure_ascii=False, indent=1), encoding="utf-8")


def load_tfidf(folder: Path, fields: Sequence[Field]) -> TfIdf:
    """What `TfIdf.save` has written a moment ago for these fields."""
    heads = json.loads((folder / "tfidf.json").read_text(encoding="utf-8"))
    labels = [
        LabelHead(raw["field"], tuple(raw["labels"]), tuple(raw["prior"]), read_calibration(raw["calibration"]))
        for raw in heads["labels"]
    ]
    copies = [CopyHead(raw["field"], read_calibration(raw["calibration"])) for raw in heads["copies"]]
    tensors = load_file(folder / "tfidf.safetensors")
    model = Regression(_number(tensors["buckets"]), tensors["rarity"], tensors["weights"]) if labels else None
    return TfIdf((model, labels) if model else None, copies, fields)


def train_tfidf(
    texts: Sequence[str], expected: Sequence[Fields], fields: Sequence[Field], progress: Callable[[int], None] | None = None
) -> Trained:
    """Train on n cases; the same cases in the same order give the same model. `progress` is told how many hundredths are done."""
    found: dict[str, tuple[Sequence[Any], NDArray[np.float64]]] = {}
    labelling = None
    if label_fields := [field for field in fields if field.fill == "label"]:
        labelling = _train_labels(texts, expected, label_fields, found, progress or (lambda done: None))
    copies: list[CopyHead] = []
    for field in fields:
        if field.fill == "copy":
            copied = [*map(_copier(field), texts)]
            copies.append(fit_copy_head(field, copied, [row[field.name] for row in expected]))
            sure = np.array([trust(copies[-1].calibration, one) for one in copied])
            found[field.name] = [one.value for one in copied], sure
    names = [field.name for field in fields if field.name in found]
    values, sure = zip(*(found[name] for name in names), strict=True)
    answers = build_answers(names, values, np.stack(sure, axis=1))
    return Trained(TfIdf(labelling, copies, fields), dict(enumerate(answers)))


def _copier(field: Field) -> Callable[[str], Found]:
    return (lambda text: Found(None, {})) if learnt(field) else open_copier(field)


def _signals(scores: Array, known: Array, prior: Sequence[float]) -> tuple[NDArray[np.intp], Array]:
    """The signals of a static model whose other half says nothing."""
    return read_scores(np.zeros_like(scores), scores, known, prior)


def _train_labels(
    texts: Sequence[str],
    expected: Sequence[Fields],
    fields: Sequence[Field],
    found: dict[str, tuple[Sequence[Any], NDArray[np.float64]]],
    progress: Callable[[int], None],
) -> tuple[Regression, list[LabelHead]]:
    """The model and the heads of all label fields; their rehearsed values and probabilities go into `found`."""
    columns = spans([field.labels for field in fields])
    truth = place_labels(expected, fields)
    targets = np.concatenate([np.eye(len(f.labels), dtype=np.float32)[own] for f, own in zip(fields, truth.T, strict=True)], 1)
    words = [_words(text) for text in texts]
    folds = folds_of(len(texts), FOLDS, None)

    def rehearse(fold: tuple[NDArray[np.intp], NDArray[np.intp]]) -> tuple[Array, Array]:
        out, rest = fold
        some = rest if len(rest) else out  # a single case can only vouch for itself
        known, asked = ([words[at] for at in positions] for positions in (_places(some), _places(out)))
        return _learn(known, targets[some], columns).score(asked)

    scores, known = np.empty_like(targets), np.empty(len(texts), np.float32)
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        whole = pool.submit(_learn, words, targets, columns)
        for done, ((out, _), one) in enumerate(zip(folds, pool.map(rehearse, folds), strict=True), 1):
            scores[out], known[out] = one
            progress(100 * done // (len(folds) + 1))
        model = whole.result()
    progress(100)
    heads: list[LabelHead] = []
    for field, span, own in zip(fields, columns, truth.T, strict=True):
        choice, signals = _signals(scores[:, span], known, [0.0] * len(field.labels))
        heads.append(fit_label_head(field, SIGNALS, choice, signals, own))
        found[field.name] = [field.labels[at] for at in choice.tolist()], calibrate_all(heads[-1].calibration, signals)
    return model, heads


def _places(cases: NDArray[np.intp]) -> list[int]:
    return cases.tolist()


def _words(text: str) -> Sparse:
    """The buckets of a text's words, without those of its characters."""
    buckets, weights = ngrams(text)
    return buckets[buckets < HALF], weights[buckets < HALF]


def _read(words: Sparse, rows: NDArray[np.int32], rarity: Array) -> tuple[Row, float]:
    """A text as the regression sees it, the constant first, and the share of its buckets that are known."""
    buckets, weights = words
    known = rows[buckets] > 0
    own = rows[buckets[known]]
    values = weights[known] * rarity[own]
    values /= max(float(np.linalg.norm(values)), 1e-9)
    row = np.append(np.int32(0), own), np.append(np.float32(1), values)
    return row, float(known.mean()) if len(known) else 0.0


def _used(rows: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.flatnonzero(rows).astype(np.int32)


def _number(used: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    rows = np.zeros(BUCKETS, np.int32)
    rows[used] = np.arange(1, len(used) + 1)
    return rows


def _learn(words: Sequence[Sparse], targets: Array, columns: Sequence[slice]) -> Regression:
    frequency = np.bincount(np.concatenate([buckets for buckets, _ in words]), minlength=BUCKETS)
    used = np.flatnonzero(frequency >= LEAST)
    rarity = np.log((1 + len(words)) / (1 + frequency[used])) + 1
    rows, rarity = _number(used), np.append(0, rarity).astype(np.float32)
    blocks = list(_blocks([_read(one, rows, rarity)[0] for one in words]))

    def measure(weights: Array) -> tuple[float, Array]:
        """The loss and its slope."""
        loss = PENALTY / 2 * float(np.vdot(weights, weights))
        slope: Array = np.float32(PENALTY) * weights
        for cases, active, values in blocks:
            scores: Array = values @ weights[active]
            for span in columns:
                own = scores[:, span]
                own -= own.max(axis=1, keepdims=True)
                loss -= float((own * targets[cases, span]).sum())
                np.exp(own, out=own)
                total = own.sum(axis=1, keepdims=True)
                loss += float(np.log(total).sum())
                own /= total
            slope[active] += values.T @ (scores - targets[cases])
        return loss, slope

    start = np.zeros((len(used) + 1, targets.shape[1]), np.float32)
    return Regression(rows, rarity, descend(measure, start, FLAT * len(words)))


def _blocks(read: Sequence[Row]) -> Iterator[tuple[slice, NDArray[np.int32], Array]]:
    """Some cases, the rows that occur in them, and their values [cases, rows], densely."""
    ends = np.cumsum([len(rows) for rows, _ in read])
    cuts = [0, *(np.flatnonzero(np.diff(ends // TOGETHER)) + 1).tolist(), len(read)]
    for start, end in pairwise(cuts):
        some = read[start:end]
        case = np.repeat(np.arange(len(some)), [len(rows) for rows, _ in some])
        active, place = np.unique(np.concatenate([rows for rows, _ in some]), return_inverse=True)
        values = np.zeros((len(some), len(active)), np.float32)
        values[case, place] = np.concatenate([one for _, one in some])
        yield slice(start, end), active, values
