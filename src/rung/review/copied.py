"""Turns an answer's copied values into the places of a text where they may have been copied from. Knows nothing about models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from rung.core import Fields
from rung.models.alignment import align
from rung.models.copying import open_places
from rung.models.extraction import Extraction
from rung.workload import Workload

READ = 16_384  # characters, as for the encoder: nothing is copied from what stands beyond
MOST = 100  # items of a list: a page that shows a case must not wait for a hostile one

Path = tuple[int | str, ...]
Finder = Callable[[str, Fields], Mapping[str, tuple["Copied", ...]]]


@dataclass(frozen=True, slots=True)
class Copied:
    """Characters [start, end) of a text, in code points, that may be a field's value, or, by its `path`, a part of it: (2,) is
    the third of a list, (2, "amount") the amount of the third of a list of objects."""

    start: int
    end: int
    path: Path = ()


def open_finder(workload: Workload) -> Finder:
    """A function that says, by copied field, where in a text an answer's values stand, in reading order.

    What a pattern finds is taken from there; other values may stand in several places, and all are given, but for the objects of
    a list: theirs are looked for line by line. What stands nowhere has no place, whatever it is.
    """
    fields = [field for field in workload.fields if field.fill == "copy"]
    each = [(Extraction(field), open_places(field) if field.find else None) for field in fields]

    def find(text: str, answer: Fields) -> Mapping[str, tuple[Copied, ...]]:
        text, found = text[:READ], dict[str, tuple[Copied, ...]]()
        for extraction, places in each:
            value = answer.get(extraction.name)
            spans = places(text, value) if places and value is not None else []
            copied = [Copied(*span) for span in spans] or _aligned(text, value, extraction)
            found[extraction.name] = tuple(sorted(copied, key=lambda one: (one.start, one.end)))
        return found

    return find


def _aligned(text: str, value: object, extraction: Extraction) -> Iterator[Copied]:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    if not extraction.many:
        numbers, sought = [0], None if isinstance(value, list | Mapping) else value
    else:  # of a list that no check has accepted, what can be looked for
        sound = Mapping if extraction.objects else str | int | float
        numbers = [number for number, item in enumerate(items[:MOST]) if isinstance(item, sound)]
        sought = [items[number] for number in numbers]
    for one in align(text, {extraction.name: sought}, [extraction], {}).mentions:
        if one.row:
            yield Copied(one.start, one.end, (numbers[one.row[1]], one.kind.removeprefix(f"{extraction.name}.")))
        else:
            yield Copied(one.start, one.end, (numbers[one.value],) if extraction.many else ())
