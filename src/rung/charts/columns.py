"""Turns amounts over time into upright columns, each stacked from its parts, such as the decisions of each day by tier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rung.charts.axes import NARROW, WIDE, Plot, colour, frame, grid, hint, legend, stroke, words
from rung.charts.blocks import Drawing, Figure, Table
from rung.charts.markup import element, fit
from rung.charts.references import Reference
from rung.charts.scales import TICK, Axis
from rung.charts.units import spell

HEIGHTS = {WIDE: 400.0, NARROW: 340.0}  # as those of lines, beside which columns stand
GAP = 0.22  # of a column's room, left free


@dataclass(frozen=True, slots=True)
class Column:
    """What there was from `at` until `until`, in the order of the parts; both are in seconds since 1970."""

    at: float
    until: float
    amounts: Sequence[float]


def columns(
    title: str, parts: Sequence[str], rows: Sequence[Column], y: Axis, reference: Reference | None = None, caption: str = ""
) -> Figure:
    """The columns, in the order of time; the last part, what is left to people, is grey.

    Raises ValueError where there is no column, or one whose amounts are negative or not as many as the parts.
    """
    for row in rows:
        if len(row.amounts) != len(parts) or not all(0 <= amount < math.inf for amount in row.amounts):
            raise ValueError(f"the amounts at {spell(row.at, 'time')} are not those of {len(parts)} parts")
    if not rows:
        raise ValueError("there is no column to show")
    kinds = [*(colour(index) for index in range(len(parts) - 1)), "rest"]
    wide, narrow = (_draw(list(zip(parts, kinds, strict=True)), rows, y, reference, size) for size in (WIDE, NARROW))
    told = [(spell(row.at, "time"), *(spell(each, y.unit) for each in row.amounts)) for row in rows]
    return Figure(title, caption, wide, narrow, Table(("from (UTC)", *parts), told))


def _draw(parts: Sequence[tuple[str, str]], rows: Sequence[Column], y: Axis, reference: Reference | None, size: float) -> Drawing:
    names, top = legend([(part, kind, "swatch") for part, kind in parts], size) if parts[1:] else ("", 0.0)
    x = Axis("time (UTC)", "time")
    tops = [sum(row.amounts) for row in rows]
    shown = [0.0, *tops, *([reference.value] if reference else [])]
    plot = frame((x, [rows[0].at, rows[-1].until]), (y, shown), (0, top, size, HEIGHTS[size] + top), tight=True)
    marks = [names, grid(plot, x, y)]
    marks += [_column(parts, row, y, plot) for row in rows]
    if reference:
        at = plot.y.at(reference.value)
        told = hint(f"{reference.label}: {spell(reference.value, y.unit)}")
        marks.append(element("g", told + stroke(plot.left, at, plot.right, at, "reference")))
        name = fit(reference.label, plot.right - plot.left, TICK)
        marks.append(words(name, plot.right, at - 5, "tick name", "end"))
    return Drawing(size, HEIGHTS[size] + top, "".join(marks))


def _column(parts: Sequence[tuple[str, str]], row: Column, y: Axis, plot: Plot) -> str:
    left, right = plot.x.at(row.at), plot.x.at(row.until)
    slack = (right - left) * GAP / 2
    marks, base = "", 0.0
    for (part, kind), amount in zip(parts, row.amounts, strict=True):
        low, high = plot.y.at(base), plot.y.at(base + amount)
        told = hint(f"{spell(row.at, 'time')}, {part}: {spell(amount, y.unit)}")
        box = element("rect", None, x=left + slack, y=high, width=right - left - 2 * slack, height=low - high, class_="fill")
        marks += element("g", told + box, class_=kind) if amount else ""
        base += amount
    return marks
