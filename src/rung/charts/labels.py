"""Turns points that want a name into places for the names where they cover neither each other nor the data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rung.charts.markup import width

Box = tuple[float, float, float, float]  # left, top, right, bottom
"""Pixels, with y growing downwards."""

RISE = 1.2  # the height of a line of text in the size of its letters
NEAR = 13.0  # pixels around a point in which a name is taken for its own
RINGS = (9.0, 20.0, 34.0, 50.0, 68.0, 90.0, 116.0)  # how far from its point a name is tried, in pixels
TURNS = tuple(math.radians(degrees) for degrees in (0, 180, 270, 90, 315, 45, 225, 135, 337, 23, 203, 157, 292, 68, 248, 112))


@dataclass(frozen=True, slots=True)
class Label:
    """A name, the box it fills and the point it belongs to."""

    text: str
    box: Box
    point: tuple[float, float]

    @property
    def far(self) -> bool:
        """Whether a line must say which point is meant."""
        left, top, right, bottom = self.box
        across, down = max(left - self.point[0], self.point[0] - right, 0), max(top - self.point[1], self.point[1] - bottom, 0)
        return math.hypot(across, down) > RINGS[1] + 1


def overlap(one: Box, other: Box) -> float:
    """The area that two boxes share."""
    if one[2] <= other[0] or other[2] <= one[0]:  # most are apart, and there are thousands of pairs
        return 0.0
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return across * down if across > 0 and down > 0 else 0.0


def clearest(candidates: Sequence[Box], taken: Sequence[Box]) -> Box:
    """The first of those candidates that cover least of what is taken."""
    covered: list[float] = []
    for box in candidates:
        covered.append(sum(overlap(box, other) for other in taken))
        if not covered[-1]:
            break
    return candidates[covered.index(min(covered))]


def place(named: Sequence[tuple[str, tuple[float, float]]], taken: Sequence[Box], within: Box, size: float) -> list[Label]:
    """A label for each name near its point, inside `within`, off the boxes taken and, before all, off other labels and points.

    Each is put where it costs least given the others, in the order of the names, three times over.
    """
    labels: list[Label] = []
    for _ in range(3):
        for index, (name, point) in enumerate(named):
            others = [label.box for label in labels[:index] + labels[index + 1 :]]
            others += [_around(other) for _, other in named if other != point]
            best = _cheapest(name, point, (others, taken), within, size)
            labels[index : index + 1] = [best]
    return labels


def _around(point: tuple[float, float]) -> Box:
    """Where a name would be taken for this point's."""
    return point[0] - NEAR, point[1] - NEAR, point[0] + NEAR, point[1] + NEAR


def _cheapest(
    name: str, point: tuple[float, float], avoided: tuple[Sequence[Box], Sequence[Box]], within: Box, size: float
) -> Label:
    across, down = width(name, size), RISE * size
    found, lowest = None, math.inf
    for ring in RINGS:
        for turn in TURNS:
            x = point[0] + math.cos(turn) * (ring + across / 2)
            y = point[1] + math.sin(turn) * (ring + down / 2)
            box = (x - across / 2, y - down / 2, x + across / 2, y + down / 2)
            cost = ring + 20 * (across * down - overlap(box, within))
            cost += 20 * sum(overlap(box, other) for other in avoided[0]) + sum(overlap(box, other) for other in avoided[1])
            if cost < lowest - 1e-6:
                found, lowest = box, cost
        if lowest <= ring:
            break
    assert found is not None  # the first ring always costs less than infinity
    return Label(name, found, point)
