"""Turns numbers into the words a reader sees, by their unit. Knows nothing about charts or pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

Unit = Literal["number", "count", "share", "USD", "seconds", "time"]
"""`share` is a part of one and is shown in per cent; `time` is in seconds since 1970 and is shown in UTC."""

Interval = tuple[float, float]
BILLION, MILLION, THOUSAND = 10**9, 10**6, 10**3
MINUS = "\u2212"


def spell(value: float, unit: Unit = "number") -> str:
    """The value with its unit, to as many digits as a reader can use: `97.4 %`, `$0.00021`, `3.1 ms`, `12,400`.

    Raises ValueError for what is no finite number.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} is no number that can be told")
    match unit:
        case "share":
            text = f"{100 * abs(value):.{_share_decimals(100 * abs(value))}f} %"
        case "USD":
            text = f"${_significant(abs(value))}"
        case "seconds":
            factor, name = _second(abs(value))
            text = f"{_significant(abs(value) * factor)} {name}"
        case "time":
            return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M}".removesuffix(" 00:00")
        case "count":
            text = f"{abs(value):,.0f}"
        case "number":
            text = _significant(abs(value), 4)
    return f"{MINUS}{text}" if value < 0 else text


def spell_with(value: float, interval: Interval | None, unit: Unit = "number") -> str:
    """The value and, in brackets, from where to where it may lie: `97.4 % (96.1 % to 98.3 %)`."""
    return spell(value, unit) + (f" ({spell(interval[0], unit)} to {spell(interval[1], unit)})" if interval else "")


def spell_ticks(values: Sequence[float], unit: Unit, step: float | None) -> list[str]:
    """A short word for each tick. Those a step apart share their decimals; without a step each stands for itself."""
    largest = max(map(abs, values))
    if unit == "time":
        return _spell_times(values, step or 0)
    if step is None:
        return ["0" if value == 0 else _compact(value, unit) for value in values]
    if unit == "share":
        factor, name = 100, " %"
    elif unit == "seconds":
        factor, name = _second(largest)
        name = f" {name}"
    else:
        divisor, name = _magnitude(largest) if step >= THOUSAND else (1, "")
        factor = 1 / divisor
    dollar, decimals = "$" if unit == "USD" else "", _decimals(step * factor)
    texts = [f"{dollar}{abs(value) * factor:,.{decimals}f}{name}" for value in values]
    return [f"{MINUS}{text}" if value < 0 else text for text, value in zip(texts, values, strict=True)]


def _compact(value: float, unit: Unit) -> str:
    if unit in ("share", "seconds"):
        factor, name = (100, "%") if unit == "share" else _second(value)
        return f"{value * factor:.3g} {name}" if value * factor < THOUSAND else f"{value * factor:,.0f} {name}"
    divisor, letter = _magnitude(value)
    return f"{'$' if unit == 'USD' else ''}{_significant(value / divisor)}{letter}"


def _magnitude(value: float) -> tuple[int, str]:
    for divisor, letter in ((BILLION, " bn"), (MILLION, " M"), (THOUSAND, " k")):
        if value >= divisor:
            return divisor, letter
    return 1, ""


def _second(value: float) -> tuple[float, str]:
    """By what to multiply seconds, and what they are called then."""
    for least, factor, name in ((7200, 1 / 3600, "h"), (120, 1 / 60, "min"), (1, 1, "s"), (1e-3, 1e3, "ms")):
        if value >= least:
            return factor, name
    return (1e6, "µs") if value else (1, "s")


def _share_decimals(percent: float) -> int:
    """More of them towards 0 and 100, so that neither is said of what only comes near."""
    left = min(percent, abs(100 - percent))
    if left < 1e-6:
        return 0
    return 1 if left >= 1 else max(2, -math.floor(math.log10(left)))


def _significant(value: float, digits: int = 3) -> str:
    """Without zeros at the end, with no digit of the whole part lost and, but for what no reader could count, no exponent."""
    if value == 0:
        return "0"
    if not 1e-9 <= value < 1e15:
        return f"{value:.{digits}g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _decimals(step: float) -> int:
    """How many decimals tell multiples of the step apart."""
    return next((decimals for decimals in range(12) if math.isclose(round(step, decimals), step, rel_tol=1e-6)), 12)


def _spell_times(values: Sequence[float], step: float) -> list[str]:
    moments = [datetime.fromtimestamp(value, UTC) for value in values]
    if step < 86_400:
        return [f"{moment:%H:%M}" if moment.hour or moment.minute else f"{moment.day} {moment:%b}" for moment in moments]
    if step < 28 * 86_400:
        return [f"{moment.day} {moment:%b}" for moment in moments]
    return [f"{moment:%b}" if moment.month > 1 else f"{moment:%Y}" for moment in moments]
