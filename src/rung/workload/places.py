"""Turns a text with `{field}` places, or a path with them, into what it says for given values. Knows nothing about files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_PLACE = re.compile(r"\{(\w+)\}")


def places(text: str) -> list[str]:
    """The names that stand in braces, in order, each once."""
    return list(dict.fromkeys(_PLACE.findall(text)))


def fill(text: str, values: Mapping[str, Any]) -> str:
    """The text with each value in its place; one that is null or missing leaves nothing there."""
    return _PLACE.sub(lambda place: _written(values.get(place[1])), text)


def expand(path: str, labels: Mapping[str, Sequence[Any]]) -> list[str]:
    """Every path that a path with places may lead to, one per label of each field it names."""
    paths = [path]
    for name in places(path):
        paths = [one.replace(f"{{{name}}}", _written(label)) for one in paths for label in labels.get(name, ())]
    return paths


def _written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
