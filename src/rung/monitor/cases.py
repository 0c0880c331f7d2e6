"""Turns what is known of many cases into arrays side by side, the matter of drift, and back. Knows nothing about where they come
from or what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cases:
    """Many cases, or the reference that others are compared with; position `i` of each column is case `i`.

    A column that is empty was not observed. `embeddings` [n, width] have length one; `lengths` are characters; a `label` is the
    answer's, None where there was no answer, as is a `confidence` (0..1) that is NaN; `hours` are of the day (0..23) when a case
    came. The reviews stand beside, with as many places as there were: what was `stated` (0..1) of an answer, and whether a person
    found it `right`.
    """

    embeddings: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    lengths: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    languages: Sequence[str] = ()
    labels: Sequence[str | None] = ()
    confidences: Floats = field(default_factory=lambda: np.empty(0))
    tiers: Sequence[str] = ()
    hours: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    stated: Floats = field(default_factory=lambda: np.empty(0))
    right: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))

    def __post_init__(self) -> None:
        """Raises ValueError where columns are not equally long, or an embedding is not finite."""
        columns = (self.embeddings, self.lengths, self.languages, self.labels, self.confidences, self.tiers, self.hours)
        if len({len(column) for column in columns} - {0}) > 1 or len(self.stated) != len(self.right):
            raise ValueError("the columns of the cases are not equally long")
        if not np.isfinite(self.embeddings).all():
            raise ValueError("an embedding is not finite")

    def __len__(self) -> int:
        """How many cases."""
        return max(map(len, (self.embeddings, self.lengths, self.languages, self.labels, self.confidences, self.tiers)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as plain arrays, as safetensors keeps them: texts are JSON in UTF-8 bytes."""
        return {name: _packed(getattr(self, name)) if name in _TEXTS else getattr(self, name) for name in self.__slots__}


def restore(arrays: Mapping[str, NDArray[Any]]) -> Cases:
    """The cases whose `arrays()` these are."""
    columns: dict[str, Any] = {name: _unpacked(array) if name in _TEXTS else array for name, array in arrays.items()}
    return Cases(**columns)


_TEXTS = ("languages", "labels", "tiers")


def _packed(texts: Sequence[str | None]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(list(texts)).encode(), np.uint8)


def _unpacked(array: NDArray[np.uint8]) -> tuple[str | None, ...]:
    return tuple(json.loads(array.tobytes()))
