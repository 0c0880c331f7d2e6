"""Turns a text into the value of a copy field: found by the field's RE2 patterns, read by its schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log1p
from typing import Any

import re2

from rung.models.values import day_first, open_values
from rung.workload import Field
from rung.workload.patterns import compile_pattern


@dataclass(frozen=True, slots=True)
class Found:
    """What a copy field takes from a text: its value (None where there is none) and the signals for its confidence."""

    value: Any
    signals: dict[str, float]


def open_copier(field: Field) -> Callable[[str], Found]:
    """A function that fills one copy field from a text. Of several matches the first one that fits the schema counts."""
    patterns = [compile_pattern(pattern) for pattern in field.find]
    values_of = open_values(field.schema)
    dated = field.schema.get("format") == "date"

    def copy(text: str) -> Found:
        text = text.encode("utf-8", "replace").decode()  # RE2 reads UTF-8, which has no half of a surrogate pair
        order = not dated or day_first(text) is not False
        values = [value for match in _matches(patterns, text) if (value := values_of.read(match, order)) is not None]
        distinct = len(set(values))
        digits = sum(character.isdigit() for character in text)
        return Found(
            values[0] if values else None,
            {"found": float(bool(values)), "rivals": log1p(max(distinct - 1, 0)), "digits": log1p(digits)},
        )

    return copy


def _matches(patterns: list[re2.Pattern], text: str) -> Iterator[str]:
    """Every match's value, in the order in which they stand in the text: the first group that took part, or the whole."""
    found = [match for pattern in patterns for match in pattern.finditer(text)]
    for match in sorted(found, key=lambda match: match.start()):
        groups = (match.group(index) for index in range(1, (match.lastindex or 0) + 1))
        value = next((group for group in groups if group), match.group(0))
        if value:
            yield value
