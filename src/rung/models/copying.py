"""Turns a text into the value of a copy field: found by the field's RE2 patterns, read by its schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log1p
from typing import Any

import re2

from rung.core import same
from rung.models.values import Span, day_first, open_values
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
        text, order = _read(text, dated)
        read = (values_of.read(text[start:end], order) for start, end in _matches(patterns, text))
        values = [value for value in read if value is not None]
        distinct = len(set(values))
        digits = sum(character.isdigit() for character in text)
        return Found(
            values[0] if values else None,
            {"found": float(bool(values)), "rivals": log1p(max(distinct - 1, 0)), "digits": log1p(digits)},
        )

    return copy


def open_places(field: Field) -> Callable[[str, Any], list[Span]]:
    """A function that says where in a text, in characters [start, end), the field's patterns find a value, in order."""
    patterns = [compile_pattern(pattern) for pattern in field.find]
    values_of = open_values(field.schema)
    dated = field.schema.get("format") == "date"

    def find(text: str, value: Any) -> list[Span]:
        text, order = _read(text, dated)
        return [(start, end) for start, end in _matches(patterns, text) if same(values_of.read(text[start:end], order), value)]

    return find


def _read(text: str, dated: bool) -> tuple[str, bool]:
    """The text as RE2 reads it, in UTF-8, which has no half of a surrogate pair, and whether its dates have the day first."""
    text = text.encode("utf-8", "replace").decode()
    return text, not dated or day_first(text) is not False


def _matches(patterns: list[re2.Pattern], text: str) -> Iterator[Span]:
    """Where every match's value stands, in order: the first group that took part, or the whole."""
    found = [match for pattern in patterns for match in pattern.finditer(text)]
    for match in sorted(found, key=lambda match: match.start()):
        groups = (match.span(index) for index in range(1, (match.lastindex or 0) + 1))
        start, end = next((span for span in groups if span[0] < span[1]), match.span())
        if start < end:
            yield start, end
