"""Turns a text into the value of a copy field: found by the field's RE2 patterns, normalised by its schema's type."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite, log1p
from typing import Any

import re2

from rung.workload import Field
from rung.workload.patterns import compile_pattern

# Thousands in groups of three (in India of two before the last), one separator throughout; then a decimal part.
_SEPARATORS = ".,'\u2019 \u00a0\u202f"
_NUMBER = re.compile(
    rf"(?P<sign>[+\-\u2212]?)(?:(?P<grouped>[1-9][0-9]{{0,2}}(?P<separator>[{_SEPARATORS}])"
    rf"(?:[0-9]{{2,3}}(?P=separator))*[0-9]{{3}})(?:(?!(?P=separator))[.,](?P<cents>[0-9]+))?"
    r"|(?P<whole>[0-9]+)(?:[.,](?P<decimals>[0-9]+))?)"
)


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
    numeric = {"number", "integer"} & ({kinds} if isinstance(kinds, str) else set(kinds))

    def normalise(match: str) -> str | float | None:
        if numeric:
            number = parse_number(match)
            return number if number is None or "number" in numeric or number.is_integer() else None
        value = match.lower() if field.schema.get("format") == "email" else match
        if shape is None or shape.fullmatch(value):
            return value
        squeezed = re.sub(r"[\s\-./#]", "", value).upper()  # people write LF 204-981 for LF204981
        return squeezed if shape.fullmatch(squeezed) else None

    def copy(text: str) -> Found:
        text = text.encode("utf-8", "replace").decode()  # RE2 reads UTF-8, which has no half of a surrogate pair
        values = [value for match in _matches(patterns, text) if (value := normalise(match)) is not None]
        distinct = len(set(values))
        digits = sum(character.isdigit() for character in text)
        return Found(
            values[0] if values else None,
            {"found": float(bool(values)), "rivals": log1p(max(distinct - 1, 0)), "digits": log1p(digits)},
        )

    return copy


def parse_number(text: str) -> float | None:
    """A number as people write it: `1,249.00`, `1.299,00`, `49,90`, `1 250`, `1'250.-`; None where it is none.

    A separator before exactly three closing digits groups thousands, unless it is the second kind in the number or only a
    zero stands before it; otherwise the last separator is the decimal one.
    """
    number = _NUMBER.fullmatch(text.strip().rstrip(".,-\u2013"))
    if number is None:
        return None
    whole = number["whole"] or re.sub("[^0-9]", "", number["grouped"])
    value = float(f"{whole}.{number['cents'] or number['decimals'] or 0}")
    if not isfinite(value):
        return None
    return -value if number["sign"] in ("-", "\u2212") else value


def _matches(patterns: list[re2.Pattern], text: str) -> Iterator[str]:
    """Every match's value, in the order in which they stand in the text: the first group that took part, or the whole."""
    found = [match for pattern in patterns for match in pattern.finditer(text)]
    for match in sorted(found, key=lambda match: match.start()):
        groups = (match.group(index) for index in range(1, (match.lastindex or 0) + 1))
        value = next((group for group in groups if group), match.group(0))
        if value:
            yield value
