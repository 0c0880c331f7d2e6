"""Turns tagged spans into the values of copy fields: scalars, lists, and lists of objects. Knows nothing about training."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import takewhile
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rung.models.calibration import logit
from rung.models.copying import Found
from rung.models.encoder import WIDTH, Words
from rung.models.tagger import Array, Span, Tagged, Tagger
from rung.models.values import Span as Place
from rung.models.values import Values, day_first, open_values
from rung.workload import Field
from rung.workload.patterns import types_of

LEAST = 0.3  # where gold has not shown better
OPENING = " opens"  # no JSON Schema is likely to have a property so named beside the other
NEAREST = 3  # gold texts that say how another reads its dates


@dataclass(frozen=True, slots=True)
class Habits:
    """What gold shows about reading pages. `least`: by field, the mean probability of a value's words below which there is none.
    How 03/11 is read where a text does not tell: as in the gold texts that are most like it. `alike` [n, WIDTH] are theirs as
    `liken` gives them, and `month_first` [n] says which of them have the month first; of none it is the day."""

    least: Mapping[str, float] = dataclasses.field(default_factory=dict[str, float])
    alike: Array = dataclasses.field(default_factory=lambda: np.zeros((0, WIDTH), np.float32))
    month_first: NDArray[np.bool_] = dataclasses.field(default_factory=lambda: np.zeros(0, np.bool_))

    def day_first(self, text: str, words: Words) -> bool:
        """Whether the text's numeric dates have the day first."""
        told = day_first(text[: _end(words)])
        if told is not None or not len(self.month_first):
            return told is not False
        nearest = np.argsort(-(self.alike @ liken(words)), kind="stable")[:NEAREST]
        votes = self.month_first[nearest[: len(nearest) - 1 + len(nearest) % 2]]  # an odd number: no tie
        return 2 * int(votes.sum()) < len(votes)


def liken(words: Words) -> Array:
    """A text's mean last state, of length one [WIDTH]: one sender's pages are much alike."""
    total = words.states[:, -WIDTH:].sum(axis=0, dtype=np.float32)
    return total / max(float(np.linalg.norm(total)), 1e-6)


def _end(words: Words) -> int:
    """Where what was read of a text ends."""
    return int(words.ends.max(initial=0))


@dataclass(frozen=True, slots=True)
class Leaf:
    """One kind of span: of a field, or of the property `name` of the objects in its list. `required`: it is never null;
    `optional`: then an object may be without it. `opening` is the kind of those spans that an object begins with."""

    kind: str
    opening: str | None
    name: str
    values: Values
    required: bool
    optional: bool

    @property
    def kinds(self) -> tuple[str, ...]:
        """All kinds of its spans."""
        return (self.kind,) if self.opening is None else (self.kind, self.opening)


class Extraction:
    """What the spans of one learnt field mean. `many`: it is a list; `leaves` with a dot in their kind: of objects."""

    def __init__(self, field: Field) -> None:
        """Raises ValueError where the field's schema asks for what spans cannot give."""
        schema = field.schema
        self.name = field.name
        self.many = "array" in types_of(schema)
        item: Mapping[str, Any] = schema.get("items", {}) if self.many else schema
        self.objects = "object" in types_of(item)
        properties: Mapping[str, Mapping[str, Any]] = item.get("properties", {}) if self.objects else {"": item}
        self.leaves = tuple(
            Leaf(
                f"{field.name}.{name}" if name else field.name,
                f"{field.name}.{name}{OPENING}" if name else None,
                name,
                open_values(one),
                required := "null" not in types_of(one) and None not in one.get("enum", ()),
                required and name not in item.get("required", ()),
            )
            for name, one in properties.items()
        )

    def fill(self, text: str, tagged: Tagged, first: bool = True, least: float = LEAST) -> Found:
        """The field's value in a text, whose numeric dates have the day `first`, and what speaks for it; none where it is less
        probable than `least`. Of a text that was not read whole nothing is known for certain: its signals are no numbers, and no
        calibration trusts those."""
        found = self._fill(text[: _end(tagged.words)], tagged, first, least)
        return found if tagged.words.whole else Found(found.value, dict.fromkeys(found.signals, nan))

    def _fill(self, text: str, tagged: Tagged, first: bool, least: float) -> Found:
        if not self.many:
            highest = float(tagged.inside[self.name].max(initial=0.0))
            return self._single(_candidates(text, tagged, self.leaves[0], first, least), least, highest)
        read = sorted(
            (pair for leaf in self.leaves for pair in _meant(text, tagged.spans, leaf, first)), key=lambda pair: pair[0].start
        )
        known = [(span, value) for span, value in read if value is not None]
        value = self._objects(known) if self.objects else _distinct([value for _, value in known])
        gaps = sum(leaf.required and row.get(leaf.name) is None for row in value for leaf in self.leaves) if self.objects else 0
        missed = logit(max(_missed(tagged, leaf) for leaf in self.leaves))
        weakest = min((logit(span.probability) for span, _ in known), default=0.0)
        sure = min(weakest, -missed) if known else -missed
        unread = float(len(read) - len(known))
        return Found(value, {"sure": sure, "weakest": weakest, "none_missed": -missed, "read": -unread, "whole": -float(gaps)})

    def _single(self, candidates: Mapping[str, tuple[float, Any]], least: float, highest: float) -> Found:
        """The likeliest value, or none if it is likelier that there is none: which is doubtful where a word, as `highest` says,
        belongs to one all the same and could not be read."""
        ranked = sorted(candidates.values(), key=lambda pair: -pair[0])
        likely = [logit(probability) for probability, _ in ranked[:2]] + [logit(0.0)] * 2
        if not ranked or ranked[0][0] < least:
            return Found(None, {"sure": -logit(highest), "lead": 0.0})
        return Found(ranked[0][1], {"sure": likely[0], "lead": likely[0] - likely[1]})

    def _objects(self, known: Sequence[tuple[Span, Any]]) -> list[dict[str, Any]]:
        """The spans in reading order, dealt to objects: a new one begins with a span that opens one, or where its property is
        taken already."""
        names = {kind: leaf.name for leaf in self.leaves for kind in leaf.kinds}
        opening = {leaf.opening for leaf in self.leaves}
        rows: list[dict[str, Any]] = []
        for span, value in known:
            name = names[span.kind]
            if not rows or name in rows[-1] or span.kind in opening:
                rows.append({})
            rows[-1][name] = value
        return [{leaf.name: row.get(leaf.name) for leaf in self.leaves if leaf.name in row or not leaf.optional} for row in rows]


class Extractor:
    """Fills every learnt field of a text from its words."""

    def __init__(self, tagger: Tagger, extractions: Sequence[Extraction], habits: Habits) -> None:
        """Raises ValueError for another field's tagger."""
        if tagger.kinds != kinds_of(extractions):
            raise ValueError("the tagger is not that of the workload's fields")
        self.tagger = tagger
        self.habits = habits
        self._extractions = tuple(extractions)

    def fill_all(self, texts: Sequence[str], words: Sequence[Words]) -> list[dict[str, Found]]:
        """By field, what was found in each text."""
        found: list[dict[str, Found]] = []
        for text, tagged in zip(texts, self.tagger.tag_all(texts, words), strict=True):
            first = self.habits.day_first(text, tagged.words)
            least = self.habits.least
            found.append({one.name: one.fill(text, tagged, first, least.get(one.name, LEAST)) for one in self._extractions})
        return found


def kinds_of(extractions: Sequence[Extraction]) -> tuple[str, ...]:
    """The kinds of span that fill the fields."""
    return tuple(kind for extraction in extractions for leaf in extraction.leaves for kind in leaf.kinds)


def learnt(field: Field) -> bool:
    """Whether a field's spans are learnt from gold: it is copied and no pattern says how."""
    return field.fill == "copy" and not field.find


def _candidates(text: str, tagged: Tagged, leaf: Leaf, first: bool, least: float) -> dict[str, tuple[float, Any]]:
    """Every value the text may give for a leaf, with the mean probability of its likeliest mention's words."""
    inside, words = tagged.inside[leaf.kind], tagged.words
    mentions = leaf.values.mentions(text, first)
    if mentions is None:
        places = [(span.start, span.end) for span in tagged.spans if span.kind == leaf.kind]
        places = places or _likely_run(words, inside, least / 2)
        mentions = [(place, leaf.values.read(text[slice(*place)], first)) for place in places]
    found: dict[str, tuple[float, Any]] = {}
    for (start, end), value in mentions:
        at = _covered(words, start, end)
        if value is None or at.start >= at.stop:
            continue
        probability, key = float(inside[at].mean()), json.dumps(value)
        if key not in found or probability > found[key][0]:
            found[key] = probability, value
    return found


def _covered(words: Words, start: int, end: int) -> slice:
    """The words that have characters in [start, end)."""
    return slice(int(np.searchsorted(words.ends, start, "right")), int(np.searchsorted(words.starts, end, "left")))


def _likely_run(words: Words, inside: Array, least: float) -> list[Place]:
    """The run of neighbouring words around the likeliest one, where no best sequence of tags has a span."""
    if not len(inside):
        return []
    top = int(inside.argmax())
    first = last = top
    while first > 0 and inside[first - 1] >= least:
        first -= 1
    while last + 1 < len(inside) and inside[last + 1] >= least:
        last += 1
    return [(int(words.starts[first]), int(words.ends[last]))]


def _meant(text: str, spans: Sequence[Span], leaf: Leaf, first: bool) -> Iterator[tuple[Span, Any]]:
    """Each of the leaf's spans with the value of the mention that it covers most of, or None: a tagger may stop short of a
    number's last digits, or begin again within it. Where a span ends at a space within a mention, as at the one between the
    columns of `40 132.00`, the tagger is believed. One walk over both: a hostile text has tens of thousands of either."""
    mentions = leaf.values.mentions(text, first)
    at, last = 0, (-1, -1)
    for span in spans:
        if span.kind not in leaf.kinds:
            continue
        if mentions is None:
            yield span, leaf.values.read(text[span.start : span.end], first)
            continue
        while at < len(mentions) and mentions[at][0][1] <= span.start:
            at += 1
        reached = takewhile(lambda place, end=span.end: mentions[place][0][0] < end, range(at, len(mentions)))
        near = [mentions[place] for place in reached]
        place, value = max(near, key=lambda mention: _shared(mention[0], span), default=((0, 0), None))
        if _shared(place, span)[0] <= 0:
            yield span, None
            continue
        if isinstance(value, int | float) and (cut := _cut(text, place, span)) != place:
            place, value = cut, dict(near).get(cut, leaf.values.read(text[slice(*cut)], first))
        if place != last:
            yield span, value
            last = place


def _shared(mention: Place, span: Span) -> tuple[int, int]:
    """How many characters a mention and a span have in common, and how many the mention has."""
    start, end = mention
    return min(end, span.end) - max(start, span.start), end - start


def _cut(text: str, mention: Place, span: Span) -> Place:
    """The mention without the digits that a space within it parts from the span."""
    start, end = mention
    before, after = text[start : span.start], text[span.end : end]
    return (
        span.start if before[-1:].isspace() and any(map(str.isdigit, before)) else start,
        span.end if after[:1].isspace() and any(map(str.isdigit, after)) else end,
    )


def _missed(tagged: Tagged, leaf: Leaf) -> float:
    """The highest probability that a word outside every span belongs to one of the leaf's."""
    inside = reduce(np.add, [tagged.inside[kind] for kind in leaf.kinds]).copy()
    for span in tagged.spans:
        inside[_covered(tagged.words, span.start, span.end)] = 0
    return float(inside.max(initial=0.0))


def _distinct(values: Sequence[Any]) -> list[Any]:
    return list({json.dumps(value): value for value in values}.values())
