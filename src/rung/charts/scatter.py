"""Turns candidates measured on two scales into a scatter plot with intervals, names and the front of those worth having."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rung.charts.axes import NARROW, TEXT, WIDE, Plot, frame, grid, hint, stroke, whisker, words
from rung.charts.blocks import Drawing, Figure, Table
from rung.charts.labels import RISE, Box, Label, place
from rung.charts.markup import element, fit
from rung.charts.scales import Axis
from rung.charts.units import Interval, spell, spell_with

HEIGHT = 430.0  # of either drawing, in CSS pixels
DOT = 5.5  # the radius of a point


@dataclass(frozen=True, slots=True)
class Point:
    """One candidate with the interval of its y. The `front` is joined by a stepped line, the `chosen` one has a ring."""

    name: str
    x: float
    y: float
    interval: Interval | None = None
    front: bool = False
    chosen: bool = False


def scatter(title: str, points: Sequence[Point], x: Axis, y: Axis, caption: str = "") -> Figure:
    """The points by x, of which less is better, and y. Raises ValueError where a number is not finite or there is no point."""
    wide, narrow = (_draw(points, x, y, width) for width in (WIDE, NARROW))
    rows = [(point.name, spell(point.x, x.unit), spell_with(point.y, point.interval, y.unit)) for point in points]
    return Figure(title, caption, wide, narrow, Table(("", x.label, y.label), rows))


def _draw(points: Sequence[Point], x: Axis, y: Axis, width: float) -> Drawing:
    ys = [value for point in points for value in (point.y, *(point.interval or ()))]
    plot = frame((x, [point.x for point in points]), (y, ys), (0, 0, width, HEIGHT))
    front = sorted((plot.x.at(point.x), plot.y.at(point.y)) for point in points if point.front)
    steps = _steps(front, plot.right)
    marks = [grid(plot, x, y, upright=True)]
    if len(front) > 1:
        path = "".join(f"{'L' if index else 'M'}{left:.1f} {top:.1f}" for index, (left, top) in enumerate(steps))
        marks.append(element("path", None, d=path, class_="front"))
    marks += [_mark(point, plot, x, y) for point in points]
    named = [(fit(point.name, width * 0.5, TEXT), (plot.x.at(point.x), plot.y.at(point.y))) for point in points]
    taken = [box for point in points for box in _boxes(point, plot)] + [
        (min(a[0], b[0]) - 1, min(a[1], b[1]) - 1, max(a[0], b[0]) + 1, max(a[1], b[1]) + 1) for a, b in pairwise(steps)
    ]
    labels = place(named, taken, (plot.left, plot.top, width, plot.bottom), TEXT)
    marks += [_name(label, point) for label, point in zip(labels, points, strict=True)]
    return Drawing(width, HEIGHT, "".join(marks))


def _steps(front: Sequence[tuple[float, float]], right: float) -> list[tuple[float, float]]:
    """The corners of the best y that is to be had up to each x: it changes only where the next point is reached."""
    if not front:
        return []
    corners = [front[0]]
    for left, top in front[1:]:
        corners += [(left, corners[-1][1]), (left, top)]
    return [*corners, (right, corners[-1][1])]


def _boxes(point: Point, plot: Plot) -> list[Box]:
    """What a point and its interval cover."""
    x, y = plot.x.at(point.x), plot.y.at(point.y)
    half = DOT + (6 if point.chosen else 2)
    boxes: list[Box] = [(x - half, y - half, x + half, y + half)]
    if point.interval:
        boxes.append((x - 2, plot.y.at(point.interval[1]), x + 2, plot.y.at(point.interval[0])))
    return boxes


def _mark(point: Point, plot: Plot, x: Axis, y: Axis) -> str:
    across, down = plot.x.at(point.x), plot.y.at(point.y)
    value = spell_with(point.y, point.interval, y.unit)
    marks = [hint(f"{point.name}: {x.label} {spell(point.x, x.unit)}, {y.label} {value}")]
    if point.interval:
        low, high = map(plot.y.at, point.interval)
        marks.append(whisker(across, low, across, high))
    if point.chosen:
        marks.append(element("circle", None, cx=across, cy=down, r=DOT + 4, class_="ring"))
    marks.append(element("circle", None, cx=across, cy=down, r=DOT, class_="fill" if point.front else "open"))
    return element("g", "".join(marks), class_="c1" if point.front or point.chosen else "rest")


def _name(label: Label, point: Point) -> str:
    left, top, right, bottom = label.box
    at, anchor = (left, None) if left > label.point[0] else (right, "end")
    if left <= label.point[0] <= right:
        at, anchor = (left + right) / 2, "middle"
    kind = "name strong" if point.chosen else "name" if point.front else "name rest"
    leader = ""
    if label.far:
        near = (min(max(label.point[0], left), right), min(max(label.point[1], top), bottom))
        leader = stroke(*label.point, *near, "leader")
    return leader + words(label.text, at, bottom - (bottom - top) * (1 - 0.8 / RISE), kind, anchor)
