"""Turns texts into the pairs of them that are nearly the same. Knows nothing about answers, files or models.

Two texts are near-duplicates when the Jaccard similarity of their sets of character 5-grams (case and white space folded) is
at least 0.7. Every such pair is found and no other, the same on every machine. Method: with grams numbered rarest first, two
sets that similar must share a gram among the first n - ceil(0.7 n) + 1 of each ("Scaling Up All Pairs Similarity Search",
Bayardo, Ma and Srikant 2007), and where they first meet, sizes and positions bound how much they can still share ("Efficient
Similarity Joins for Near Duplicate Detection", Xiao, Wang, Lin and Yu 2008: PPJoin's length and positional filters). What
passes is counted exactly, on bitmaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

GRAM = 5  # characters
SHARED, OF = 7, 10  # the similarity from which two texts are near-duplicates, as integers: comparisons stay exact
BLOCK = 1024  # grams per bitmap, so that memory stays bounded by the number of texts
BATCH = 1 << 18  # candidate pairs held before they are counted,
CHUNK = 1 << 15  # and counted at once

Ints = NDArray[np.int64]


def near_duplicates(texts: Sequence[str]) -> list[tuple[int, int]]:
    """All pairs (i, j), i < j, of positions whose texts are near-duplicates, sorted.

    About a second for 10,000 short texts; where most texts are alike, time grows with the number of pairs.
    """
    return sorted({pair for pairs in _pairs(texts) for pair in zip(*pairs.tolist(), strict=True)})


def near_duplicate_share(texts: Sequence[str]) -> float:
    """The share (0..1) of texts that have a near-duplicate earlier in the list."""
    later = np.zeros(len(texts), dtype=np.bool_)
    for pairs in _pairs(texts):
        later[pairs[1]] = True
    return float(later.mean()) if len(texts) else 0.0


def near_groups(texts: Sequence[str]) -> list[int]:
    """For each text the position of the first text of its group; near-duplicates, and theirs in turn, are one group."""
    parent = list(range(len(texts)))

    def first(text: int) -> int:
        while parent[text] != text:
            parent[text] = parent[parent[text]]
            text = parent[text]
        return text

    for pairs in _pairs(texts):
        group = np.array([first(text) for text in range(len(texts))])
        apart = group[pairs[0]] != group[pairs[1]]  # where most texts are alike, few pairs still join anything
        for one, other in zip(*pairs[:, apart].tolist(), strict=True):
            one, other = sorted((first(one), first(other)))
            parent[other] = one
    return [first(text) for text in range(len(texts))]


def fold(text: str) -> str:
    """The text without its case and with every run of white space as one space: what makes two texts the same text."""
    return " ".join(text.casefold().split())


@dataclass(frozen=True, slots=True)
class _Sets:
    """The texts' gram sets, as columns with one row for each gram of each text, sorted by text and gram.

    Grams are numbered rarest first; those from `common` on stand in more than one text. `rest` counts the grams of the
    text from this row on. `size` has one entry a text.
    """

    text: Ints
    gram: Ints
    rest: Ints
    size: Ints
    common: int


def _pairs(texts: Sequence[str]) -> Iterator[Ints]:
    """Near-duplicates as arrays [2, k], first position below second; a pair may come again in a later array."""
    if len(texts) < 2:
        return
    sets = _sets(texts)
    waiting: list[Ints] = []
    for found in _candidates(sets):
        waiting.append(found)
        if sum(map(len, waiting)) >= BATCH:
            yield _counted(sets, waiting)
            waiting = []
    if waiting:
        yield _counted(sets, waiting)


def _sets(texts: Sequence[str]) -> _Sets:
    text, gram = _grams(texts)
    kinds = int(gram.max()) + 1
    members = np.unique(text * kinds + gram)
    texts_with = np.bincount(members % kinds)
    rarity = np.empty(kinds, dtype=np.int64)
    rarity[np.argsort(texts_with, kind="stable")] = np.arange(kinds)
    rows = np.sort(members // kinds * kinds + rarity[members % kinds])
    text, gram = rows // kinds, rows % kinds
    size = np.bincount(text, minlength=len(texts))
    rest = np.cumsum(size)[text] - np.arange(len(rows))
    return _Sets(text, gram, rest, size, common=int((texts_with == 1).sum()))


def _grams(texts: Sequence[str]) -> tuple[Ints, Ints]:
    """The text and the number of every gram. A space on either side makes the first and the last word count as words, and
    gives a short text at least one gram, which is all of it."""
    padded = [f" {fold(text)} ".ljust(GRAM) for text in texts]
    letters = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    text = np.repeat(np.arange(len(texts)), [len(one) for one in padded])
    # Numbers instead of hashes: equal numbers are equal grams, for any alphabet. 5 = 1 + 1, + 2, + 1.
    one = _numbered(letters.astype(np.int64))
    two = _numbered(one[:-1] * len(letters) + one[1:])
    four = _numbered(two[:-2] * len(letters) + two[2:])
    five = _numbered(four[:-1] * len(letters) + one[GRAM - 1 :])
    within = text[: 1 - GRAM] == text[GRAM - 1 :]
    return text[: 1 - GRAM][within], five[within]


def _numbered(values: Ints) -> Ints:
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _candidates(sets: _Sets) -> Iterator[Ints]:
    """Pairs that may be similar, each as one integer: first position times the number of texts, plus the second."""
    before = np.where(np.diff(sets.text, prepend=-1) == 0, np.roll(sets.gram, 1), -1 - sets.text)
    size = sets.size[sets.text]
    rows = np.flatnonzero((OF * sets.rest >= SHARED * size) & (sets.gram >= sets.common))
    rows = rows[np.lexsort((size[rows], sets.gram[rows]))]
    text, gram, rest, size, before = (column[rows] for column in (sets.text, sets.gram, sets.rest, size, before))
    at = np.arange(len(rows))
    for ahead in count(1):  # each row with the next one of its gram, then with the next but one, ...
        at = at[at + ahead < len(rows)]
        at = at[(gram[at] == gram[at + ahead]) & (SHARED * size[at + ahead] <= OF * size[at])]  # sizes only grow with `ahead`
        if not len(at):
            return
        to = at + ahead
        first = before[at] != before[to]  # else the pair has met at the gram before
        enough = (SHARED + OF) * np.minimum(rest[at], rest[to]) >= SHARED * (size[at] + size[to])
        one, other = text[at[first & enough]], text[to[first & enough]]
        yield np.minimum(one, other) * len(sets.size) + np.maximum(one, other)


def _counted(sets: _Sets, candidates: list[Ints]) -> Ints:
    """Those of the candidates that are similar indeed, as an array [2, k]."""
    pairs = np.stack(np.divmod(np.unique(np.concatenate(candidates)), len(sets.size)))
    overlap = np.zeros(pairs.shape[1], dtype=np.int64)
    for start in range(sets.common, int(sets.gram.max()) + 1, BLOCK):
        here = (sets.gram >= start) & (sets.gram < start + BLOCK)
        dense = np.zeros((len(sets.size), BLOCK), dtype=np.bool_)
        dense[sets.text[here], sets.gram[here] - start] = True
        bits = np.packbits(dense, axis=1).view(np.uint64)
        for chunk in range(0, len(overlap), CHUNK):
            one, other = pairs[:, chunk : chunk + (CHUNK)]
            overlap[chunk : chunk + (CHUNK)] += np.bitwise_count(bits[one] & bits[other]).sum(axis=1, dtype=np.int64)
    return pairs[:, (SHARED + OF) * overlap >= SHARED * sets.size[pairs].sum(axis=0)]
