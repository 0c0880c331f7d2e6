"""Turns gold values of copy fields into what extracts them, and into the answers of one that has not seen each case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rung.core import Fields, same
from rung.models.copying import Found
from rung.models.encoder import Words
from rung.models.extraction import Extraction, Extractor, Habits, kinds_of
from rung.models.tagger import Array, Tagged
from rung.models.values import day_first
from rung.training.alignment import Alignment, Mention, Place, align
from rung.training.tagging import EPOCHS, IGNORED, Sheet, Tags, train_tagger

FOLDS = 3
DRAFT_EPOCHS = 2  # enough to tell a total from a line's amount, too few to learn by heart what was marked wrongly
BARS = (0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05)
ALSO = np.log(5)  # a further mention counts as one if it is at most five times less probable than the best
NOT = np.log(100)  # and as none if it is a hundred times less


@dataclass(frozen=True, slots=True)
class Copies:
    """The extractor; what was found in each training case by one that had not seen it; and the values that stand nowhere in
    their texts, or not beside the rest of their object, as (case, kind, value)."""

    extractor: Extractor
    rehearsal: list[dict[str, Found]]
    lost: list[tuple[int, str, Any]]


@dataclass(frozen=True, slots=True)
class Page:
    """A text, its words, what is expected of it, and the places that gold gives for values, by field."""

    text: str
    words: Words
    expected: Fields
    spans: Mapping[str, Sequence[Place]]


def train_copies(
    pages: Sequence[Page], extractions: Sequence[Extraction], progress: Callable[[int], None] = lambda words: None
) -> Copies:
    """Align, settle what is ambiguous with a draft, train, and rehearse in `FOLDS` folds. Deterministic."""
    kinds = kinds_of(extractions)
    aligned = [align(page.text[: int(page.words.ends.max(initial=0))], page.expected, extractions, page.spans) for page in pages]
    sheets = _settle(pages, aligned, extractions, progress)
    month_first = _month_first(pages, aligned, extractions)
    folds = np.random.default_rng(0).permutation(len(pages)) % FOLDS
    tagged: dict[int, Tagged] = {}
    for fold in range(FOLDS):
        tagger = train_tagger([sheets[at] for at in np.flatnonzero(folds != fold).tolist()], kinds, progress=progress)
        out: list[int] = np.flatnonzero(folds == fold).tolist()
        found = tagger.tag_all([pages[at].text for at in out], [pages[at].words for at in out])
        tagged |= zip(out, found, strict=True)
    rehearsed = [tagged[at] for at in range(len(pages))]
    habits = Habits(month_first, _least(pages, rehearsed, extractions, month_first))
    rehearsal = [
        {extraction.name: extraction.fill(page.text, one, habits) for extraction in extractions}
        for page, one in zip(pages, rehearsed, strict=True)
    ]
    lost = [(at, kind, value) for at, one in enumerate(aligned) for kind, value in one.lost]
    return Copies(Extractor(train_tagger(sheets, kinds, progress=progress), extractions, habits), rehearsal, lost)


def _least(
    pages: Sequence[Page], tagged: Sequence[Tagged], extractions: Sequence[Extraction], month_first: bool
) -> dict[str, float]:
    """For each field with one value, the bar at which most rehearsed answers are right; the higher one of equals."""
    chosen: dict[str, float] = {}
    for extraction in extractions:
        if extraction.many:
            continue
        rights: list[int] = []
        for least in BARS:
            habits = Habits(month_first, {extraction.name: least})
            found = [extraction.fill(page.text, one, habits).value for page, one in zip(pages, tagged, strict=True)]
            rights.append(sum(same(value, page.expected[extraction.name]) for value, page in zip(found, pages, strict=True)))
        chosen[extraction.name] = BARS[int(np.argmax(rights))]
    return chosen


def passes(words: int) -> int:
    """How many words the training goes over in all, for a progress bar."""
    return words * (DRAFT_EPOCHS + EPOCHS * FOLDS)


def _settle(
    pages: Sequence[Page], aligned: Sequence[Alignment], extractions: Sequence[Extraction], progress: Callable[[int], None]
) -> list[Sheet]:
    kinds = kinds_of(extractions)
    places = [[_words(page.words, mention) for mention in one.mentions] for page, one in zip(pages, aligned, strict=True)]
    one_each = {leaf.kind for extraction in extractions if extraction.objects for leaf in extraction.leaves}
    draft = [
        Sheet(page.text, page.words, _drafted(len(page.words.starts), one.mentions, where, kinds, one_each))
        for page, one, where in zip(pages, aligned, places, strict=True)
    ]
    if not any((sheet.tags == IGNORED).any() for sheet in draft):
        return draft
    tagger = train_tagger(draft, kinds, DRAFT_EPOCHS, progress)
    scores = tagger.score_all([page.text for page in pages], [page.words for page in pages])
    return [
        Sheet(page.text, page.words, _settled(likely, one.mentions, where, kinds, one_each))
        for page, likely, one, where in zip(pages, scores, aligned, places, strict=True)
    ]


def _words(words: Words, mention: Mention) -> NDArray[np.intp]:
    return np.flatnonzero((words.starts < mention.end) & (words.ends > mention.start))


def _drafted(
    count: int, mentions: Sequence[Mention], places: Sequence[NDArray[np.intp]], kinds: Sequence[str], one_each: set[str]
) -> Tags:
    """The tags of what is certain; open are words that may be two values, and an object's value that has several mentions."""
    tags = np.zeros(count, np.int64)
    rivals = Counter(mention.value for mention in mentions)
    for mention, where in zip(mentions, places, strict=True):
        if not len(where):
            continue
        open_still = mention.kind in one_each and rivals[mention.value] > 1
        if open_still or tags[where].any():
            tags[where] = IGNORED
        else:
            _mark(tags, where, kinds.index(mention.kind))
    return tags


def _settled(
    scores: Array, mentions: Sequence[Mention], places: Sequence[NDArray[np.intp]], kinds: Sequence[str], one_each: set[str]
) -> Tags:
    """Mentions from the most to the least probable by the draft: each takes words that are still free."""
    likely: list[float] = []
    for mention, where in zip(mentions, places, strict=True):
        begin = 1 + 2 * kinds.index(mention.kind)
        own = [scores[where[0], begin], *scores[where[1:], begin + 1]] if len(where) else [-np.inf]
        likely.append(float(np.mean(own)))
    tags = np.zeros(len(scores), np.int64)
    best: dict[int, float] = {}
    for at in sorted(range(len(mentions)), key=lambda at: -likely[at]):
        mention, where = mentions[at], places[at]
        if not len(where) or tags[where].any():
            continue
        behind = best.setdefault(mention.value, likely[at]) - likely[at]
        if behind == 0 or (behind <= ALSO and mention.kind not in one_each):
            _mark(tags, where, kinds.index(mention.kind))
        elif behind < NOT and mention.kind not in one_each:
            tags[where] = IGNORED
    return tags


def _mark(tags: Tags, where: NDArray[np.intp], kind: int) -> None:
    tags[where] = 2 + 2 * kind
    tags[where[0]] = 1 + 2 * kind


def _month_first(pages: Sequence[Page], aligned: Sequence[Alignment], extractions: Sequence[Extraction]) -> bool:
    """Whether gold reads most dates like 03/11 month first, of those in texts that do not tell by themselves."""
    leaves = {leaf.kind: leaf.values for extraction in extractions for leaf in extraction.leaves}
    months = days = 0
    for page, one in zip(pages, aligned, strict=True):
        if day_first(page.text) is not None:
            continue
        for mention in one.mentions:
            printed = page.text[mention.start : mention.end]
            by_day, by_month = (leaves[mention.kind].read(printed, first) for first in (True, False))
            if by_day != by_month:
                expected = _expected(page.expected, mention.kind)
                months += by_month in expected
                days += by_day in expected
    return months > days


def _expected(expected: Fields, kind: str) -> list[Any]:
    """Every value gold gives for a kind."""
    name, _, leaf = kind.partition(".")
    value = expected[name]
    rows = cast("list[Any]", value if isinstance(value, list) else [value])
    return [row.get(leaf) if leaf else row for row in rows]
