"""Turns the places that a gold line gives for its copied values into offsets, or into what is wrong with them.

Knows nothing about values: whether what stands at a place reads as the value is not asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from rung.workload import Field

Place = tuple[int, int]  # characters [start, end) of a text
Spans = Mapping[str, tuple[Place, ...]]


def read_spans(
    record: Mapping[str, Any], text: str, expected: Mapping[str, Any], fields: Mapping[str, Field]
) -> tuple[Spans, list[str]]:
    """The record's `spans`, such as `{"total": [[88, 94]]}`, and what is wrong with them. None of them if anything is."""
    if "spans" not in record:
        return {}, []
    given = record["spans"]
    if not isinstance(given, dict):
        return {}, ['spans is not an object like {"total": [[88, 94]]}']
    if isinstance(record["input"], list):
        return {}, ["spans are places in a text, and input is a page: give the one or the other"]
    spans = cast("dict[str, Any]", given)
    mistakes = [
        f"spans: {name} {each}" for name, places in spans.items() for each in _mistakes(name, places, text, expected, fields)
    ]
    return {} if mistakes else {name: tuple((start, end) for start, end in places) for name, places in spans.items()}, mistakes


def _mistakes(name: str, places: object, text: str, expected: Mapping[str, Any], fields: Mapping[str, Field]) -> Iterator[str]:
    if objection := _objection(fields.get(name)):
        yield objection
    elif expected.get(name) in (None, []):
        yield "has places, but no value in expected"
    elif not isinstance(places, list) or not places:
        yield "has no list of places like [[88, 94]]"
    else:
        for place in cast("list[object]", places):
            if message := _misplaced(place, text):
                yield f"{json.dumps(place)[:100]} {message}"


def _objection(field: Field | None) -> str | None:
    """Why the field cannot have places."""
    if field is None:
        return "is not a field of the answer"
    if field.fill != "copy":
        return f"is filled by a {field.fill}, not copied from the text"
    if field.find:
        return "is found by its patterns: only what is learnt can have places"
    if "object" in field.schema.get("items", {}).get("type", ()):
        return "is a list of objects: their places are found by their values"
    return None


def _misplaced(place: object, text: str) -> str | None:
    edges = cast("list[object]", place) if isinstance(place, list) else []
    if len(edges) != 2 or not all(type(edge) is int for edge in edges):
        return "is not [start, end] in whole numbers"
    start, end = cast("list[int]", edges)
    if not 0 <= start <= len(text) or not 0 <= end <= len(text):
        return f"lies outside the text, which has {len(text):,} characters"
    return None if text[start:end].strip() else "holds nothing"
