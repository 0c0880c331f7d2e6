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
from rung.models.tagger import BUCKETS, GAPS, INPUTS, PLACES, Array, Network, Places, Tagger, add_up, describe, gaps, wordings

Tags = NDArray[np.int64]
Seen = tuple[Places, Places, Array]

HIDDEN = 128
EPOCHS = 10
BATCH = 512
RATE = 2e-3
DROPPED = 0.3  # of the hidden units
BLINDED = 0.2  # of the inputs, for a whole batch
USUAL = 2.0  # how many of a tag's moves across a gap are taken to be as everywhere
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
    seen = [wordings(sheet.text, sheet.words) for sheet in sheets]
    for _ in range(epochs):
        for batch in _batches(sheets, draw):
            some = [sheets[at] for at in batch]
            inputs = np.concatenate([describe(sheet.text, sheet.words, mean, scale) for sheet in some])
            tags = np.concatenate([sheet.tags for sheet in some])
            worded = _together([seen[at] for at in batch], [len(sheet.tags) for sheet in some])
            learner.learn(inputs, worded, tags, RATE * (1 - done / total), draw)
            progress(len(tags))
            done += len(tags)
    weights, moves = learner.weights, _moves(sheets, 1 + 2 * len(kinds))
    wording = weights.pop("wording").astype(np.float16)
    return Tagger(kinds, Network(mean, scale, wording=wording, moves=moves, **weights))


class _Learner:
    """The network's weights, and Adam's two moments of each."""

    def __init__(self, tags: int) -> None:
        draw = np.random.default_rng(0)
        self.weights: dict[str, Array] = {
            "inner": draw.normal(0, 0.3 * INPUTS**-0.5, (INPUTS, HIDDEN)).astype(np.float32),
            "inner_bias": np.zeros(HIDDEN, np.float32),
            "wording": np.zeros((PLACES * BUCKETS, HIDDEN), np.float32),
            "outer": draw.normal(0, 0.1 * HIDDEN**-0.5, (HIDDEN, tags)).astype(np.float32),
            "outer_bias": np.zeros(tags, np.float32),
        }
        self._first = {name: np.zeros_like(weight) for name, weight in self.weights.items()}
        self._second = {name: np.zeros_like(weight) for name, weight in self.weights.items()}
        self._steps = 0

    def learn(self, inputs: Array, worded: Seen, tags: Tags, rate: float, draw: np.random.Generator) -> None:
        """One step on a batch of words; those whose tag is not known count for nothing."""
        known = tags != IGNORED
        if not known.any():
            return
        weights = self.weights
        shown = (draw.random(INPUTS) > BLINDED).astype(np.float32)
        inputs = np.multiply(inputs, shown / np.float32(1 - BLINDED), dtype=np.float32)
        word, row, weight = worded
        weight = weight * (draw.random(len(weight)) > BLINDED).astype(np.float32) / np.float32(1 - BLINDED)
        kept: Array = (draw.random((len(tags), HIDDEN)) > DROPPED).astype(np.float32) / np.float32(1 - DROPPED)
        before = inputs @ weights["inner"] + add_up(weights["wording"], (word, row, weight)) + weights["inner_bias"]
        hidden = np.maximum(before, 0) * kept
        logits = hidden @ weights["outer"] + weights["outer_bias"]
        wrong = np.exp(logits - logits.max(axis=1, keepdims=True))
        wrong /= wrong.sum(axis=1, keepdims=True)
        wrong[np.arange(len(tags)), tags] -= 1
        wrong *= known[:, None] / known.sum(dtype=np.float32)
        back = wrong @ weights["outer"].T * kept * (before > 0)
        self._step("outer", hidden.T @ wrong, rate)
        self._step("outer_bias", wrong.sum(axis=0), rate)
        self._step("inner", inputs.T @ back, rate)
        self._step("inner_bias", back.sum(axis=0), rate)
        order = np.argsort(row, kind="stable")
        rows, starts = np.unique(row[order], return_index=True)
        self._step("wording", np.add.reduceat(back[word[order]] * weight[order, None], starts, axis=0), rate, rows)
        self._steps += 1

    def _step(self, name: str, gradient: Array, rate: float, rows: Places | None = None) -> None:
        """Adam's step, of all weights or of some `rows`: what a batch does not see stays as it is."""
        at = slice(None) if rows is None else rows
        step = self._steps + 1
        first, second = self._first[name][at], self._second[name][at]
        first = first + 0.1 * (gradient - first)
        second = second + 0.01 * (gradient * gradient - second)
        self._first[name][at], self._second[name][at] = first, second
        self.weights[name][at] -= (
            np.float32(rate)
            * (first / np.float32(1 - 0.9**step))
            / (np.sqrt(second / np.float32(1 - 0.99**step)) + np.float32(1e-8))
        )


def _together(seen: Sequence[Seen], counts: Sequence[int]) -> Seen:
    """What the words of several texts see, the words numbered through."""
    starts = np.cumsum([0, *counts[:-1]])
    word, row, weight = zip(*seen, strict=True)
    return (
        np.concatenate([each + start for each, start in zip(word, starts, strict=True)]),
        np.concatenate(row),
        np.concatenate(weight),
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


def _batches(sheets: Sequence[Sheet], draw: np.random.Generator) -> Iterator[list[int]]:
    """The sheets' places in a new order, in batches of at least `BATCH` words."""
    batch: list[int] = []
    size = 0
    order: list[int] = draw.permutation(len(sheets)).tolist()
    for at in order:
        batch.append(at)
        size += len(sheets[at].tags)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _moves(sheets: Sequence[Sheet], tags: int) -> Array:
    """Log-odds of each tag after another against its share of all, by the gap between, [GAPS, tags + 1, tags]; an I follows only
    its own B or I. Across a gap that is seldom seen tags move as they do everywhere."""
    counts = np.zeros((GAPS, tags + 1, tags))
    for sheet in sheets:
        before = np.concatenate([[tags], sheet.tags[:-1]])
        both = (before != IGNORED) & (sheet.tags != IGNORED)
        np.add.at(counts, (gaps(sheet.text, sheet.words)[both], before[both], sheet.tags[both]), 1)
    every = counts.sum(axis=0) + 0.1
    every /= every.sum(axis=1, keepdims=True)
    share = (counts.sum(axis=(0, 1)) + 0.1) / (counts.sum() + 0.1 * tags)
    counts += USUAL * every
    moves = MOVES * np.log(counts / counts.sum(axis=2, keepdims=True) / share)
    for inside in range(2, tags, 2):
        others = np.setdiff1d(np.arange(tags + 1), [inside - 1, inside])
        moves[:, others, inside] = -1e4
    return moves.astype(np.float32)
