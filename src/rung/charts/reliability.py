"""Turns bins of confidence into a reliability diagram: how often what was believed to a degree is right, and how often it occurs.

Reading: on the diagonal a confidence means what it says; below it the model believes too much of itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rung.charts.axes import NARROW, frame, grid, hint, legend, stroke, whisker, words
from rung.charts.blocks import Drawing, Figure, Table
from rung.charts.markup import element
from rung.charts.markup import width as extent
from rung.charts.scales import TICK, Axis
from rung.charts.units import Interval, spell, spell_with

SIZE = 460.0  # as wide as the diagram is drawn where there is room: it is square
COUNTS = 64.0  # the height of the histogram below it


@dataclass(frozen=True, slots=True)
class Bin:
    """Cases whose confidence is from `start` to `end`: their mean confidence, the share right with its interval, their count."""

    start: float
    end: float
    confidence: float
    right: float
    interval: Interval
    count: int


def reliability(title: str, bins: Sequence[Bin], caption: str = "") -> Figure:
    """The bins that hold cases, against the diagonal, with a histogram below. Raises ValueError where none does."""
    held = [each for each in bins if each.count]
    if not held:
        raise ValueError("no bin holds a case")
    wide, narrow = _draw(held, SIZE), _draw(held, NARROW)
    rows = [
        (
            f"{spell(each.start, 'share')} to {spell(each.end, 'share')}",
            f"{each.count:,}",
            spell(each.confidence, "share"),
            _right(each),
        )
        for each in held
    ]
    table = Table(("Confidence", "Cases", "Mean confidence", "Share right"), rows)
    return Figure(title, caption, wide, narrow, table)


def _right(each: Bin) -> str:
    return spell_with(each.right, each.interval, "share")


def _draw(bins: Sequence[Bin], width: float) -> Drawing:
    lowest = min(min(each.start, each.right, *each.interval) for each in bins)
    ends = (max((low for low in (0.5, 0.8, 0.9) if low <= lowest), default=0.0), 1.0)
    x, y = Axis("Confidence", "share"), Axis("Share right", "share")
    names, top = legend([("Cases of a bin", "c1", "dot"), ("As believed", "rest", "reference")], width)
    plot = frame((x, ends), (y, ends), (0, top, width, top + width), tight=True)
    diagonal = stroke(plot.left, plot.bottom, plot.right, plot.top, "reference")
    marks = [names, grid(plot, x, y, upright=True), diagonal]
    floor = top + width + COUNTS
    most = max(each.count for each in bins)
    marks.append(words("Cases", 0, floor - 4, "axis"))
    for each in bins:
        told = hint(f"confidence {spell(each.confidence, 'share')}: {_right(each)} right, {each.count:,} cases")
        at, left, right = map(plot.x.at, (each.confidence, each.start, each.end))
        low, value, high = map(plot.y.at, (each.interval[0], each.right, each.interval[1]))
        dot = element("circle", None, cx=at, cy=value, r=4.5, class_="fill")
        marks.append(element("g", told + whisker(at, low, at, high) + dot, class_="c1"))
        height = max(1.0, (COUNTS - 2 * TICK) * each.count / most)
        bar = element("rect", None, x=left + 1, y=floor - height, width=max(1.0, right - left - 2), height=height, class_="fill")
        marks.append(element("g", told + bar, class_="pale"))
        count = f"{each.count:,}"
        if extent(count, TICK) <= right - left:  # else its neighbours' would cover it: the hint and the table have it
            marks.append(words(count, (left + right) / 2, floor - height - 4, "tick", "middle"))
    marks.append(stroke(plot.left, floor, plot.right, floor, "base"))
    return Drawing(width, floor + 4, "".join(marks))
