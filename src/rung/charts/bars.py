"""Turns named values into horizontal bars: values with their intervals, or shares of a whole side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from rung.charts.axes import LINE, NARROW, TEXT, WIDE, Plot, coloured, grid, hint, legend, stroke, whisker, words
from rung.charts.blocks import Drawing, Figure, Table
from rung.charts.markup import element, fit, width
from rung.charts.references import Reference
from rung.charts.scales import TICK, Axis, Scale, scale
from rung.charts.units import Interval, spell, spell_with

THICK = 14.0  # of a bar
SLIM = 500.0  # a drawing narrower than this has its names above the bars, not left of them


@dataclass(frozen=True, slots=True)
class Bar:
    """One value, its interval and the number of cases behind it. What is `bad` stands out."""

    name: str
    value: float
    interval: Interval | None = None
    n: int | None = None
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Stack:
    """One whole: its shares, which sum to one, in the order of the parts, and the number of cases behind them."""

    name: str
    shares: Sequence[float]
    n: int | None = None


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where rows are that have a name, a bar and, at the far right, a value and a note."""

    told: Sequence[tuple[str, str, str]]
    width: float
    top: float
    thick: float

    @property
    def slim(self) -> bool:
        return self.width < SLIM

    @property
    def noted(self) -> float:
        """The room of the notes."""
        return max(width(note, TICK) + 14 * bool(note) for _, _, note in self.told)

    @property
    def left(self) -> float:
        """The pixel where bars start."""
        return 0.0 if self.slim else min(0.4 * self.width, max(width(name, TEXT) for name, _, _ in self.told)) + 12

    @property
    def right(self) -> float:
        """The pixel where bars end at most."""
        return self.width - (1 if self.slim else self.noted + max(width(value, TEXT) for _, value, _ in self.told) + 16)

    @property
    def pitch(self) -> float:
        """From one row to the next."""
        return self.thick + (LINE + 14 if self.slim else 12)

    @property
    def bottom(self) -> float:
        return self.top + self.pitch * len(self.told)

    def edge(self, index: int) -> float:
        """The upper edge of a row's bar."""
        return self.top + self.pitch * index + (LINE + 4 if self.slim else 6)

    def words(self, index: int) -> str:
        """What a row says beside its bar."""
        name, value, note = self.told[index]
        right = self.width - self.noted
        if self.slim:
            line = self.edge(index) - 6
            marks = words(fit(name, right - width(value, TEXT) - 12, TEXT), 0, line, "name")
        else:
            line = self.edge(index) + self.thick / 2 + TEXT * 0.35
            marks = words(fit(name, self.left - 12, TEXT), self.left - 12, line, "name", "end")
        marks += words(value, right, line, "name", "end") if value else ""
        return marks + (words(note, self.width, line, "tick", "end") if note else "")


def bars(title: str, rows: Sequence[Bar], axis: Axis, references: Sequence[Reference] = (), caption: str = "") -> Figure:
    """The bars from zero, in the order given. Raises ValueError where a number is not finite or there is no bar."""
    if not rows:
        raise ValueError("there is no bar to show")
    told = [(row.name, spell_with(row.value, row.interval, axis.unit), "" if row.n is None else f"{row.n:,}") for row in rows]
    wide, narrow = (_draw_bars(rows, axis, references, size) for size in (WIDE, NARROW))
    return Figure(title, caption, wide, narrow, Table(("", axis.label, "n"), told))


def stacks(title: str, parts: Sequence[str], rows: Sequence[Stack], caption: str = "") -> Figure:
    """Who takes which share of each whole; the last part, what is left over for people, is grey.

    Raises ValueError where there is no whole, or one whose shares are not as many as the parts or do not sum to one.
    """
    for row in rows:
        if len(row.shares) != len(parts) or min(row.shares) < 0 or not math.isclose(sum(row.shares), 1, abs_tol=1e-6):
            raise ValueError(f"the shares of {row.name!r} are not those of {len(parts)} parts of one whole")
    if not rows:
        raise ValueError("there is nothing to show shares of")
    told = [(row.name, *(spell(share, "share") for share in row.shares), "" if row.n is None else f"{row.n:,}") for row in rows]
    wide, narrow = (_draw_stacks(parts, rows, size) for size in (WIDE, NARROW))
    return Figure(title, caption, wide, narrow, Table(("", *parts, "n"), told))


def _draw_bars(given: Sequence[Bar], axis: Axis, references: Sequence[Reference], size: float) -> Drawing:
    ends = [end for bar in given for end in (0.0, bar.value, *(bar.interval or ()))]
    rows = _Rows([(bar.name, spell(bar.value, axis.unit), _counted(bar.n)) for bar in given], size, LINE * len(references), THICK)
    right = rows.right - 14 * rows.slim  # half of the last tick's word
    across = scale(axis, [*ends, *(each.value for each in references)], rows.left, right)
    plot = Plot(rows.left, rows.top, right, rows.bottom + 4, across, Scale(0, 1, rows.bottom, rows.top))
    marks = [grid(plot, axis, Axis(""), upright=True)]
    marks += [_bar(bar, axis, across, rows.edge(index)) for index, bar in enumerate(given)]
    for index, each in enumerate(references):
        at, line = across.at(each.value), LINE * (index + 1) - 6
        name = fit(each.label, size, TEXT)
        start = min(max(at - width(name, TEXT) / 2, 0), size - width(name, TEXT))
        told = hint(f"{each.label}: {spell(each.value, axis.unit)}")
        marks.append(
            element("g", told + stroke(at, line + 4, at, plot.bottom, "reference")) + words(name, start, line, "name rest")
        )
    marks += map(rows.words, range(len(given)))
    return Drawing(size, plot.bottom + 2 * LINE + 4, "".join(marks))


def _bar(bar: Bar, axis: Axis, across: Scale, top: float) -> str:
    start, end = sorted((across.at(0), across.at(bar.value)))
    counted = f", {_counted(bar.n)}" if bar.n is not None else ""
    marks = hint(f"{bar.name}: {axis.label} {spell_with(bar.value, bar.interval, axis.unit)}{counted}")
    marks += element("rect", None, x=start, y=top, width=end - start, height=THICK, rx=1, class_="fill")
    if bar.interval:
        low, high = map(across.at, bar.interval)
        middle = top + THICK / 2
        marks += whisker(low, middle, high, middle)
    return element("g", marks, class_="bar bad" if bar.bad else "bar")


def _draw_stacks(parts: Sequence[str], given: Sequence[Stack], size: float) -> Drawing:
    kinds = coloured(parts)
    names, top = legend([(part, kind, "swatch") for part, kind in kinds], size)
    rows = _Rows([(row.name, "", _counted(row.n)) for row in given], size, top, THICK + 6)
    marks = [names]
    for index, row in enumerate(given):
        edge, span = rows.edge(index), rows.right - rows.left
        for (part, kind), share, end in zip(kinds, row.shares, accumulate(row.shares), strict=True):
            start = rows.left + span * (end - share)
            told, room = spell(share, "share"), max(0.0, span * share - 1)
            mark = hint(f"{row.name}, {part}: {told}")
            mark += element("rect", None, x=start, y=edge, width=room, height=rows.thick, class_="fill")
            if width(told, TICK) + 6 <= room:
                mark += words(told, start + room / 2, edge + 14, "inside", "middle")
            marks.append(element("g", mark, class_=kind) if share else "")
        marks.append(rows.words(index))
    return Drawing(size, rows.bottom + 4, "".join(marks))


def _counted(n: int | None) -> str:
    return "" if n is None else f"n = {n:,}"
