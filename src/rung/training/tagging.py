"""Turns words whose spans are known into a tagger, without PyTorch. Knows nothing about schemas or values.

A network with one hidden layer on frozen states, trained by Adam (Kingma and Ba 2015) with dropout; small enough that numpy
does an epoch over a hundred thousand words in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rung.models.encoder import STATES, Words
from rung.models.tagger import INPUTS, Array, Network, Tagger, describe

Tags = NDArray[np.int64]

HIDDEN = 128
EPOCHS = 10
BATCH = 512
RATE = 2e-3
DROPPED = 0.3  # of the hidden units
BLINDED = 0.2  # of the inputs, for a whole batch
MOVES = 0.5  # how much the tags' usual order counts beside what the words say: the states know most of it already
MOST_WORDS = 150_000  # states of more would take gigabytes
IGNORED = -1  # a word whose tag is not known


@dataclass(frozen=True, slots=True)
class Sheet:
    """A text, its words and their tags [words]: 0 is O, 1 + 2k and 2 + 2k are B and I of kind k, `IGNORED` teaches nothing."""

    text: str
    words: Words
    tags: Tags


def train_tagger(
    sheets: Sequence[Sheet], kinds: Sequence[str], epochs: int = EPOCHS, progress: Callable[[int], None] = lambda words: None
) -> Tagger:
    """Train on the sheets; deterministic. `progress` is told of every batch's words."""
    sheets = _bounded(sheets)
    mean, scale = _standard(sheets)
    learner = _Learner(1 + 2 * len(kinds))
    total = epochs * sum(len(sheet.tags) for sheet in sheets)
    draw, done = np.random.default_rng(0), 0
    for _ in range(epochs):
        for batch in _batches(sheets, draw):
            inputs = np.concatenate([describe(sheet.text, sheet.words, mean, scale) for sheet in batch])
            tags = np.concatenate([sheet.tags for sheet in batch])
            known = tags != IGNORED
            learner.learn(inputs[known], tags[known], RATE * (1 - done / total), draw)
            progress(len(tags))
            done += len(tags)
    moves = _moves([sheet.tags for sheet in sheets], 1 + 2 * len(kinds))
    weights = learner.weights
    return Tagger(
        kinds,
        Network(mean, scale, weights["inner"], weights["inner_bias"], weights["outer"], weights["outer_bias"], moves),
    )


class _Learner:
    """The network's weights, and Adam's two moments of each."""

    def __init__(self, tags: int) -> None:
        draw = np.random.default_rng(0)
        self.weights: dict[str, Array] = {
            "inner": draw.normal(0, 0.3 * INPUTS**-0.5, (INPUTS, HIDDEN)).astype(np.float32),
            "inner_bias": np.zeros(HIDDEN, np.float32),
            "outer": draw.normal(0, 0.1 * HIDDEN**-0.5, (HIDDEN, tags)).astype(np.float32),
            "outer_bias": np.zeros(tags, np.float32),
        }
        self._first = {name: np.zeros_like(weight) for name, weight in self.weights.items()}
        self._second = {name: np.zeros_like(weight) for name, weight in self.weights.items()}
        self._steps = 0

    def learn(self, inputs: Array, tags: Tags, rate: float, draw: np.random.Generator) -> None:
        if not len(tags):
            return
        weights = self.weights
        seen = (draw.random(INPUTS) > BLINDED).astype(np.float32)
        inputs = np.multiply(inputs, seen / np.float32(1 - BLINDED), dtype=np.float32)
        kept: Array = (draw.random((len(tags), HIDDEN)) > DROPPED).astype(np.float32) / np.float32(1 - DROPPED)
        before = inputs @ weights["inner"] + weights["inner_bias"]
        hidden = np.maximum(before, 0) * kept
        logits = hidden @ weights["outer"] + weights["outer_bias"]
        wrong = np.exp(logits - logits.max(axis=1, keepdims=True))
        wrong /= wrong.sum(axis=1, keepdims=True)
        wrong[np.arange(len(tags)), tags] -= 1
        wrong /= len(tags)
        back = wrong @ weights["outer"].T * kept * (before > 0)
        self._step("outer", hidden.T @ wrong, rate)
        self._step("outer_bias", wrong.sum(axis=0), rate)
        self._step("inner", inputs.T @ back, rate)
        self._step("inner_bias", back.sum(axis=0), rate)
        self._steps += 1

    def _step(self, name: str, gradient: Array, rate: float) -> None:
        first, second, step = self._first[name], self._second[name], self._steps + 1
        first += 0.1 * (gradient - first)
        second += 0.01 * (gradient * gradient - second)
        self.weights[name] -= (
            np.float32(rate)
            * (first / np.float32(1 - 0.9**step))
            / (np.sqrt(second / np.float32(1 - 0.99**step)) + np.float32(1e-8))
        )


def _bounded(sheets: Sequence[Sheet]) -> list[Sheet]:
    """The sheets that have words, or as many of them, drawn evenly, as have `MOST_WORDS` at most."""
    sheets = [sheet for sheet in sheets if len(sheet.tags)]
    order = np.arange(len(sheets))
    if sum(len(sheet.tags) for sheet in sheets) > MOST_WORDS:
        order = np.random.default_rng(0).permutation(len(sheets))
    words = np.cumsum([len(sheets[at].tags) for at in order])
    return [sheets[at] for at in np.sort(order[words <= MOST_WORDS]).tolist()]


def _standard(sheets: Sequence[Sheet]) -> tuple[Array, Array]:
    """Each state's mean and scale over the words; the scale makes their spread 0.3, so that 3,000 of them start small."""
    if not sheets:
        return np.zeros(STATES, np.float32), np.ones(STATES, np.float32)
    some = np.concatenate([sheet.words.states[:50] for sheet in sheets]).astype(np.float32)
    return some.mean(axis=0), (some.std(axis=0) + 1e-3) / np.float32(0.3)


def _batches(sheets: Sequence[Sheet], draw: np.random.Generator) -> Iterator[list[Sheet]]:
    """The sheets in a new order, in batches of at least `BATCH` words."""
    batch: list[Sheet] = []
    size = 0
    order: list[int] = draw.permutation(len(sheets)).tolist()
    for at in order:
        batch.append(sheets[at])
        size += len(sheets[at].tags)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _moves(sequences: Sequence[Tags], tags: int) -> Array:
    """Log-odds of each tag after another against its share of all, [tags + 1, tags]; an I follows only its own B or I."""
    counts = np.full((tags + 1, tags), 0.1)
    for sequence in sequences:
        both = (sequence[:-1] != IGNORED) & (sequence[1:] != IGNORED)
        np.add.at(counts, (sequence[:-1][both], sequence[1:][both]), 1)
        if len(sequence) and sequence[0] != IGNORED:
            counts[tags, sequence[0]] += 1
    share = counts.sum(axis=0) / counts.sum()
    moves = MOVES * np.log(counts / counts.sum(axis=1, keepdims=True) / share)
    for inside in range(2, tags, 2):
        others = np.setdiff1d(np.arange(tags + 1), [inside - 1, inside])
        moves[others, inside] = -1e4
    return moves.astype(np.float32)
