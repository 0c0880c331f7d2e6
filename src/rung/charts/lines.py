"""Turns series over one x into a line chart with bands and reference lines, such as risk over coverage or cost over volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from rung.charts.axes import HEIGHTS, Plot, colour, frame, grid, hint, legend
from rung.charts.blocks import Drawing, Figure, Table
from rung.charts.labels import Box
from rung.charts.markup import element, rounded
from rung.charts.references import Reference, refer
from rung.charts.scales import Axis
from rung.charts.units import Interval, spell, spell_with

FEW = 12  # points of a series that are shown each
STOPS = 40  # points of a series that tell their numbers to a pointer
ROWS = 24  # rows of the table behind it

Pixels = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Series:
    """Points (x, y) in the order of x; the band, if there is one, has a lower and an upper y for each."""

    name: str
    points: Sequence[tuple[float, float]]
    band: Sequence[Interval] = ()

    def __post_init__(self) -> None:
        """Refuse a band of another length, and points out of order."""
        xs = [x for x, _ in self.points]
        if xs != sorted(xs) or len(self.band) not in (0, len(xs)):
            raise ValueError(f"the series {self.name!r} is not in the order of x, or its band has another length")


def lines(
    title: str, series: Sequence[Series], x: Axis, y: Axis, references: Sequence[Reference] = (), caption: str = ""
) -> Figure:
    """The series, each in its colour and dashes. Raises ValueError where a number is not finite or there is no point.

    However many points there are, every pixel shows its extremes; the table has `ROWS` rows, spread evenly.
    """
    wide, narrow = (_draw(series, (x, y), references, *size) for size in HEIGHTS)
    return Figure(title, caption, wide, narrow, _table(series, x, y))


def _draw(
    series: Sequence[Series], axes: tuple[Axis, Axis], references: Sequence[Reference], width: float, height: float
) -> Drawing:
    x, y = axes
    xs = [at for each in series for at, _ in each.points] + [each.value for each in references if each.on == "x"]
    ys = [at for each in series for _, at in each.points] + [each.value for each in references if each.on == "y"]
    ys += [end for each in series for ends in each.band for end in ends]
    names, top = legend([(each.name, colour(at), "line") for at, each in enumerate(series)], width) if series[1:] else ("", 0.0)
    plot = frame((x, xs), (y, ys), (0, top, width, height + top), tight=True)
    drawn = [_pixels(each.points, plot) for each in series]
    marks = [
        element("g", _band(each, plot) + _path(pixels) + _stops(each, plot, x, y), class_=colour(at))
        for at, (each, pixels) in enumerate(zip(series, drawn, strict=True))
    ]
    taken = [box for pixels in drawn for box in _covered(pixels)]
    inside = grid(plot, x, y) + "".join(marks) + refer(plot, references, x, y, taken)
    return Drawing(width, height + top, names + inside)


def _pixels(points: Sequence[tuple[float, float]], plot: Plot) -> Pixels:
    """Where the points lie; of those in one column of pixels the first, the lowest, the highest and the last."""
    placed = [(plot.x.at(x), plot.y.at(y)) for x, y in points]
    kept: list[tuple[float, float]] = []
    for _, grouped in groupby(placed, key=lambda place: math.floor(place[0])):
        column = list(grouped)
        ys = [y for _, y in column]
        kept += [column[at] for at in sorted({0, ys.index(min(ys)), ys.index(max(ys)), len(column) - 1})]
    return kept


def _path(pixels: Pixels) -> str:
    if not pixels:
        return ""
    return element("path", None, d="M" + "L".join(f"{rounded(x)} {rounded(y)}" for x, y in pixels), class_="line")


def _band(series: Series, plot: Plot) -> str:
    if not series.band:
        return ""
    xs = [x for x, _ in series.points]
    low, high = (_pixels([(x, ends[side]) for x, ends in zip(xs, series.band, strict=True)], plot) for side in (0, 1))
    corners = "L".join(f"{rounded(x)} {rounded(y)}" for x, y in [*low, *reversed(high)])
    return element("path", None, d=f"M{corners}Z", class_="band")


def _stops(series: Series, plot: Plot, x: Axis, y: Axis) -> str:
    """Dots that say their numbers to a pointer: to be seen where points are few, otherwise only under the pointer."""
    marks: list[str] = []
    radius, kind = (3, "fill") if len(series.points) <= FEW else (5, "stop")
    for index in _spread(len(series.points), STOPS):
        at, value = series.points[index]
        told = f"{series.name}, {x.label} {spell(at, x.unit)}: "
        told += spell_with(value, series.band[index] if series.band else None, y.unit)
        marks.append(element("circle", hint(told), cx=plot.x.at(at), cy=plot.y.at(value), r=radius, class_=kind))
    return "".join(marks)


def _covered(pixels: Pixels) -> list[Box]:
    """Small boxes along a line."""
    boxes: list[Box] = []
    for (left, top), (right, bottom) in pairwise(pixels):
        steps = max(1, math.ceil(math.hypot(right - left, bottom - top) / 6))
        along = [(left + (right - left) * n / steps, top + (bottom - top) * n / steps) for n in range(steps + 1)]
        boxes += [(x - 2, y - 2, x + 2, y + 2) for x, y in along]
    return boxes


def _spread(count: int, most: int) -> list[int]:
    """At most so many indices, evenly spread from the first to the last."""
    if count <= most:
        return list(range(count))
    return sorted({round(n * (count - 1) / (most - 1)) for n in range(most)})


def _table(series: Sequence[Series], x: Axis, y: Axis) -> Table:
    """A row for each x and a column for each series."""
    indices = [{at: index for index, (at, _) in enumerate(each.points)} for each in series]
    xs = sorted(set[float]().union(*indices))
    rows = [
        (spell(at, x.unit), *(_cell(each, known.get(at), y) for each, known in zip(series, indices, strict=True)))
        for at in (xs[index] for index in _spread(len(xs), ROWS))
    ]
    return Table((x.label, *(each.name for each in series)), rows)


def _cell(series: Series, index: int | None, y: Axis) -> str:
    if index is None:
        return ""
    return spell_with(series.points[index][1], series.band[index] if series.band else None, y.unit)
