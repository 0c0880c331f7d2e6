"""Turns the range of some numbers into a scale: where each value lies in pixels, and round ticks that do not crowd."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from rung.charts.markup import width
from rung.charts.units import Interval, Unit, spell_ticks

TICK = 12  # the size of a tick's letters in CSS pixels
GUTTER = 64  # pixels of a logarithmic axis that are kept for zero, which has no logarithm
LEAST = 1e-12  # what is nearer to zero is zero
DAY = 86_400.0
MONTH = 30.44 * DAY
SPANS = (*(3600.0 * n for n in (1, 3, 6, 12)), *(DAY * n for n in (1, 2, 7, 14)), *(MONTH * n for n in (1, 3, 6, 12, 60)))


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis measures. `include` names values that it must reach; on a `log` axis those at or below 0 stand apart."""

    label: str
    unit: Unit = "number"
    log: bool = False
    include: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Scale:
    """Where the values from `low` to `high` lie between the pixels `start` and `end`, and the ticks with their words."""

    low: float
    high: float
    start: float
    end: float
    ticks: Sequence[tuple[float, str]] = ()
    log: bool = False
    gutter: float = 0.0  # pixels between `start` and `low`, which are kept for zero

    def at(self, value: float) -> float:
        """The pixel of a value; of one beyond the axis, its end."""
        if not self.log:
            part = (value - self.low) / (self.high - self.low)
        elif value <= 0:
            return self.start + self.gutter * 0.22
        else:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        origin = self.start + self.gutter
        return origin + (self.end - origin) * min(max(part, 0.0), 1.0)


def scale(axis: Axis, values: Iterable[float], start: float, end: float, tight: bool = False) -> Scale:
    """A scale from round tick to round tick over these values, or `tight` around them; y grows from a `start` below its `end`.

    Raises ValueError where there is no value, or one that is no finite number.
    """
    known = [0.0 if abs(value) < LEAST else value for value in (*values, *axis.include)]
    if not known or not all(map(math.isfinite, known)):
        raise ValueError(f"the axis {axis.label!r} has no value, or one that is no finite number")
    positive = [value for value in known if value > 0]
    if axis.log and positive and max(positive) >= 5 * min(positive):  # in less than that a logarithm only hides round ticks
        gutter = 0.0 if len(positive) == len(known) else math.copysign(GUTTER, end - start)
        bare = Scale(min(positive), max(positive), start, end, log=True, gutter=gutter)
    else:
        bare = Scale(*_ends(axis.unit, min(known), max(known), tight), start, end)
    most = max(2, round(abs(end - start) / (58 if end > start else 38)))
    tried = (_ticked(bare, axis.unit, count, tight) for count in range(most, 0, -1))
    return next((made for made in tried if not _crowded(made)), _ticked(bare, axis.unit, 1, tight))


def _ends(unit: Unit, low: float, high: float, tight: bool) -> Interval:
    """The ends of a linear scale: apart from each other, and from zero where zero is near."""
    if math.isclose(low, high, rel_tol=1e-9):
        least, most = (min(low, 0.0), max(high, 1.0)) if unit == "share" else (-math.inf, math.inf)
        return max(least, low - abs(low) / 10), min(most, high + (abs(high) / 10 or 1))
    return (0.0 if not tight and 0 < low <= 0.35 * high else low), high


def _ticked(bare: Scale, unit: Unit, count: int, tight: bool) -> Scale:
    """The scale with about so many ticks."""
    low, high = bare.low, bare.high
    if unit == "time":
        step = next((span for span in SPANS if 1.3 * span >= (high - low) / count), SPANS[-1])
        ticks = _times(low, high, step)
    elif bare.log:
        step = None
        if not tight:
            low, high = _round_down(low), 1 / _round_down(1 / high)
        ticks = [0.0] * (bare.gutter != 0) + _powers(low, high, count)
    else:
        step = _round_step((high - low) / count)
        step = (max(step, 1.0) if step != 2.5 else 5.0) if unit == "count" else step  # nobody counts halves
        if not tight:
            first = math.floor(low / step + 1e-9)
            low, high = first * step, max(math.ceil(high / step - 1e-9), first + 1) * step
        ticks = [round(n * step, 12) for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    words = spell_ticks(ticks, unit, step) if ticks else []
    return replace(bare, low=low, high=high, ticks=tuple(zip(ticks, words, strict=True)))


def _crowded(made: Scale) -> bool:
    for (value, word), (other, next_word) in zip(made.ticks, made.ticks[1:], strict=False):
        needed = (width(word, TICK) + width(next_word, TICK)) / 2 + TICK if made.end > made.start else 1.8 * TICK
        if abs(made.at(other) - made.at(value)) < needed:
            return True
    return False


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return power * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * (1 - 1e-9))


def _round_down(value: float) -> float:
    """The next lower of ... 0.1, 0.2, 0.5, 1, 2, 5, 10 ..."""
    power = 10.0 ** math.floor(math.log10(value) + 1e-9)
    return power * next(factor for factor in (5, 2, 1) if factor * power <= value * (1 + 1e-9))


def _powers(low: float, high: float, count: int) -> list[float]:
    """Powers of ten, with their doubles and fives where there is room and only every other, third ... where there is little."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    factors = (1, 2, 5) if 3 * (last - first) <= count or last - first <= 1 else (1,)
    stride = max(1, -(-(last - first) // count))
    powers = range(first - first % stride, last + 1, stride)
    ticks = [float(f"{factor}e{power}") for power in powers for factor in factors]
    return [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]


def _times(low: float, high: float, step: float) -> list[float]:
    if step < MONTH:
        offset = 4 * DAY if step % (7 * DAY) == 0 else 0.0  # weeks begin on Monday, and 1970 began on a Thursday
        return [offset + n * step for n in range(math.ceil((low - offset) / step), math.floor((high - offset) / step) + 1)]
    stride, first, last = round(step / MONTH), datetime.fromtimestamp(low, UTC), datetime.fromtimestamp(high, UTC)
    months = range(12 * first.year + first.month - 1, 12 * last.year + last.month)
    starts = (datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp() for month in months if month % stride == 0)
    return [start for start in starts if low <= start <= high]
