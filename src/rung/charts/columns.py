"""Turns amounts over time into upright columns, each stacked from its parts, such as the decisions of each day by tier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rung.charts.axes import HEIGHTS, Plot, coloured, frame, grid, hint, legend
from rung.charts.blocks import Drawing, Figure, Table
from rung.charts.markup import element
from rung.charts.scales import Axis
from rung.charts.units import spell

GAP = 0.22  # of a column's room, left free


@dataclass(frozen=True, slots=True)
class Column:
    """What there was from `at` until `until`, in the order of the parts; both are in seconds since 1970."""

    at: float
    until: float
    amounts: Sequence[float]


def columns(title: str, parts: Sequence[str], rows: Sequence[Column], y: Axis, caption: str = "") -> Figure:
    """The columns, in the order of time; the last part, what is left to people, is grey.

    Raises ValueError where there is no column, or one whose amounts are negative or not as many as the parts.
    """
    for row in rows:
        if len(row.amounts) != len(parts) or not all(0 <= amount < math.inf for amount in row.amounts):
            raise ValueError(f"the amounts at {spell(row.at, 'time')} are not those of {len(parts)} parts")
    if not rows:
        raise ValueError("there is no column to show")
    wide, narrow = (_draw(coloured(parts), rows, y, *size) for size in HEIGHTS)
    told = [(spell(row.at, "time"), *(spell(each, y.unit) for each in row.amounts)) for row in rows]
    return Figure(title, caption, wide, narrow, Table(("from (UTC)", *parts), told))


def _draw(parts: Sequence[tuple[str, str]], rows: Sequence[Column], y: Axis, width: float, height: float) -> Drawing:
    names, top = legend([(part, kind, "swatch") for part, kind in parts], width) if parts[1:] else ("", 0.0)
    x = Axis("time (UTC)", "time")
    tops = [0.0, *(sum(row.amounts) for row in rows)]
    plot = frame((x, [rows[0].at, rows[-1].until]), (y, tops), (0, top, width, height + top), tight=True)
    marks = [names, grid(plot, x, y)]
    marks += [_column(parts, row, y, plot) for row in rows]
    return Drawing(width, height + top, "".join(marks))


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
