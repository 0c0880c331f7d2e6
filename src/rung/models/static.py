"""Turns texts into every label and pattern-copied field without attention: token vectors and n-grams. Knows no training.

What a word means comes from the encoder, once, before serving: the vector of each vocabulary token alone. A text is the sum of
its tokens' vectors, frequent tokens weighing less (Arora, Liang, Ma 2017, "A simple but tough-to-beat baseline for sentence
embeddings"), through one hidden layer; the first layer is folded into the vectors. How it is worded is a linear model on hashed
n-grams of tokens. Both halves' scores are log-odds, are added, and are kept apart as signals:

    score = outer . relu(sum of first[token] / length of weights + bias)  +  sum of grams[n-gram] / root of their number
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from rung.batching import Batcher
from rung.core import Answer, Case, Problem
from rung.models.calibration import Calibration
from rung.models.copying import Found, open_copier
from rung.models.encoder import LONGEST, LONGEST_TEXT, open_tokenizer
from rung.models.heads import (
    SIGNALS,
    Array,
    ArtefactError,
    Heads,
    choose,
    load_model,
    number_rows,
    save_model,
    spans,
    trust,
    used_buckets,
)
from rung.models.specialist import lone_blas
from rung.workload import Field

Scores = tuple[Array, Array, Array]  # two halves' [texts, labels], and the share of each text's n-grams that training saw [texts]
Filled = tuple[Sequence[Any], NDArray[np.float64]]  # a field's values and their probabilities, by text

SIZES = 3  # tokens in the longest n-gram
BITS = 18
BUCKETS = 1 << BITS
TEXTS = 256  # answered at a time: what they gather stays in the processor's cache
FEW = 8  # texts that are cheaper one by one
TOKENS = 8_192  # gathered at a time, also where all texts are long

LABEL_SIGNALS = (*SIGNALS, "known")

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SPREAD = np.uint64(0xD6E8FEB86659FD93)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The texts' token ids one after the other, each text's between two marks, and how many each has, marks and all."""

    ids: NDArray[np.int32]
    lengths: NDArray[np.int64]

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where each text begins in `ids`."""
        return np.cumsum(self.lengths) - self.lengths

    def slices(self) -> Iterator[Tokens]:
        """The texts in order, few enough at a time that hardly more than `TOKENS` tokens are gathered at once."""
        ends = np.cumsum(self.lengths)
        cuts = [0, *(np.flatnonzero(np.diff(ends // TOKENS)) + 1).tolist(), len(ends)]
        bounds = np.concatenate([[0], ends])
        for start, end in pairwise(cuts):
            yield Tokens(self.ids[bounds[start] : bounds[end]], self.lengths[start:end])

    def buckets(self) -> NDArray[np.int64]:
        """The bucket of the n-gram of each size that begins at each token [tokens, SIZES]; -1 where the text ends before it."""
        ids = self.ids.astype(np.uint64)
        found = np.full((len(ids), SIZES), -1, np.int64)
        left = np.repeat(np.cumsum(self.lengths), self.lengths) - np.arange(len(ids))  # tokens from here to the text's end
        rolling = np.ones(len(ids) + 1, np.uint64)
        for size in range(1, min(SIZES, len(ids)) + 1):
            rolling = rolling[: len(ids) - size + 1] * _MULTIPLIER + ids[size - 1 :]
            mixed = ((rolling ^ (rolling >> np.uint64(29))) * _SPREAD) >> np.uint64(64 - BITS)
            found[: len(mixed), size - 1] = np.where(left[: len(mixed)] >= size, mixed.astype(np.int64), -1)
        return found

    def grams(self) -> NDArray[np.int64]:
        """How many n-grams each text has; never none, for the two marks and their pair are three."""
        return SIZES * self.lengths - SIZES * (SIZES - 1) // 2


class Reader:
    """The shared tokenizer, as far as a static model reads: the first `LONGEST` tokens, no windows."""

    def __init__(self) -> None:
        """Open the tokenizer; raises `EncoderError`."""
        self._tokenizer: Any = open_tokenizer()
        self._tokenizer.enable_truncation(LONGEST)
        numbers: dict[str, int] = self._tokenizer.get_vocab()
        self.vocabulary = sorted(numbers, key=numbers.__getitem__)

    def read(self, texts: Sequence[str]) -> Tokens:
        """The texts' tokens. A lone surrogate, legal in a Python string but not in UTF-8, is read as a question mark."""
        valid = [text[:LONGEST_TEXT].encode("utf-8", "replace").decode() for text in texts]
        rows: list[list[int]] = [found.ids for found in self._tokenizer.encode_batch_fast(valid)]
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        return Tokens(np.fromiter(chain.from_iterable(rows), np.int32, int(lengths.sum())), lengths)


@dataclass(frozen=True, slots=True)
class Network:
    """`first` [vocabulary, hidden] and `weights` [vocabulary]: each token's weighted vector through the first layer, and its
    weight; `bias` [hidden]; `outer` [hidden, labels] and `outer_bias` [labels], labels of all fields side by side.

    `rows` [BUCKETS + 1] names each bucket's row in `grams` [used + 1, labels]: 0 (all zeros) for buckets that training never
    saw, and for the last one, where there is no n-gram.
    """

    first: Array
    weights: Array
    bias: Array
    outer: NDArray[np.float64]
    outer_bias: Array
    rows: NDArray[np.int32]
    grams: Array

    def score(self, tokens: Tokens) -> Scores:
        """Smooth and sparse scores, and what share is known.

        A text's scores do not depend on the others: its sums run in its own order, and what BLAS, which orders sums by the
        batch's size, multiplies in float64 is the same once it is rounded to float32.
        """
        parts = [self._score(part) for part in tokens.slices()]
        smooth, sparse, known = (np.concatenate(found) for found in zip(*parts, strict=True))
        return smooth, sparse, known

    def _score(self, tokens: Tokens) -> Scores:
        hidden = add_up(self.first, tokens.ids[:, None], tokens)
        hidden *= measure_lengths(self.weights, tokens)[:, None]
        hidden += self.bias
        np.maximum(hidden, 0, out=hidden)
        with lone_blas():
            smooth = (hidden.astype(np.float64) @ self.outer).astype(np.float32) + self.outer_bias
        rows = self.rows[tokens.buckets()]
        number = tokens.grams().astype(np.float32)
        sparse = add_up(self.grams, rows, tokens)
        sparse /= np.sqrt(number)[:, None]
        known = np.add.reduceat((rows > 0).sum(axis=1), tokens.starts) / number
        return smooth, sparse, known.astype(np.float32)


def add_up(table: Array, rows: NDArray[np.int32], tokens: Tokens) -> Array:
    """The sum over each text's tokens of the rows of `table` [any, width] that `rows` [tokens, some] names: [texts, width].

    All texts' first tokens, then all second ones, and so on, the longest texts on top: every step adds whole rows, where
    `reduceat` would go down each column.
    """
    if len(tokens.lengths) <= FEW:
        parts = np.split(rows, tokens.starts[1:])
        return np.stack([table[part.ravel()].sum(axis=0) for part in parts])  # adds rows in the same order: the same bits
    order = np.argsort(-tokens.lengths, kind="stable")
    starts = tokens.starts[order]
    longer = np.cumsum(np.bincount(tokens.lengths)[::-1])[::-1][1:].tolist()  # how many texts have more tokens than 0, 1, ...
    sums = np.zeros((len(order), table.shape[1]), np.float32)
    taken = np.empty_like(sums)
    for at, texts in enumerate(longer):
        for column in rows[starts[:texts] + at].T:
            np.take(table, column, axis=0, out=taken[:texts], mode="clip")  # the other modes copy twice
            sums[:texts] += taken[:texts]
    found = np.empty_like(sums)
    found[order] = sums
    return found


def measure_lengths(weights: Array, tokens: Tokens) -> Array:
    """One over the Euclidean length of each text's weights [texts], as if its tokens' vectors were at right angles."""
    squares = np.add.reduceat(weights[tokens.ids] ** 2, tokens.starts)
    return (1 / np.sqrt(np.maximum(squares, 1e-6))).astype(np.float32)


def read_scores(scores: Scores, span: slice, prior: Sequence[float]) -> tuple[NDArray[np.intp], Array]:
    """One field's choices [texts] and their signals [texts, LABEL_SIGNALS] from its columns of the scores."""
    smooth, sparse, known = scores
    choice, signals = choose(smooth[:, span], sparse[:, span], prior)
    return choice, np.stack([*signals, known], axis=1).astype(np.float32)


def calibrate_all(calibration: Calibration, signals: Array) -> NDArray[np.float64]:
    """`Calibration` over rows of `read_scores` at once: probabilities [texts]."""
    total = np.full(len(signals), calibration.bias)
    for name, (weight, mean, scale) in calibration.weights.items():
        total += weight * (signals[:, LABEL_SIGNALS.index(name)].astype(np.float64) - mean) / scale
    return np.where(np.isfinite(total), 1 / (1 + np.exp(-np.clip(total, -50, 50))), 0.0)


def fill_all(
    texts: Sequence[str], heads: Heads, copiers: Mapping[str, Callable[[str], Found]], scores: Scores | None
) -> dict[str, Filled]:
    """Every field of the texts: labels by their scores, where there are any, and what is copied."""
    found: dict[str, Filled] = {}
    if scores is not None:
        for head, span in zip(heads.labels, spans([head.labels for head in heads.labels]), strict=True):
            choice, signals = read_scores(scores, span, head.prior)
            found[head.field] = [head.labels[at] for at in choice.tolist()], calibrate_all(head.calibration, signals)
    for head in heads.copies:
        found[head.field] = trust_all(head.calibration, [*map(copiers[head.field], texts)])
    return found


def trust_all(calibration: Calibration, copied: Sequence[Found]) -> Filled:
    """What was copied from each text, and how probably it is right."""
    return [one.value for one in copied], np.array([trust(calibration, one) for one in copied])


def build_answers(found: Mapping[str, Filled], fields: Sequence[Field]) -> list[Answer]:
    """Answers, their fields in the workload's order, with their record signals: `specialist.record_signals`, all at once."""
    names = [field.name for field in fields if field.name in found]
    values, sure = zip(*(found[name] for name in names), strict=True)
    confidence = np.stack(sure, axis=1)
    record = np.stack([confidence.min(axis=1), confidence.prod(axis=1)], axis=1)
    kept = np.clip(record, 1e-6, 1 - 1e-6)
    odds: list[list[float]] = np.log(kept / (1 - kept)).tolist()
    rows: list[list[float]] = confidence.tolist()
    return [
        Answer(dict(zip(names, filled, strict=True)), dict(zip(names, sure, strict=True)), {"weakest": weakest, "joint": joint})
        for filled, sure, (weakest, joint) in zip(zip(*values, strict=True), rows, odds, strict=True)
    ]


class Static:
    """Token vectors and n-grams with heads, a `core.Model`. Concurrent cases share one pass; a lone one does not wait."""

    def __init__(self, encoder: str, network: Network | None, heads: Heads, fields: Sequence[Field]) -> None:
        """`encoder` is the name of the one whose token vectors these are; `fields` are the workload's, in the answer's order.
        `network` fills label fields, where there are any. Raises ValueError for a network of another vocabulary."""
        self.encoder = encoder
        self._network, self._heads, self._fields = network, heads, fields
        self._copiers = {field.name: open_copier(field) for field in fields if field.fill == "copy"}
        self._reader = Reader()
        if self._network is not None and len(self._network.first) != len(self._reader.vocabulary):
            raise ValueError("the vocabulary is not the tokenizer's")
        self._pool: ThreadPoolExecutor | None = None
        self._batcher = Batcher(self.answer_all, TEXTS, "static")

    async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
        """Every label and copy field; objections change nothing: the same text gives the same answer."""
        return await self._batcher.submit(case.text)

    async def close(self) -> None:
        """Finish what is under way and end the threads."""
        await self._batcher.close()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def answer_all(self, texts: Sequence[str]) -> list[Answer]:
        """The answers to any number of texts, in order; many are answered on all cores."""
        parts = [texts[start : start + TEXTS] for start in range(0, len(texts), TEXTS)]
        if len(parts) < 2:
            return [answer for part in parts for answer in self._answer(part)]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="static")
        return list(chain.from_iterable(self._pool.map(self._answer, parts)))

    def _answer(self, texts: Sequence[str]) -> list[Answer]:
        scores = self._network and self._network.score(self._reader.read(texts))
        return build_answers(fill_all(texts, self._heads, self._copiers, scores), self._fields)

    def save(self, folder: Path) -> None:
        """Write `static.safetensors` (weights, the large ones in float16) and `static.json` (labels, calibrations)."""
        tensors: dict[str, NDArray[Any]] = {}
        if (network := self._network) is not None:
            used = used_buckets(network.rows)
            tensors = {name: getattr(network, name) for name in ("weights", "bias", "outer_bias")}
            tensors |= {"first": network.first.astype(np.float16), "outer": network.outer.astype(np.float32)}
            tensors |= {"buckets": used, "grams": network.grams[network.rows[used]].astype(np.float16)}
        save_model(folder, "static", {"encoder": self.encoder, **asdict(self._heads)}, tensors)


def load_static(folder: Path, fields: Sequence[Field]) -> Static:
    """Read what `Static.save` wrote. Raises `ArtefactError` for damaged files and for those of other fields."""
    try:
        document, heads, tensors = load_model(folder, "static", fields)
        if not {name for head in heads.labels for name in head.calibration.weights} <= set(LABEL_SIGNALS):
            raise ValueError("a calibration asks for signals that there are not")
        network = _read_network(tensors, sum(len(head.labels) for head in heads.labels)) if heads.labels else None
        return Static(str(document["encoder"]), network, heads, fields)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, SafetensorError) as error:
        raise ArtefactError(f"{folder}: the static model cannot be read ({error}). Train again with `rung train`.") from error


def _read_network(tensors: Mapping[str, NDArray[Any]], columns: int) -> Network:
    """Raises ValueError for tensors that do not fit each other or so many labels."""
    read = {name: tensors[name].astype(np.float32) for name in ("first", "weights", "bias", "outer", "outer_bias", "grams")}
    (count, hidden), used = read["first"].shape, len(tensors["buckets"])
    shapes = [(count, hidden), (count,), (hidden,), (hidden, columns), (columns,), (used, columns)]
    if [tensor.shape for tensor in read.values()] != shapes:
        raise ValueError("the weights do not fit each other")
    grams = np.concatenate([np.zeros((1, columns), np.float32), read.pop("grams")])
    outer = read.pop("outer").astype(np.float64)
    return Network(**read, outer=outer, rows=number_rows(tensors["buckets"], BUCKETS + 1), grams=grams)
