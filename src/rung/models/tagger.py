"""Turns the words of a text into spans, one kind for each value to be copied. Knows nothing about schemas or values.

Each word is tagged by a small network from its own states, its two neighbours', and what stands to its left and above it: on a
page the label of a value. The best sequence of tags is found by the Viterbi algorithm: a span begins (B), goes on (I) or is none
(O), after Ramshaw and Marcus 1995.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, pairwise
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from rung.models.encoder import STATES, WIDTH, Words

Array = NDArray[np.float32]

_CURRENCY = frozenset("$€£¥")
SHAPES = 18  # how a word looks and where it stands: the encoder reads lower case, and knows no lines
INPUTS = 3 * (STATES + SHAPES) + 4 * WIDTH
_TOGETHER = 2_048  # words scored at once
_LEFT = 4  # words to the left that are looked at together
_NEAR = 2  # characters by which a word above may miss a column


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, end) of a text that are the value of `kind`, with the joint probability of their tags."""

    kind: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True, slots=True)
class Tagged:
    """What was found in one text, in order, and by kind the probability that each word belongs to a span of it [words]."""

    spans: tuple[Span, ...]
    words: Words
    inside: dict[str, Array]


@dataclass(frozen=True, slots=True)
class Network:
    """`mean` and `scale` [STATES] standardise states; `inner` [INPUTS, hidden] and `outer` [hidden, tags] have a bias each;
    `moves` [tags + 1, tags] are log-odds of a tag after another, the last row for a text's first word."""

    mean: Array
    scale: Array
    inner: Array
    inner_bias: Array
    outer: Array
    outer_bias: Array
    moves: Array

    def tensors(self) -> dict[str, Array]:
        """The arrays by name, for safetensors."""
        return asdict(self)


class Tagger:
    """Tags are O, then B and I of each kind in turn."""

    def __init__(self, kinds: Sequence[str], network: Network) -> None:
        """Raises ValueError if the arrays do not fit the kinds or each other."""
        tags = 1 + 2 * len(kinds)
        hidden = network.inner.shape[1]
        shapes = {
            "mean": (STATES,),
            "scale": (STATES,),
            "inner": (INPUTS, hidden),
            "inner_bias": (hidden,),
            "outer": (hidden, tags),
            "outer_bias": (tags,),
            "moves": (tags + 1, tags),
        }
        if any(tensor.shape != shapes[name] for name, tensor in network.tensors().items()):
            raise ValueError("the tagger's weights do not fit its kinds")
        self.kinds = tuple(kinds)
        self.network = network

    def tag_all(self, texts: Sequence[str], words: Sequence[Words]) -> list[Tagged]:
        """The spans of each text."""
        return [self._read(scores, found) for scores, found in zip(self.score_all(texts, words), words, strict=True)]

    def score_all(self, texts: Sequence[str], words: Sequence[Words]) -> list[Array]:
        """Log-probabilities of each text's words' tags [words, tags]. Short texts share a product, long ones would fill the
        memory together: a word's inputs take 20 kB."""
        found: list[Array] = []
        ends = np.cumsum([len(one.starts) for one in words], dtype=np.int64)
        for _, group in groupby(zip(texts, words, (ends // _TOGETHER).tolist(), strict=True), key=itemgetter(2)):
            inputs = [describe(text, one, self.network.mean, self.network.scale) for text, one, _ in group]
            found += np.split(score(self.network, np.concatenate(inputs)), np.cumsum([len(rows) for rows in inputs])[:-1])
        return found

    def _read(self, scores: Array, words: Words) -> Tagged:
        path = best_path(scores, self.network.moves)
        chosen = scores[np.arange(len(path)), path]
        spans: list[Span] = []
        for first, last in _runs(path):
            kind = self.kinds[(int(path[first]) - 1) // 2]
            probability = float(np.exp(chosen[first : last + 1].sum()))
            spans.append(Span(kind, int(words.starts[first]), int(words.ends[last]), probability))
        inside = np.exp(scores[:, 1::2]) + np.exp(scores[:, 2::2])
        return Tagged(tuple(spans), words, dict(zip(self.kinds, inside.T, strict=True)))


def describe(text: str, words: Words, mean: Array, scale: Array) -> Array:
    """The network's inputs [words, INPUTS]: each word's states and shape, those of the word before and of the one after, and
    the first states of what stands to the left in the line, at the line's start, above, and at the start of the line above."""
    states = ((words.states - mean) / scale).astype(np.float32)
    line, column = _layout(text, words)
    own = np.concatenate([states, _shapes(text, words, line, column)], axis=1, dtype=np.float32)
    around = np.zeros((len(own) + 2, own.shape[1]), np.float32)
    around[1:-1] = own
    return np.concatenate([own, around[:-2], around[2:], _context(states[:, :WIDTH], words, line, column)], axis=1)


def _layout(text: str, words: Words) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each word's line, and the place of its first character in it, [words] both."""
    breaks = np.array([-1, *(place for place, character in enumerate(text) if character == "\n")])
    line = np.searchsorted(breaks, words.starts, side="right") - 1
    return line.astype(np.int64), (words.starts - breaks[line] - 1).astype(np.int64)


def _shapes(text: str, words: Words, line: NDArray[np.int64], column: NDArray[np.int64]) -> Array:
    """How each word looks and where it stands in its line and in the text, [words, SHAPES]."""
    count = len(line)
    first = np.diff(line, prepend=-1) != 0
    gap = words.starts - np.concatenate([[0], words.ends[:-1]])
    place = np.stack(
        [
            (gap == 0) & (words.starts > 0),
            (gap > 1) & ~first,
            first,
            np.diff(line, append=-1) != 0,
            np.minimum(column, 80) / 40,
            np.minimum(line, 10) / 5,
            np.minimum(line.max(initial=0) - line, 10) / 5,
            line / (line.max(initial=0) + 1),
        ],
        axis=1,
    )
    looks = [_look(text[start:end]) for start, end in zip(words.starts.tolist(), words.ends.tolist(), strict=True)]
    return np.concatenate([np.array(looks, np.float32).reshape(count, SHAPES - place.shape[1]), place], axis=1, dtype=np.float32)


def _look(word: str) -> tuple[float, ...]:
    return (
        word.isdigit(),
        any(character.isdigit() for character in word),
        word.isalpha(),
        word.istitle(),
        word.isupper(),
        not any(character.isalnum() for character in word),
        not _CURRENCY.isdisjoint(word),
        word in (".", ","),
        word in (":", "|"),
        min(len(word), 10) / 5,
    )


def _context(states: Array, words: Words, line: NDArray[np.int64], column: NDArray[np.int64]) -> Array:
    """The mean states of up to `_LEFT` words to the left, the line's first word's, the mean of the words above, and the first
    word's of the line above, [words, 4 * WIDTH]; zeros where nothing stands."""
    context = np.zeros((len(states), 4, WIDTH), np.float32)
    end = column + words.ends - words.starts
    starts = np.flatnonzero(np.diff(line, prepend=-1))
    above = slice(0, 0)
    for begin, stop in pairwise([*starts.tolist(), len(line)]):
        here = slice(begin, stop)
        sums = np.concatenate([np.zeros((1, WIDTH), np.float32), states[here].cumsum(axis=0)])
        at = np.arange(stop - begin)
        back = np.maximum(at - _LEFT, 0)
        context[here, 0] = (sums[at] - sums[back]) / np.maximum(at - back, 1)[:, None]
        context[begin + 1 : stop, 1] = states[begin]
        if above.stop:
            over = (column[above] < end[here, None] + _NEAR) & (end[above] > column[here, None] - _NEAR)
            weights = np.where(over.any(axis=1, keepdims=True), over, True).astype(np.float32)
            context[here, 2] = weights @ states[above] / weights.sum(axis=1, keepdims=True)
            context[here, 3] = states[above.start]
        above = here
    return context.reshape(len(states), 4 * WIDTH)


def score(network: Network, inputs: Array) -> Array:
    """Log-probabilities of each word's tags [words, tags]."""
    hidden = np.maximum(inputs @ network.inner + network.inner_bias, 0)
    logits = hidden @ network.outer + network.outer_bias
    logits -= logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def best_path(scores: Array, moves: Array) -> NDArray[np.int64]:
    """The most probable sequence of tags [words] (Viterbi 1967)."""
    if not len(scores):
        return np.empty(0, np.int64)
    total = moves[-1] + scores[0]
    back = np.empty(scores.shape, np.int64)
    for place in range(1, len(scores)):
        reached = total[:, None] + moves[:-1]
        back[place] = reached.argmax(axis=0)
        total = reached.max(axis=0) + scores[place]
    path = np.empty(len(scores), np.int64)
    path[-1] = total.argmax()
    for place in range(len(scores) - 1, 0, -1):
        path[place - 1] = back[place, path[place]]
    return path


def _runs(path: NDArray[np.int64]) -> list[tuple[int, int]]:
    """The first and the last word of each span: a B and the I that follow it."""
    runs: list[tuple[int, int]] = []
    for place, tag in enumerate(path.tolist()):
        if tag % 2 == 1:
            runs.append((place, place))
        elif tag and runs and runs[-1][1] == place - 1:
            runs[-1] = (runs[-1][0], place)
    return runs
