"""Turns texts into every label and pattern-copied field without attention: token vectors and n-grams. Knows no training.

What a word means comes from the encoder, once, before serving: the vector of each vocabulary token alone. A text is the sum of
its tokens' vectors, frequent tokens weighing less (Arora, Liang, Ma 2017, "A simple but tough-to-beat baseline for sentence
embeddings"), through one hidden layer; the first layer is folded into the vectors. How it is worded is a linear model on hashed
n-grams of tokens. Both halves' scores are log-odds, are added, and are kept apart as signals:

    score = outer . relu(sum of first[token] / length of weights + bias)  +  sum of grams[n-gram] / root of their number
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from rung.batching import Batcher
from rung.core import Answer, Case, Problem
from rung.models.calibration import Calibration
from rung.models.copying import open_copier
from rung.models.encoder import LONGEST, LONGEST_TEXT, open_tokenizer
from rung.models.specialist import (
    ArtefactError,
    CopyHead,
    LabelHead,
    lone_blas,
    read_calibration,
    trust,
)
from rung.workload import Field

Array = NDArray[np.float32]

SIZES = 3  # tokens in the longest n-gram
BITS = 18
BUCKETS = 1 << BITS
TEXTS = 256  # answered at a time: what they gather stays in the processor's cache
FEW = 8  # texts that are cheaper one by one
TOKENS = 8_192  # gathered at a time, also where all texts are long

SIGNALS = ("top", "margin", "log_margin", "third", "calm", "odds", "smooth_margin", "sparse_margin", "prior", "known")

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

    def score(self, tokens: Tokens) -> tuple[Array, Array, Array]:
        """Smooth and sparse scores [texts, labels], and the share of each text's n-grams that training saw [texts].

        A text's scores do not depend on the others: its sums run in its own order, and what BLAS, which orders sums by the
        batch's size, multiplies in float64 is the same once it is rounded to float32.
        """
        parts = [self._score(part) for part in tokens.slices()]
        smooth, sparse, known = (np.concatenate(found) for found in zip(*parts, strict=True))
        return smooth, sparse, known

    def _score(self, tokens: Tokens) -> tuple[Array, Array, Array]:
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


def read_scores(smooth: Array, sparse: Array, known: Array, prior: Sequence[float]) -> tuple[NDArray[np.intp], Array]:
    """One field's choices [texts] and their signals [texts, SIGNALS] from its scores [texts, labels]."""
    scores = smooth + sparse
    row, labels = np.arange(len(scores)), scores.shape[1]
    choice = scores.argmax(axis=1)
    ordered = np.sort(scores, axis=1)
    top = ordered[:, -1]
    margin = top - ordered[:, max(labels - 2, 0)]
    shares = np.exp(scores - top[:, None])
    shares /= shares.sum(axis=1, keepdims=True)
    surest = np.clip(shares[row, choice], 1e-6, 1 - 1e-6)
    signals = [
        top,
        margin,
        np.log(np.maximum(margin, 1e-3)),
        top - ordered[:, max(labels - 3, 0)],
        (shares * np.log(shares + 1e-12)).sum(axis=1),
        np.log(surest / (1 - surest)),
        _lead(smooth, choice),
        _lead(sparse, choice),
        np.asarray(prior, np.float32)[choice],
        known,
    ]
    return choice, np.stack(signals, axis=1).astype(np.float32)


def _lead(scores: Array, choice: NDArray[np.intp]) -> Array:
    """How far the chosen label lies ahead of the best other one; negative where another is ahead, 0 where there is no other."""
    row = np.arange(len(scores))
    others = scores.copy()
    others[row, choice] = scores.min(axis=1)
    lead: Array = scores[row, choice] - others.max(axis=1)
    return lead


def calibrate_all(calibration: Calibration, signals: Array) -> NDArray[np.float64]:
    """`Calibration` over rows of `read_scores` at once: probabilities [texts]."""
    total = np.full(len(signals), calibration.bias)
    for name, (weight, mean, scale) in calibration.weights.items():
        total += weight * (signals[:, SIGNALS.index(name)].astype(np.float64) - mean) / scale
    return np.where(np.isfinite(total), 1 / (1 + np.exp(-np.clip(total, -50, 50))), 0.0)


def build_answers(names: Sequence[str], values: Sequence[Sequence[Any]], confidence: NDArray[np.float64]) -> list[Answer]:
    """Answers from each field's values and probabilities [texts, fields], in the fields' order, with their record signals.

    These are those of `specialist.record_signals`, for all texts at once.
    """
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

    def __init__(
        self,
        encoder: str,
        labelling: tuple[Network, Sequence[LabelHead]] | None,
        copies: Sequence[CopyHead],
        fields: Sequence[Field],
    ) -> None:
        """`encoder` is the name of the one whose token vectors these are; `fields` are the workload's, in the answer's order.
        `labelling` fills label fields, where there are any. Raises ValueError for a network of another vocabulary."""
        self.encoder = encoder
        self._network, labels = labelling or (None, ())
        self._labels = list(labels)
        self._copies = list(copies)
        filled = {head.field for head in (*self._labels, *self._copies)}
        self._order = [field.name for field in fields if field.name in filled]
        self._copiers = {field.name: open_copier(field) for field in fields if field.fill == "copy"}
        self._reader = Reader()
        if self._network is not None and len(self._network.first) != len(self._reader.vocabulary):
            raise ValueError("the vocabulary is not the tokenizer's")
        self._pool: ThreadPoolExecutor | None = None
        self._batcher: Batcher[str, Answer] | None = None

    async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
        """Every label and copy field; objections change nothing: the same text gives the same answer."""
        if self._batcher is None:
            self._batcher = Batcher(self.answer_all, TEXTS, "static")
        return await self._batcher.submit(case.text)

    async def close(self) -> None:
        """Finish what is under way and end the thread."""
        if self._batcher is not None:
            await self._batcher.close()
            self._batcher = None
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
        found: dict[str, tuple[Sequence[Any], Any]] = {}
        if self._network is not None:
            smooth, sparse, known = self._network.score(self._reader.read(texts))
            for head, span in zip(self._labels, spans([head.labels for head in self._labels]), strict=True):
                choice, signals = read_scores(smooth[:, span], sparse[:, span], known, head.prior)
                found[head.field] = [head.labels[at] for at in choice.tolist()], calibrate_all(head.calibration, signals)
        for head in self._copies:
            copied = [self._copiers[head.field](text) for text in texts]
            found[head.field] = [one.value for one in copied], [trust(head.calibration, one) for one in copied]
        values, sure = zip(*(found[name] for name in self._order), strict=True)
        return build_answers(self._order, values, np.stack(sure, axis=1))

    def save(self, folder: Path) -> None:
        """Write `static.safetensors` (weights, the large ones in float16) and `static.json` (labels, calibrations)."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, NDArray[Any]] = {}
        if (network := self._network) is not None:
            used = np.flatnonzero(network.rows).astype(np.int32)
            tensors = {name: getattr(network, name) for name in ("weights", "bias", "outer_bias")}
            tensors |= {"first": network.first.astype(np.float16), "outer": network.outer.astype(np.float32)}
            tensors |= {"buckets": used, "grams": network.grams[network.rows[used]].astype(np.float16)}
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / "static.safetensors")
        heads = {
            "encoder": self.encoder,
            "labels": [asdict(head) for head in self._labels],
            "copies": [asdict(head) for head in self._copies],
        }
        (folder / "static.json").write_text(json.dumps(heads, ensure_ascii=False, indent=1), encoding="utf-8")


def spans(labels: Sequence[Sequence[Any]]) -> list[slice]:
    """Each field's columns, where the labels of all fields stand side by side."""
    ends = np.cumsum([len(some) for some in labels]).tolist()
    return [slice(end - len(some), end) for some, end in zip(labels, ends, strict=True)]


def load_static(folder: Path, fields: Sequence[Field]) -> Static:
    """Read what `Static.save` wrote. Raises `ArtefactError` for damaged files and for those of other fields."""
    try:
        heads = json.loads((folder / "static.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "static.safetensors")
        labels = [
            LabelHead(raw["field"], tuple(raw["labels"]), tuple(map(float, raw["prior"])), read_calibration(raw["calibration"]))
            for raw in heads["labels"]
        ]
        copies = [CopyHead(raw["field"], read_calibration(raw["calibration"])) for raw in heads["copies"]]
        network = _read_network(tensors) if labels else None
        _fit_together(network, labels, copies, fields)
        return Static(str(heads["encoder"]), (network, labels) if network else None, copies, fields)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, SafetensorError) as error:
        raise ArtefactError(f"{folder}: the static model cannot be read ({error}). Train again with `rung train`.") from error


def _read_network(tensors: Mapping[str, NDArray[Any]]) -> Network:
    read = {name: tensors[name].astype(np.float32) for name in ("first", "weights", "bias", "outer", "outer_bias", "grams")}
    grams = np.concatenate([np.zeros((1, read["grams"].shape[1]), np.float32), read.pop("grams")])
    outer = read.pop("outer").astype(np.float64)
    return Network(**read, outer=outer, rows=number_rows(tensors["buckets"]), grams=grams)


def number_rows(used: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """`Network.rows`, for rows of `grams` in the order of the used buckets."""
    rows = np.zeros(BUCKETS + 1, np.int32)
    rows[used] = np.arange(1, len(used) + 1)
    return rows


def _fit_together(
    network: Network | None, labels: Sequence[LabelHead], copies: Sequence[CopyHead], fields: Sequence[Field]
) -> None:
    """Raise ValueError unless the files speak of one network and of these fields."""
    if network is not None:
        (tokens, hidden), columns = network.first.shape, sum(len(head.labels) for head in labels)
        shapes = [network.weights.shape, network.bias.shape, network.outer.shape, network.outer_bias.shape, network.grams.shape]
        used = int(network.rows.max())
        if shapes != [(tokens,), (hidden,), (hidden, columns), (columns,), (used + 1, columns)]:
            raise ValueError("the weights do not fit each other")
    trained = [(head.field, head.labels) for head in labels] + [(head.field, ()) for head in copies]
    wanted = [(field.name, field.labels) for fill in ("label", "copy") for field in fields if field.fill == fill]
    if trained != wanted or any(len(head.prior) != len(head.labels) for head in labels):
        raise ValueError("the heads are not those of the workload's fields")
    if not {name for head in labels for name in head.calibration.weights} <= set(SIGNALS):
        raise ValueError("a calibration asks for signals that there are not")
