"""Turns a copied field's schema into the RE2 patterns that find its value in a text. Knows nothing about files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import re2

EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"  # what `format: email` finds


def patterns_of(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """What finds a copied field in a text: `find`, or else `pattern` wherever it stands as a word of its own."""
    if "find" in schema:
        return tuple(schema["find"])
    if "pattern" in schema:
        return (rf"(?:^|\b|\W)({schema['pattern'].removeprefix('^').removesuffix('$')})(?:$|\b|\W)",)
    return (EMAIL,) if schema.get("format") == "email" else ()


def types_of(schema: Mapping[str, Any]) -> set[str]:
    """The JSON types that a schema names; none where it names none."""
    types: str | list[str] = schema.get("type", [])
    return {types} if isinstance(types, str) else set(types)


def compile_pattern(pattern: str) -> re2.Pattern:
    """A pattern in RE2's linear-time syntax, without RE2's own log lines. Raises ValueError that says what is wrong with it."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0]
        raise ValueError(said.decode(errors="replace") if isinstance(said, bytes) else str(said)) from None
