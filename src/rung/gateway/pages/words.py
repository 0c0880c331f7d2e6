"""Turns numbers and times into what people read, for every template alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from rung.charts import Unit, spell

DASH = "\u2013"  # where there is nothing to say


def spelled(unit: Unit) -> Callable[[float | None], str]:
    """How values of this unit are told."""
    return lambda value: DASH if value is None else spell(value, unit)


def ago(then: datetime, now: datetime) -> str:
    """How long ago that was: 5 s, 12 min, 3 h, 2 days."""
    past = max(now - then, timedelta())
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if past.total_seconds() >= size:
            return f"{past.total_seconds() // size:.0f} {unit}"
    return f"{past.total_seconds():.0f} s"


def moment(time: datetime) -> str:
    """A time in UTC, to the minute."""
    return f"{time:%Y-%m-%d %H:%M} UTC"


def value(given: Any) -> str:
    """A field's value as a person reads it: text as it is, all else as JSON."""
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, default=repr)


FILTERS: Mapping[str, Callable[..., str]] = {
    "percent": spelled("share"),
    "count": spelled("count"),
    "dollars": spelled("USD"),
    "seconds": spelled("seconds"),
    "ago": ago,
    "moment": moment,
    "value": value,
}
