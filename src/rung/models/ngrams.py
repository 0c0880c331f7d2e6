"""Turns a text into hashed counts of its word and character n-grams. Knows nothing about models or training.

Hashing instead of a vocabulary (Weinberger et al. 2009, arXiv:0902.2206): nothing to fit, nothing to ship, the same numbers
in training and in serving by construction.
"""

from __future__ import annotations

import re
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

LONGEST = 16_384  # characters, as for the encoder: what is longer is cut
HALF = 1 << 17  # buckets for words, and as many for characters
BUCKETS = 2 * HALF
WORDS = range(1, 4)
CHARACTERS = range(2, 6)

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SPREAD = np.uint64(0xD6E8FEB86659FD93)
_SHIFT = np.uint64(64 - 17)
_WORD = re.compile(r"\w+|[^\w\s]")

Sparse = tuple[NDArray[np.int64], NDArray[np.float32]]


def ngrams(text: str) -> Sparse:
    """The text's active buckets, ascending, and their weights: words and characters each a vector of length one.

    Within each kind a weight is 1 + log(count), normalised to Euclidean length 1; an empty text has no buckets.
    """
    words = _WORD.findall(text[:LONGEST].casefold())
    spaced = f" {' '.join(words)} " if words else ""
    characters = np.frombuffer(spaced.encode("utf-32-le", "replace"), np.uint32).astype(np.uint64)
    tokens = np.array([crc32(word.encode("utf-8", "replace")) for word in words], np.uint64)
    (low, low_weights), (high, high_weights) = _weigh(tokens, WORDS), _weigh(characters, CHARACTERS)
    return np.concatenate([low, high + HALF]), np.concatenate([low_weights, high_weights])


def _weigh(units: NDArray[np.uint64], sizes: range) -> Sparse:
    """Hash every run of `sizes` units (a rolling polynomial hash) into buckets, and weigh the buckets by their counts."""
    hashes: list[NDArray[np.uint64]] = []
    rolling = np.ones(len(units) + 1, np.uint64)
    for size in range(1, sizes.stop):
        if size > len(units):
            break
        rolling = rolling[: len(units) - size + 1] * _MULTIPLIER + units[size - 1 :]
        if size in sizes:
            hashes.append((rolling ^ (rolling >> np.uint64(29))) * _SPREAD)
    if not hashes:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    mixed = np.concatenate(hashes)
    buckets, counts = np.unique(mixed >> _SHIFT, return_counts=True)
    weights = 1 + np.log(counts)
    return buckets.astype(np.int64), (weights / np.linalg.norm(weights)).astype(np.float32)
