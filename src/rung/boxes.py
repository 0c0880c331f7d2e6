"""Turns the lines of a scanned page, each with its box, into one text in reading order. Knows nothing about what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

FAR = 1e9  # beyond which no edge lies: more than any page has of pixels or points
COLUMN = "  "  # between what stands a line's height apart or more; a single space between what stands closer


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        return self.bottom - self.top


def read_page(page: Sequence[object]) -> str:
    """The text of lines like `{"text": "Total", "box": [left, top, right, bottom]}`, from top to bottom and from left to right.

    Boxes may be of lines or of words, in any unit, with y growing downwards. Those in one row share, each with each, at least
    half of the lower one's height. Blank ones are left out. Raises ValueError that says which line is not of this form.
    """
    lines = [_read(number, line) for number, line in enumerate(page, 1)]
    rows: list[list[_Line]] = []
    top = bottom = lowest = 0.0  # what all boxes of the last row share, and the lowest height among them
    for line in sorted(filter(lambda line: line.text, lines), key=lambda line: (line.top + line.bottom, line.left)):
        shared = min(bottom, line.bottom) - max(top, line.top)
        if rows and shared >= 0.5 * min(lowest, line.height):
            rows[-1].append(line)
            top, bottom, lowest = max(top, line.top), min(bottom, line.bottom), min(lowest, line.height)
        else:  # a stamp or a margin's writing, as high as many rows, joins one of them and does not make them one
            rows.append([line])
            top, bottom, lowest = line.top, line.bottom, line.height
    return "\n".join(map(_joined, rows))


def _joined(row: list[_Line]) -> str:
    row.sort(key=lambda line: line.left)
    text = row[0].text
    for before, line in pairwise(row):
        text += (COLUMN if line.left - before.right >= min(before.height, line.height) else " ") + line.text
    return text


def _read(number: int, given: object) -> _Line:
    if not isinstance(given, dict):
        raise ValueError(f"line {number} of the page is not an object with text and box")
    line = cast("dict[str, Any]", given)
    if objection := _objection(line):
        raise ValueError(f"line {number} of the page {objection}")
    return _Line(line["text"].strip(), *line["box"])


def _objection(line: dict[str, Any]) -> str | None:
    text, box = line.get("text"), line.get("box")
    if unknown := line.keys() - {"text", "box"}:
        return f"has the unknown key {min(unknown)!r}: it has text and box"
    if not isinstance(text, str):
        return "has no text"
    if len(text.strip().splitlines()) > 1:
        return "holds a line break: give each line a box of its own"
    edges = cast("list[object]", box) if isinstance(box, list) else []
    if len(edges) != 4 or not all(map(_is_edge, edges)):
        return "has no box of four numbers: left, top, right, bottom"
    left, top, right, bottom = cast("list[float]", edges)
    if right < left or bottom < top:
        return "has a box whose right is left of its left, or whose bottom is above its top"
    return None


def _is_edge(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= FAR
