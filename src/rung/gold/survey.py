"""Turns checked gold and its split into what can be seen in it without a model. Knows nothing about files or models.

It counts labels and slices, and names by line what is rare, nearly the same, leaked, or of an odd length. It changes nothing.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rung.core import same
from rung.gold.examples import Example, Gold
from rung.gold.parts import Split
from rung.workload import Field

FEW = 10  # examples of a label
ENOUGH, AMPLE = 500, 2_000  # examples: fewer than the one prove little, up to the other more still helps
FAR = 3.5  # modified z-score from which a length is an outlier

Parts = NDArray[np.str_]  # the part of each example


@dataclass(frozen=True, slots=True)
class Tally:
    """How many examples have a value: in all, and in each part of the split."""

    value: Any
    cases: int
    train: int
    calibration: int
    test: int


@dataclass(frozen=True, slots=True)
class Slice:
    """The examples with one value of a context key. `without` has, by field, the gold's labels of which the slice has none."""

    tally: Tally
    without: Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Rare:
    """A label with fewer than `FEW` examples, at these lines."""

    field: str
    label: Any
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Alike:
    """Lines whose texts are near-duplicates. `apart` has the label fields in which they differ: each line's label, in order."""

    lines: tuple[int, ...]
    apart: Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Leak:
    """A line pinned to test, and its near-duplicates in train or calibration."""

    line: int
    outside: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Outlier:
    """A line whose text is oddly short or long."""

    line: int
    characters: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """The texts' lengths in characters: the median, from where to where is usual, and what lies outside, the shortest first."""

    median: int
    shortest: int
    longest: int
    outliers: tuple[Outlier, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """What is in the gold. `labels` are by field and `slices` by context key, the most frequent value first."""

    whole: Tally
    labels: Mapping[str, tuple[Tally, ...]]
    slices: Mapping[str, tuple[Slice, ...]]
    rare: tuple[Rare, ...]
    alike: tuple[Alike, ...]
    leaks: tuple[Leak, ...]
    lengths: Lengths
    advice: tuple[str, ...]


def survey(gold: Gold, fields: Sequence[Field], parts: Split, groups: Sequence[int]) -> Survey:
    """Look at the gold; `fields` are the workload's, `groups` what `near_groups` says of the examples' texts."""
    examples = gold.examples
    part_of = np.empty(len(examples), "<U11")
    for name in ("train", "calibration", "test"):
        part_of[getattr(parts, name)] = name
    label_fields = [field for field in fields if field.fill == "label"]
    having = {field.name: _by_label(examples, field) for field in label_fields}
    labels = {name: _ordered(_tally(label, at, part_of) for label, at in found) for name, found in having.items()}
    rare = tuple(found for name, labels_at in having.items() for found in _rare(name, labels_at, examples))
    members: defaultdict[int, list[int]] = defaultdict(list)
    for at, group in enumerate(groups):
        members[group].append(at)
    return Survey(
        _tally(None, range(len(examples)), part_of),
        labels,
        _slices(examples, having, part_of),
        rare,
        tuple(_alike([examples[at] for at in together], gold.label_fields) for together in members.values() if len(together) > 1),
        tuple(_leak(at, members[groups[at]], examples, part_of) for at in parts.leaked.tolist()),
        _lengths(examples),
        tuple(_advice(len(examples), label_fields, rare)),
    )


def _by_label(examples: Sequence[Example], field: Field) -> list[tuple[Any, list[int]]]:
    """Every label of the field with the positions of its examples."""
    found: list[list[int]] = [[] for _ in field.labels]
    for at, example in enumerate(examples):
        found[next(i for i, label in enumerate(field.labels) if same(label, example.expected[field.name]))].append(at)
    return [*zip(field.labels, found, strict=True)]


def _tally(value: Any, at: Sequence[int], part_of: Parts) -> Tally:
    names: list[str] = part_of[np.array(at, np.intp)].tolist()
    return Tally(value, len(names), names.count("train"), names.count("calibration"), names.count("test"))


def _ordered(tallies: Iterator[Tally]) -> tuple[Tally, ...]:
    return tuple(sorted(tallies, key=lambda tally: -tally.cases))


def _rare(name: str, having: Sequence[tuple[Any, list[int]]], examples: Sequence[Example]) -> Iterator[Rare]:
    for label, at in having:
        if len(at) < FEW:
            yield Rare(name, label, tuple(examples[position].line for position in at))


def _slices(
    examples: Sequence[Example],
    having: Mapping[str, Sequence[tuple[Any, list[int]]]],
    part_of: Parts,
) -> dict[str, tuple[Slice, ...]]:
    """Every context key whose values, each a text, number, truth value or null, stand twice or more on average."""
    found: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for at, example in enumerate(examples):
        for key, value in example.case.context.items():
            found[key][json.dumps(value, sort_keys=True)].append(at)
    slices: dict[str, tuple[Slice, ...]] = {}
    for key, values in found.items():
        plain = not any(value.startswith(("{", "[")) for value in values)
        if plain and 2 * len(values) <= sum(map(len, values.values())):
            made = [Slice(_tally(json.loads(value), at, part_of), _without(set(at), having)) for value, at in values.items()]
            slices[key] = tuple(sorted(made, key=lambda each: -each.tally.cases))
    return slices


def _without(inside: set[int], having: Mapping[str, Sequence[tuple[Any, list[int]]]]) -> dict[str, tuple[Any, ...]]:
    lacking = {name: tuple(label for label, at in found if at and inside.isdisjoint(at)) for name, found in having.items()}
    return {name: labels for name, labels in lacking.items() if labels}


def _alike(together: Sequence[Example], label_fields: Sequence[str]) -> Alike:
    labels = {name: tuple(example.expected[name] for example in together) for name in label_fields}
    apart = {name: values for name, values in labels.items() if not all(same(value, values[0]) for value in values)}
    return Alike(tuple(example.line for example in together), apart)


def _leak(at: int, group: Sequence[int], examples: Sequence[Example], part_of: Parts) -> Leak:
    return Leak(examples[at].line, tuple(examples[other].line for other in group if part_of[other] != "test"))


def _lengths(examples: Sequence[Example]) -> Lengths:
    """Modified z-scores of log lengths (Iglewicz and Hoaglin 1993, "How to Detect and Handle Outliers"): from the median, in
    median absolute deviations over 0.6745. Where more than half of the lengths are equal nothing can be told, and none is."""
    characters = np.array([len(example.case.text) for example in examples])
    logs = np.log(characters)
    middle = float(np.median(logs))
    reach = FAR * float(np.median(np.abs(logs - middle))) / 0.6745 or math.inf
    low = max(math.ceil(math.exp(middle - reach)), 1)
    high = int(characters.max()) if math.isinf(reach) else math.floor(math.exp(middle + reach))
    odd = [
        Outlier(example.line, int(length))
        for example, length in zip(examples, characters, strict=True)
        if not low <= length <= high
    ]
    return Lengths(round(math.exp(middle)), low, high, tuple(sorted(odd, key=lambda each: each.characters)))


def _advice(cases: int, fields: Sequence[Field], rare: Sequence[Rare]) -> Iterator[str]:
    if cases < ENOUGH:
        each = [f"{ENOUGH // len(field.labels):,} to {AMPLE // len(field.labels):,} for each {field.name}" for field in fields]
        about = f", about {' and '.join(each)}" if each else ""
        yield f"collect {ENOUGH} to {AMPLE:,} good examples{about}; there are {cases:,}"
    if rare:
        more = sum(FEW - len(found.lines) for found in rare)
        yield f"give every label at least {FEW} examples: {len(rare):,} have fewer, {more:,} more will do"
