"""Turns the values gold gives into the places where they stand in the text. Knows nothing about models.

A value may stand there several times, and one number may be two fields' value. What is certain is marked, what could be
either is left open for a first tagger to settle, and what stands nowhere is reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rung.core import Fields
from rung.models.dates import Span as Place
from rung.models.extraction import Extraction, Leaf


@dataclass(frozen=True, slots=True)
class Mention:
    """Characters [start, end) that may be the value of `kind`. Mentions of one value share `value`, its number in the text, and
    those of one object `row`: its field and number."""

    kind: str
    start: int
    end: int
    value: int
    row: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Alignment:
    """Every mention of every value, and the kinds and values that stand nowhere in the text."""

    mentions: tuple[Mention, ...]
    lost: tuple[tuple[str, Any], ...]


def align(text: str, expected: Fields, extractions: Sequence[Extraction], spans: Mapping[str, Sequence[Place]]) -> Alignment:
    """Find the expected values. `spans` are the places that gold itself gives, by field: they need no search, and no other value
    stands there."""
    certain = [place for extraction in extractions if not extraction.objects for place in spans.get(extraction.name, ())]
    mentions: list[Mention] = []
    lost: list[tuple[str, Any]] = []
    number = 0
    for extraction in extractions:
        given = spans.get(extraction.name)
        if given is not None and not extraction.objects:
            mentions += (Mention(extraction.name, start, end, number + at) for at, (start, end) in enumerate(given))
            number += len(given)
            continue
        for leaf, value, places, at in _sought(text, expected[extraction.name], extraction):
            row = (extraction.name, at) if extraction.objects else None
            places = [(start, end) for start, end in places if not any(start < last and first < end for first, last in certain)]
            mentions += (Mention(leaf.kind, start, end, number, row) for start, end in places)
            lost += [] if places else [(leaf.kind, value)]
            number += 1
    return Alignment(tuple(mentions), tuple(lost))


def _sought(text: str, value: Any, extraction: Extraction) -> list[tuple[Leaf, Any, list[Place], int]]:
    """Each value of a field, where in the text it may stand, and its object's number."""
    if extraction.objects:
        return _rows(text, value or [], extraction.leaves)
    leaf = extraction.leaves[0]
    values: list[Any] = [one for one in ((value or []) if extraction.many else [value]) if one is not None]
    return [(leaf, one, leaf.values.find(text, one), -1) for one in values]


def _rows(text: str, rows: Sequence[Mapping[str, Any]], leaves: Sequence[Leaf]) -> list[tuple[Leaf, Any, list[Place], int]]:
    """A list's objects in reading order: the anchor of each, its value that is longest as printed, follows the one of the object
    before; the others stand on its line, or between it and its neighbours' anchors."""
    anchors = [_anchor(text, row, leaves) for row in rows]
    begins: list[Place | None] = []
    after = 0
    for _, places in anchors:
        begins.append(next((place for place in places if place[0] >= after), None))
        after = begins[-1][1] if begins[-1] else after
    found: list[tuple[Leaf, Any, list[Place], int]] = []
    before = 0
    for at, (row, begin, (anchor, _)) in enumerate(zip(rows, begins, anchors, strict=True)):
        later = next((place[0] for place in begins[at + 1 :] if place), len(text))
        start, end = _region(text, before, begin[0], later) if begin else (0, len(text))
        for leaf in leaves:
            value = row.get(leaf.name)
            if value is None:
                continue
            if begin and leaf is anchor:
                places = [begin]
            else:
                places = [place for place in leaf.values.find(text, value) if start <= place[0] and place[1] <= end]
            found.append((leaf, value, places, at))
        before = begin[1] if begin else before
    return found


def _anchor(text: str, row: Mapping[str, Any], leaves: Sequence[Leaf]) -> tuple[Leaf | None, list[Place]]:
    """The leaf whose value is longest as printed, and its places: descriptions before amounts, amounts before quantities."""
    best: tuple[Leaf | None, list[Place]] = (None, [])
    longest = 0
    for leaf in leaves:
        value = row.get(leaf.name)
        places = [] if value is None else leaf.values.find(text, value)
        if places and len(str(value)) > longest:
            best, longest = (leaf, places), len(str(value))
    return best


def _region(text: str, before: int, begin: int, later: int) -> Place:
    """From the start of the anchor's line, or on one line with the anchor before from where that ends, to the start of the
    line of the next anchor, or on one line with it to where it begins."""
    start = max(text.rfind("\n", 0, begin) + 1, before)
    end = text.rfind("\n", 0, later) + 1 if later < len(text) else len(text)
    if end <= begin:  # two objects on one line
        return start, later
    if later == len(text):  # the last one: no farther than the others usually reach
        close = begin
        for _ in range(3):
            close = text.find("\n", close + 1)
            if close < 0:
                return start, len(text)
        end = close
    return start, end
