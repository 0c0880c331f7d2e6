"""Turns an answer into the copied values that stand nowhere in its case. Knows nothing about models or metrics.

The search is generous, so that what it counts as invented was invented: each value is looked for as its schema may be written
(dates in any order and with the month's name, numbers with separators or in words, whatever the sign, an enum's values by their
synonyms), and texts by their letters and digits alone. It cannot know what follows without being written, as from "tomorrow".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from rung.core import Case, Fields
from rung.evaluation.findings import copied, signature
from rung.models.extraction import Extraction
from rung.models.values import Values, open_values
from rung.workload import Workload

ENOUGH = 4  # letters and digits of a text that may stand within other words

_ANY = open_values({"type": "string"})


class Search:
    """Looks for the copied values of a workload's answers."""

    def __init__(self, workload: Workload) -> None:
        """Fields that are filled in any other way are not looked at."""
        extractions = [Extraction(field) for field in workload.fields if field.fill == "copy"]
        self._names = [extraction.name for extraction in extractions]
        self._values: dict[str, Values] = {leaf.kind: leaf.values for one in extractions for leaf in one.leaves}

    def invented(self, case: Case, said: Fields, expected: Fields) -> list[tuple[str, Any]]:
        """The values, each with its field or property (`lines.amount`), that stand neither in the case's text nor in its context.

        What people agreed on stands there, whether or not the search would find it.
        """
        agreed = {(kind, signature(value)) for name in self._names for kind, value in copied(name, expected.get(name))}
        claimed = [pair for name in self._names for pair in copied(name, said.get(name))]
        doubtful = [(kind, value) for kind, value in claimed if (kind, signature(value)) not in agreed]
        if not doubtful:
            return []
        pages = [case.text, "\n".join(_written(case.context))]
        return [(kind, value) for kind, value in doubtful if not any(self._stands(kind, value, page) for page in pages)]

    def _stands(self, kind: str, value: Any, page: str) -> bool:
        values = self._values.get(kind, _ANY)
        if isinstance(value, str) and len(letters := _letters(value)) >= ENOUGH and letters in _letters(page):
            return True
        if values.find(page, value):
            return True
        if isinstance(value, int | float) and not isinstance(value, bool):
            return bool(values.find(page, -value))
        return bool(_ANY.find(page, value))


@lru_cache(maxsize=4)  # every value of a case asks for its text's
def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", text.casefold())))


def _written(value: object) -> Iterator[str]:
    """Every text and number in a JSON value."""
    if isinstance(value, Mapping):
        for one in cast("Mapping[str, object]", value).values():
            yield from _written(one)
    elif isinstance(value, list | tuple):
        for one in cast("Sequence[object]", value):
            yield from _written(one)
    elif value is not None and not isinstance(value, bool):
        yield str(value)
