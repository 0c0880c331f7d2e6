"""Turns the words of a text into spans, one kind for each value to be copied. Knows nothing about schemas or values.

Each word is tagged by a small network from its own states and its wording, its two neighbours', and those of what stands to its
left and above it: on a page the label of a value. The best sequence of tags is found by the Viterbi algorithm: a span begins (B),
goes on (I) or is none (O), after Ramshaw and Marcus 1995; which tag follows which depends on what lies between.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from itertools import groupby, pairwise
from operator import itemgetter
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from rung.models.encoder import STATES, WIDTH, Words

Array = NDArray[np.float32]
Places = NDArray[np.integer]

_CURRENCY = frozenset("$€£¥")
SHAPES = 18  # how a word looks and where it stands: the encoder reads lower case, and knows no lines
INPUTS = 3 * (STATES + SHAPES) + 5 * WIDTH
PLACES = 7  # where a word sees others, itself first: `_around` lists them
BUCKETS = 4_096  # of wordings, hashed as n-grams are (Weinberger et al. 2009, arXiv:0902.2206)
GAPS = 3  # what lies before a word: nothing, a space, or the start of a line
_TOGETHER = 2_048  # words scored at once
_PANEL = 64  # columns multiplied at once: for a few words OpenBLAS then takes half the time
_LEFT = 4  # words to the left that are looked at together
_NEAR = 2  # characters by which a word above may miss a column
_BLOCK = 512  # words that are looked for at once
_DIGIT = re.compile(r"\d")


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
    `wording` [PLACES * BUCKETS, hidden], float16, is what a wording in each place adds; `moves` [GAPS, tags + 1, tags] are
    log-odds of a tag after another, the last row for a text's first word."""

    mean: Array
    scale: Array
    inner: Array
    inner_bias: Array
    wording: NDArray[np.float16]
    outer: Array
    outer_bias: Array
    moves: Array

    def tensors(self) -> dict[str, NDArray[np.floating]]:
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
            "wording": (PLACES * BUCKETS, hidden),
            "outer": (hidden, tags),
            "outer_bias": (tags,),
            "moves": (GAPS, tags + 1, tags),
        }
        if any(tensor.shape != shapes[name] for name, tensor in network.tensors().items()):
            raise ValueError("the tagger's weights do not fit its kinds")
        self.kinds = tuple(kinds)
        self.network = network
        near, far = np.split(network.inner, [INPUTS - 5 * WIDTH])
        left, above, start, over, whole = np.split(far, 5)
        near = np.hstack(np.split(near, 3))
        self._near = [np.ascontiguousarray(near[:, at : at + _PANEL]) for at in range(0, near.shape[1], _PANEL)]
        self._side, self._first, self._whole = np.hstack([left, above]), np.hstack([start, over]), whole
        self._wording = np.hstack(np.split(network.wording, PLACES))  # all that one wording adds, side by side

    def tag_all(self, texts: Sequence[str], words: Sequence[Words]) -> list[Tagged]:
        """The spans of each text."""
        scores = self.score_all(texts, words)
        return [self._read(scored, text, found) for scored, text, found in zip(scores, texts, words, strict=True)]

    def score_all(self, texts: Sequence[str], words: Sequence[Words]) -> list[Array]:
        """Log-probabilities of each text's words' tags [words, tags]. Short texts share a product, long ones would fill the
        memory together."""
        found: list[Array] = []
        ends = np.cumsum([len(one.starts) for one in words], dtype=np.int64)
        for _, group in groupby(zip(texts, words, (ends // _TOGETHER).tolist(), strict=True), key=itemgetter(2)):
            some, theirs, _ = zip(*group, strict=True)
            found += self._score(some, theirs)
        return found

    def _score(self, texts: Sequence[str], words: Sequence[Words]) -> list[Array]:
        """What `describe` and the two products give, for less: what a word sees of others is linear in their states, so each
        word's are multiplied once, and added up where they are seen."""
        layouts = [_layout(text, one) for text, one in zip(texts, words, strict=True)]
        every = zip(texts, words, layouts, strict=True)
        own = np.concatenate([_own(text, one, layout, self.network.mean, self.network.scale) for text, one, layout in every])
        hidden = len(self.network.inner_bias)
        side = self._side if any(len(layout.begins) > 1 for layout in layouts) else self._side[:, :hidden]
        firsts = np.concatenate([layout.first for layout in layouts])
        worded = self._wording[np.concatenate([_buckets(text, one) for text, one in zip(texts, words, strict=True)])]
        near, side = np.concatenate([own @ panel for panel in self._near], axis=1), own[:, :WIDTH] @ side
        first = own[firsts, :WIDTH] @ self._first + worded[firsts, 5 * hidden :]
        near += worded[:, : 3 * hidden]
        side += worded[:, 3 * hidden : 3 * hidden + side.shape[1]]
        ends = np.cumsum([(0, 0), *((len(layout.line), len(layout.begins)) for layout in layouts)], axis=0).tolist()
        before: list[Array] = []
        for layout, ((word, line), (word_end, line_end)) in zip(layouts, pairwise(ends), strict=True):
            three, two, firsts = near[word:word_end], side[word:word_end], first[line:line_end]
            rows = [three[:, at : at + hidden] for at in (0, hidden, 2 * hidden)]
            rows += [two[:, :hidden], two[:, -hidden:], firsts[:, :hidden], firsts[:, hidden:]]
            whole = _whole(own[word:word_end, :WIDTH]) @ self._whole
            before.append(reduce(np.add, [*_around(rows, layout), whole]))
        scores = _finish(np.concatenate(before), self.network)
        return [scores[word:end] for (word, _), (end, _) in pairwise(ends)]

    def _read(self, scores: Array, text: str, words: Words) -> Tagged:
        path = best_path(scores, self.network.moves, gaps(text, words))
        chosen = scores[np.arange(len(path)), path]
        spans: list[Span] = []
        for first, last in _runs(path):
            kind = self.kinds[(int(path[first]) - 1) // 2]
            probability = float(np.exp(chosen[first : last + 1].sum()))
            spans.append(Span(kind, int(words.starts[first]), int(words.ends[last]), probability))
        inside = np.exp(scores[:, 1::2]) + np.exp(scores[:, 2::2])
        return Tagged(tuple(spans), words, dict(zip(self.kinds, inside.T, strict=True)))


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where words stand: their `line` in the text, and their `column` and `end` in it; which are the `first` of their line,
    [words] all; and the first words' places, `begins` [lines that have words]."""

    line: Places
    column: Places
    end: Places
    first: NDArray[np.bool_]
    begins: Places


def describe(text: str, words: Words, mean: Array, scale: Array) -> Array:
    """The network's inputs [words, INPUTS]: each word's states and shape, those of the word before and of the one after, and
    the first states of what stands to the left, above, at the line's start and at that of the line above, and of all."""
    layout = _layout(text, words)
    own = _own(text, words, layout, mean, scale)
    states = own[:, :WIDTH]
    firsts = states[layout.begins]
    whole = np.broadcast_to(_whole(states), states.shape)
    return np.concatenate([*_around((own, own, own, states, states, firsts, firsts), layout), whole], axis=1)


def gaps(text: str, words: Words) -> Places:
    """What lies before each word [words], a place among `GAPS`."""
    apart = words.starts > np.concatenate([[-1], words.ends[:-1]])
    return np.where(_layout(text, words).first, 2, apart.astype(np.int64))


def wordings(text: str, words: Words) -> tuple[Places, Places, Array]:
    """What each word sees of wordings: ascending words, their rows in `Network.wording`, and how much of each counts [seen]."""
    layout, count = _layout(text, words), len(words.starts)
    buckets, begins = _buckets(text, words), layout.begins
    found: list[tuple[Places, Places, Array]] = []
    for start in range(0, count, _BLOCK):
        each = np.eye(count, min(_BLOCK, count - start), -start, np.float32)
        for place, weights in enumerate(_around((*[each] * 5, each[begins], each[begins]), layout)):
            word, seen = weights.nonzero()
            found.append((word, place * BUCKETS + buckets[start + seen], weights[word, seen]))
    word, row, weight = (np.concatenate(parts) for parts in zip(*found, strict=True)) if found else (np.empty(0, int),) * 3
    order = np.argsort(word, kind="stable")
    return word[order], row[order], weight[order].astype(np.float32)


def _buckets(text: str, words: Words) -> Places:
    """Each word's wording [words]: without its case, and every digit alike."""
    found = (text[start:end].lower() for start, end in zip(words.starts.tolist(), words.ends.tolist(), strict=True))
    return np.array([crc32(_DIGIT.sub("0", word).encode("utf-8", "replace")) % BUCKETS for word in found], np.int64)


def _layout(text: str, words: Words) -> _Layout:
    breaks = np.array([-1, *(match.start() for match in re.finditer("\n", text))])
    line = breaks.searchsorted(words.starts, side="right") - 1
    first = np.ones(len(line), np.bool_)
    np.not_equal(line[1:], line[:-1], out=first[1:])
    column = words.starts - breaks[line] - 1
    return _Layout(line, column, column + words.ends - words.starts, first, first.nonzero()[0])


def _own(text: str, words: Words, layout: _Layout, mean: Array, scale: Array) -> Array:
    """Each word's standardised states, how it looks, and where it stands in its line and in the text,
    [words, STATES + SHAPES]."""
    own = np.empty((len(words.starts), STATES + SHAPES), np.float32)
    np.subtract(words.states, mean, out=own[:, :STATES])
    own[:, :STATES] /= scale
    if not len(own):
        return own
    line, last = layout.line, layout.line[-1]
    gap = words.starts.copy()
    gap[1:] -= words.ends[:-1]
    own[:, STATES:-8] = [_look(text[start:end]) for start, end in zip(words.starts.tolist(), words.ends.tolist(), strict=True)]
    own[:, -8] = (gap == 0) & (words.starts > 0)
    own[:, -7] = (gap > 1) & ~layout.first
    own[:, -6] = layout.first
    own[:-1, -5] = layout.first[1:]
    own[-1, -5] = 1
    own[:, -4] = np.minimum(layout.column, 80) / 40
    own[:, -3] = np.minimum(line, 10) / 5
    own[:, -2] = np.minimum(last - line, 10) / 5
    own[:, -1] = line / (last + 1)
    return own


def _look(word: str) -> tuple[float, ...]:
    letters = word.isalpha()
    return (
        word.isdigit(),
        not letters and any(map(str.isdigit, word)),
        letters,
        word.istitle(),
        word.isupper(),
        not letters and not any(map(str.isalnum, word)),
        not _CURRENCY.isdisjoint(word),
        word in (".", ","),
        word in (":", "|"),
        min(len(word), 10) / 5,
    )


def _around(rows: Sequence[Array], layout: _Layout) -> list[Array]:
    """What each word sees, [words, any width] each, zeros where nothing stands: its own row, that of the word before and of the
    one after; the mean of up to `_LEFT` words' to the left, and of the words' above; the line's first word's, and that of the
    line above. `rows` are in that order, the last two with one row for each line."""
    own, before, after, left, above, start, over = rows
    row = layout.first.cumsum() - 1
    seen = [own, np.zeros_like(before), np.zeros_like(after), _left(left, layout, row), np.zeros_like(left)]
    seen[1][1:] = before[:-1]
    seen[2][:-1] = after[1:]
    started = start[row]
    started[layout.begins] = 0
    if len(layout.begins) > 1:
        return [*seen[:4], _above(above, layout), started, np.concatenate([np.zeros_like(over[:1]), over])[row]]
    return [*seen, started, seen[4]]


def _whole(states: Array) -> Array:
    """What kind of text it is [1, WIDTH]: the mean of its words' states."""
    return states.sum(axis=0, keepdims=True) / np.float32(max(len(states), 1))


def _left(left: Array, layout: _Layout, row: Places) -> Array:
    at = np.arange(len(row)) - layout.begins[row]
    total = np.zeros_like(left)
    for step in range(1, _LEFT + 1):
        total[step:] += left[:-step] if len(layout.begins) < 2 else left[:-step] * (at[step:, None] >= step)
    return total / np.minimum(np.maximum(at, 1), _LEFT).astype(np.float32)[:, None]


def _above(above: Array, layout: _Layout) -> Array:
    column, end = layout.column, layout.end
    total = np.zeros_like(above)
    lines = [slice(*ends) for ends in pairwise([*layout.begins.tolist(), len(above)])]
    for up, here in pairwise(lines):
        over = (column[up] < end[here, None] + _NEAR) & (end[up] > column[here, None] - _NEAR)
        count: int = up.stop - up.start
        last = np.arange(count, dtype=np.int64) >= count - _LEFT  # where no word stands above, these do
        over = np.where(over.any(axis=1, keepdims=True), over, last)
        weights = over.astype(np.float32)
        total[here] = weights @ above[up] / weights.sum(axis=1, keepdims=True)
    return total


def score(network: Network, inputs: Array, seen: tuple[Places, Places, Array]) -> Array:
    """Log-probabilities of each word's tags [words, tags], from what `describe` and `wordings` give."""
    return _finish(inputs @ network.inner + add_up(network.wording, seen), network)


def add_up(wording: NDArray[np.floating], seen: tuple[Places, Places, Array]) -> Array:
    """What the wordings add to each word [words, hidden]; every word sees itself."""
    word, row, weight = seen
    starts = np.flatnonzero(np.diff(word, prepend=-1))
    return (
        np.add.reduceat(wording[row] * weight[:, None], starts, axis=0)
        if len(word)
        else np.zeros((0, wording.shape[1]), np.float32)
    )


def _finish(before: Array, network: Network) -> Array:
    hidden = np.maximum(before + network.inner_bias, 0)
    logits = hidden @ network.outer + network.outer_bias
    logits -= logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def best_path(scores: Array, moves: Array, gaps: Places) -> NDArray[np.int64]:
    """The most probable sequence of tags [words] (Viterbi 1967), by the gap before each word [words]."""
    if not len(scores):
        return np.empty(0, np.int64)
    totals = [moves[gaps[0], -1] + scores[0]]
    afters = [moves[gap, :-1] for gap in gaps[1:].tolist()]
    each = np.empty_like(moves[0, :-1])
    for reached, after in zip(scores[1:], afters, strict=True):
        np.add(totals[-1][:, None], after, out=each)
        totals.append(np.maximum.reduce(each, axis=0) + reached)
    path = [int(totals[-1].argmax())]
    for total, after in zip(
        reversed(totals[:-1]), reversed(afters), strict=True
    ):  # where each came from is asked of the best alone
        path.append(int((total + after[:, path[-1]]).argmax()))
    return np.array(path[::-1], np.int64)


def _runs(path: NDArray[np.int64]) -> list[tuple[int, int]]:
    """The first and the last word of each span: a B and the I that follow it."""
    runs: list[tuple[int, int]] = []
    for place, tag in enumerate(path.tolist()):
        if tag % 2 == 1:
            runs.append((place, place))
        elif tag and runs and runs[-1][1] == place - 1:
            runs[-1] = (runs[-1][0], place)
    return runs
