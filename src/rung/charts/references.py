"""Turns values to compare with, such as the promise, into dashed lines whose names keep off the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rung.charts.axes import LINE, TEXT, Plot, hint, stroke, words
from rung.charts.labels import RISE, Box, clearest
from rung.charts.markup import element, fit, width
from rung.charts.scales import Axis
from rung.charts.units import spell


@dataclass(frozen=True, slots=True)
class Reference:
    """A value to compare with: a line across from the y axis or up from the x axis, as `on` says."""

    label: str
    value: float
    on: Literal["x", "y"] = "y"


def refer(plot: Plot, references: Sequence[Reference], x: Axis, y: Axis, taken: Sequence[Box]) -> str:
    """The reference lines with their names, which keep off the boxes taken and off each other."""
    marks: list[str] = []
    left = plot.left - 50  # about where what y measures is written, above the plot
    covered = [*taken, (left, plot.top - LINE - 6, left + width(y.label, TEXT), plot.top)]
    covered += [_grown(_ends(plot, reference)) for reference in references]
    for reference in references:
        told = f"{reference.label}: {spell(reference.value, (x if reference.on == 'x' else y).unit)}"
        marks.append(element("g", hint(told) + stroke(*_ends(plot, reference), "reference")))
    for reference in references:
        text = fit(reference.label, 0.6 * (plot.right - plot.left), TEXT)
        box = clearest(_places(plot, reference, width(text, TEXT)), covered)
        covered.append(box)
        marks.append(words(text, box[0], box[3] - TEXT * (RISE - 0.9), "name rest"))
    return "".join(marks)


def _ends(plot: Plot, reference: Reference) -> Box:
    if reference.on == "x":
        at = plot.x.at(reference.value)
        return at, plot.top, at, plot.bottom
    at = plot.y.at(reference.value)
    return plot.left, at, plot.right, at


def _grown(box: Box) -> Box:
    return box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1


def _places(plot: Plot, reference: Reference, across: float) -> list[Box]:
    """Where the name may stand: above the plot or on either side of its line, from one end to the other."""
    left, top, right, bottom = _ends(plot, reference)
    down = TEXT * RISE
    if reference.on == "x":
        sides = [side for side in (left + 6, left - 6 - across) if plot.left <= side <= plot.right - across]
        starts = [(side, plot.top + (plot.bottom - plot.top - down) * part) for part in (0, 1, 0.25, 0.5, 0.75) for side in sides]
        starts.insert(0, (min(max(left - across / 2, plot.left), plot.right - across), plot.top - 8 - down))
    else:
        sides = [side for side in (top - 4 - down, bottom + 4) if plot.top <= side <= plot.bottom - down] or [top - 4 - down]
        starts = [
            (plot.left + 6 + (right - left - across - 12) * part, side) for part in (1, 0, 0.75, 0.25, 0.5) for side in sides
        ]
    return [(x, y, x + across, y + down) for x, y in starts]
