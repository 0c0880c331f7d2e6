"""Turns a text into the value of a copy field: found by the field's RE2 patterns, normalised by its schema's type."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log1p
from typing import Any

import re2

from rung.workload import Field

_GROUPED = re.compile(r"(?<=\d)[.,' \u00a0](?=\d{3}(?:\D|$))")


@dataclass(frozen=True, slots=True)
class Found:
    """What a copy field takes from a text: its value (None where there is none) and the signals for its confidence."""

    value: Any
    signals: dict[str, float]


def open_copier(field: Field) -> Callable[[str], Found]:
    """A function that fills one copy field from a text. Of several matches the first one that fits the schema counts."""
    patterns = [compile_pattern(pattern) for pattern in field.find]
    shape = compile_pattern(f"^(?:{field.schema['pattern']})$") if "pattern" in field.schema else None
    kinds = field.schema.get("type", "string")
    numeric = bool({"number", "integer"} & ({kinds} if isinstance(kinds, str) else set(kinds)))

    def normalise(match: str) -> str | float | None:
        if numeric:
            return parse_number(match)
        value = match.lower() if field.schema.get("format") == "email" else match
        if shape is None or shape.fullmatch(value):
            return value
        squeezed = re.sub(r"[\s\-./#]", "", value).upper()  # people write LF 204-981 for LF204981
        return squeezed if shape.fullmatch(squeezed) else None

    def copy(text: str) -> Found:
        values = [value for match in _matches(patterns, text) if (value := normalise(match)) is not None]
        distinct = len(set(values))
        digits = sum(character.isdigit() for character in text)
        return Found(
            values[0] if values else None,
            {"found": float(bool(values)), "rivals": log1p(max(distinct - 1, 0)), "digits": log1p(digits)},
        )

    return copy


def parse_number(text: str) -> float | None:
    """A number as people write it: `1,249.00`, `1.299,00`, `49,90`, `1 250`; None where it is none.

    A separator before exactly three closing digits groups thousands; otherwise the last separator is the decimal one.
    """
    plain = text.strip().strip(".,")
    decimal = re.search(r"[.,](\d{1,2})$", plain)
    whole = plain[: decimal.start()] if decimal else plain
    whole = re.sub(r"[.,' \u00a0]", "", _GROUPED.sub("", whole))
    if not whole.isdecimal() or not whole.isascii():
        return None
    return float(f"{whole}.{decimal[1]}") if decimal else float(whole)


def compile_pattern(pattern: str) -> re2.Pattern:
    """A pattern in RE2's linear-time syntax, without RE2's own log lines."""
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def _matches(patterns: list[re2.Pattern], text: str) -> Iterator[str]:
    """Every match's value, in the order in which they stand in the text: the first group that took part, or the whole."""
    found = [match for pattern in patterns for match in pattern.finditer(text)]
    for match in sorted(found, key=lambda match: match.start()):
        yield next(
            (group for index in range(1, (match.lastindex or 0) + 1) if (group := match.group(index))), match.group(0) or ""
        )
