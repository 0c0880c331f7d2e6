"""Turns two scales into the frame that data is drawn in: grid, ticks, what the axes measure, a legend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rung.charts.labels import Box
from rung.charts.markup import element, escape, fit, width
from rung.charts.scales import TICK, Axis, Scale, scale

WIDE, NARROW = 720.0, 350.0  # the two widths every chart is drawn for, in CSS pixels
HEIGHTS = ((WIDE, 400.0), (NARROW, 340.0))  # of what is drawn over time, and of all that stands beside it
TEXT = 13  # the size of names and of what an axis measures
LINE = 20.0  # from one line of text to the next
SAMPLE = 22.0  # the width of a legend's sample

Sign = Literal["line", "dot", "swatch", "reference"]


@dataclass(frozen=True, slots=True)
class Plot:
    """The rectangle that data is drawn into, with its two scales."""

    left: float
    top: float
    right: float
    bottom: float
    x: Scale
    y: Scale


def colour(index: int) -> str:
    """The class of the series with this index: there are five, then they return."""
    return f"c{index % 5 + 1}"


def coloured(parts: Sequence[str]) -> list[tuple[str, str]]:
    """The parts of a whole with their classes; the last, what is left over for people, is grey."""
    return [*((part, colour(index)) for index, part in enumerate(parts[:-1])), (parts[-1], "rest")]


def words(text: str, x: float, y: float, kind: str = "", anchor: str | None = None) -> str:
    """One line of text with its baseline's left end, or its middle or end, at a point."""
    return element("text", escape(text), x=x, y=y, class_=kind or None, text_anchor=anchor)


def stroke(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    return element("line", None, x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def whisker(x1: float, y1: float, x2: float, y2: float) -> str:
    """An interval: a line, upright or level, with a cap at either end."""
    across, down = (0, 3) if y1 == y2 else (3, 0)
    caps = "".join(stroke(x - across, y - down, x + across, y + down, "whisker") for x, y in ((x1, y1), (x2, y2)))
    return stroke(x1, y1, x2, y2, "whisker") + caps


def hint(text: str) -> str:
    """What a pointer that rests on the mark is told."""
    return element("title", escape(text))


def legend(entries: Sequence[tuple[str, str, Sign]], space: float) -> tuple[str, float]:
    """Names with their colour's class and a sample of the mark, in as many rows as they need; and the height of these."""
    marks: list[str] = []
    x, y = 0.0, TEXT * 1.0
    for name, kind, sign in entries:
        shown = fit(name, space - SAMPLE - 8, TEXT)
        needed = SAMPLE + 8 + width(shown, TEXT)
        if x and x + needed > space:
            x, y = 0.0, y + LINE
        marks.append(element("g", _sample(sign, x, y - TEXT * 0.35) + words(shown, x + SAMPLE + 8, y), class_=kind))
        x += needed + 18
    return element("g", "".join(marks), class_="legend"), y + 12


def _sample(sign: Sign, x: float, y: float) -> str:
    if sign == "dot":
        return element("circle", None, cx=x + SAMPLE / 2, cy=y, r=4.5, class_="fill")
    if sign == "swatch":
        return element("rect", None, x=x + 4, y=y - 6, width=SAMPLE - 8, height=12, class_="fill")
    return stroke(x, y, x + SAMPLE, y, sign)


def frame(x: tuple[Axis, Iterable[float]], y: tuple[Axis, Iterable[float]], box: Box, tight: bool = False) -> Plot:
    """The plot of these values in a box of left, top, right and bottom, less the room that ticks and labels take."""
    left, top, right, bottom = box
    top, bottom = top + LINE + 6, bottom - (2 * LINE + 4)
    vertical = scale(*y, bottom, top)
    left += max((width(word, TICK) for _, word in vertical.ticks), default=0) + 8
    values = list(x[1])
    horizontal = scale(x[0], values, left, right, tight)
    over = max((horizontal.at(tick) + width(word, TICK) / 2 - right for tick, word in horizontal.ticks), default=0)
    if over > 0:  # the last tick's word would hang over the edge
        right -= over
        horizontal = scale(x[0], values, left, right, tight)
    return Plot(left, top, right, bottom, horizontal, vertical)


def grid(made: Plot, x: Axis, y: Axis, upright: bool = False) -> str:
    """The grid, with lines across and, with `upright`, also up, the ticks' words and what the axes measure."""
    edge = made.left - 8 - max((width(word, TICK) for _, word in made.y.ticks), default=-8)
    marks = [words(fit(y.label, made.right - edge, TEXT), edge, made.top - 12, "axis")]
    for value, word in made.y.ticks:
        at = made.y.at(value)
        marks.append(stroke(made.left, at, made.right, at, "grid"))
        marks.append(words(word, made.left - 8, at + TICK * 0.35, "tick", "end"))
    for value, word in made.x.ticks:
        at = made.x.at(value)
        marks.append(stroke(at, made.top, at, made.bottom, "grid") if upright else "")
        marks.append(stroke(at, made.bottom, at, made.bottom + 4, "base"))
        marks.append(words(word, max(at, width(word, TICK) / 2), made.bottom + 18, "tick", "middle"))
    marks.append(stroke(made.left, made.bottom, made.right, made.bottom, "base"))
    if made.x.gutter:
        at = made.left + made.x.gutter * 0.6
        marks.append(stroke(at, made.bottom, at + 5, made.bottom, "gap"))
        marks += [stroke(at + step - 2, made.bottom + 5, at + step + 2, made.bottom - 5, "base") for step in (0, 5)]
    marks.append(words(fit(x.label, made.right - edge, TEXT), made.right, made.bottom + 38, "axis", "end"))
    return "".join(marks)
