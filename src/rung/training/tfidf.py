"""The baseline that every bake-off has: TF-IDF on hashed words and logistic regression, in numpy. Knows no encoder.

Words and runs of two and three of them (`models.ngrams`), sublinear counts, smoothed inverse document frequencies, length one;
multinomial logistic regression with an L2 penalty on top, by L-BFGS (Liu and Nocedal 1989). It is no recipe of a workload file:
what it answers says what the others are worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rung.batching import Batcher
from rung.core import Answer, Case, Fields, Problem
from rung.models.copying import Found, open_copier
from rung.models.extraction import learnt
from rung.models.heads import Array, Heads, load_model, number_rows, save_model, used_buckets
from rung.models.ngrams import BUCKETS, HALF, Sparse, ngrams
from rung.models.specialist import lone_blas
from rung.models.static import Scores, build_answers, fill_all
from rung.training.descent import descend
from rung.training.heads import Trained, one_hot
from rung.training.static import Places, fit_heads, rehearse
from rung.workload import Field

PENALTY = 1 / 20  # on half the squared weights, beside the sum of the cases' losses: scikit-learn's C = 20
LEAST = 2  # texts that a run of words must occur in
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

    def score(self, words: Sequence[Sparse]) -> Scores:
        """Log-odds, as a static model's whose other half says nothing, and what share is known."""
        read = [_read(one, self.rows, self.rarity) for one in words]
        with lone_blas():
            scores = np.stack([values @ self.weights[rows] for (rows, values), _ in read])
        return np.zeros_like(scores), scores, np.array([known for _, known in read], np.float32)


class TfIdf:
    """The baseline, a `core.Specialist`. Copied fields that gold teaches are null: it does not read words in their place."""

    def __init__(self, regression: Regression | None, heads: Heads, fields: Sequence[Field]) -> None:
        """`fields` are the workload's, in the answer's order; `regression` fills label fields, where there are any."""
        self._regression, self._heads, self._fields = regression, heads, fields
        self._copiers = {field.name: _copier(field) for field in fields if field.fill == "copy"}
        self._batcher = Batcher(self.answer_all, BATCH, "tf-idf")

    async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
        """Every label and copy field; objections change nothing: the same text gives the same answer."""
        return await self._batcher.submit(case.text)

    async def close(self) -> None:
        """Finish what is under way and end the thread."""
        await self._batcher.close()

    def answer_all(self, texts: Sequence[str]) -> list[Answer]:
        """The answers to a batch of texts, in order."""
        scores = self._regression and self._regression.score([_words(text) for text in texts])
        return build_answers(fill_all(texts, self._heads, self._copiers, scores), self._fields)

    def save(self, folder: Path) -> None:
        """Write `tfidf.safetensors` and `tfidf.json`."""
        tensors: dict[str, NDArray[Any]] = {}
        if (model := self._regression) is not None:
            tensors = {"buckets": used_buckets(model.rows), "rarity": model.rarity, "weights": model.weights}
        save_model(folder, "tfidf", asdict(self._heads), tensors)


def load_tfidf(folder: Path, fields: Sequence[Field]) -> TfIdf:
    """What `TfIdf.save` has written a moment ago for these fields."""
    _, heads, tensors = load_model(folder, "tfidf", fields)
    model = Regression(number_rows(tensors["buckets"], BUCKETS), tensors["rarity"], tensors["weights"]) if heads.labels else None
    return TfIdf(model, heads, fields)


def train_tfidf(
    texts: Sequence[str], expected: Sequence[Fields], fields: Sequence[Field], progress: Callable[[int], None] = lambda done: None
) -> Trained:
    """Train on n cases; the same cases in the same order give the same model. `progress` is told how many hundredths are done."""
    model, scores = None, None
    if label_fields := [field for field in fields if field.fill == "label"]:
        targets, columns = one_hot(expected, label_fields)
        words = [_words(text) for text in texts]

        def without(some: Places, out: Places) -> Scores:
            return _learn(_picked(words, some), targets[some], columns).score(_picked(words, out))

        model, scores = rehearse(lambda: _learn(words, targets, columns), without, targets, progress)
    copied = {field.name: [*map(_copier(field), texts)] for field in fields if field.fill == "copy"}
    heads, rehearsal = fit_heads(expected, fields, scores, copied)
    return Trained(TfIdf(model, heads, fields), rehearsal)


def _copier(field: Field) -> Callable[[str], Found]:
    return (lambda text: Found(None, {})) if learnt(field) else open_copier(field)


def _picked(words: Sequence[Sparse], cases: Places) -> list[Sparse]:
    places: list[int] = cases.tolist()
    return [words[at] for at in places]


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


def _learn(words: Sequence[Sparse], targets: Array, columns: Sequence[slice]) -> Regression:
    frequency = np.bincount(np.concatenate([buckets for buckets, _ in words]), minlength=BUCKETS)
    used = np.flatnonzero(frequency >= LEAST)
    rarity = np.log((1 + len(words)) / (1 + frequency[used])) + 1
    rows, rarity = number_rows(used, BUCKETS), np.append(0, rarity).astype(np.float32)
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
