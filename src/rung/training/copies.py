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

Lost = tuple[int, str, Any]  # a case, a field or a property, and its value that stands nowhere in the text
Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]  # who rehearses, and who is learnt from for it

FOLDS = 3
DRAFT_EPOCHS = 2  # enough to tell a total from a line's amount, too few to learn by heart what was marked wrongly
BARS = (0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05)
ALSO = np.log(5)  # a further mention counts as one if it is at most five times less probable than the best
NOT = np.log(100)  # and as none if it is a hundred times less


@dataclass(frozen=True, slots=True)
class Copies:
    """The extractor; by case, what was found in it by one that had not seen it; and the values that stand nowhere in their
    texts, or not beside the rest of their object, as (case, kind, value)."""

    extractor: Extractor
    rehearsal: Mapping[int, dict[str, Found]]
    lost: Sequence[Lost]


@dataclass(frozen=True, slots=True)
class Marks:
    """Each page's words' tags, how most dates are read, and what was not found, as `Copies.lost`."""

    tags: list[Tags]
    month_first: bool
    lost: list[Lost]


@dataclass(frozen=True, slots=True)
class Page:
    """A text, its words, what is expected of it, and the places that gold gives for values, by field."""

    text: str
    words: Words
    expected: Fields
    spans: Mapping[str, Sequence[Place]]


def mark(pages: Sequence[Page], extractions: Sequence[Extraction], progress: Callable[[int], None] = lambda words: None) -> Marks:
    """Align the values with the words, and settle what is ambiguous with a draft. Deterministic."""
    aligned = [align(page.text[: int(page.words.ends.max(initial=0))], page.expected, extractions, page.spans) for page in pages]
    tags = [sheet.tags for sheet in _settle(pages, aligned, extractions, progress)]
    lost = [(at, kind, value) for at, one in enumerate(aligned) for kind, value in one.lost]
    return Marks(tags, _month_first(pages, aligned, extractions), lost)


def mark_plainly(pages: Sequence[Page], extractions: Sequence[Extraction]) -> list[Tags | None]:
    """Each page's tags of what is certain by itself, without a draft; None where a value is not found."""
    kinds, found = kinds_of(extractions), list[Tags | None]()
    for page in pages:
        aligned = align(page.text[: int(page.words.ends.max(initial=0))], page.expected, extractions, page.spans)
        places = [_words(page.words, mention) for mention in aligned.mentions]
        tags = _drafted(len(page.words.starts), aligned.mentions, places, kinds, _one_each(extractions))
        found.append(None if aligned.lost else tags)
    return found


def train_copies(
    pages: Sequence[Page],
    extractions: Sequence[Extraction],
    progress: Callable[[int], None] = lambda words: None,
    marks: Marks | None = None,
    held: NDArray[np.bool_] | None = None,
) -> Copies:
    """Mark the pages unless `marks` are given, train, and rehearse: in `FOLDS` folds, or, where the words' states come from an
    encoder that has learnt from the others, with those `held` [pages]. Deterministic."""
    kinds = kinds_of(extractions)
    marks = marks or mark(pages, extractions, progress)
    sheets = [Sheet(page.text, page.words, tags) for page, tags in zip(pages, marks.tags, strict=True)]
    tagged: dict[int, Tagged] = {}
    for fold, others in folds_of(len(pages), FOLDS, held):
        out: list[int] = fold.tolist()
        rest: list[int] = others.tolist()
        tagger = train_tagger([sheets[at] for at in rest], kinds, progress=progress)
        tagged |= zip(out, tagger.tag_all([pages[at].text for at in out], [pages[at].words for at in out]), strict=True)
    rehearsed = [(pages[at], one) for at, one in tagged.items()]
    habits = Habits(marks.month_first, _least(rehearsed, extractions, marks.month_first))
    rehearsal = {
        at: {extraction.name: extraction.fill(pages[at].text, one, habits) for extraction in extractions}
        for at, one in sorted(tagged.items())
    }
    return Copies(Extractor(train_tagger(sheets, kinds, progress=progress), extractions, habits), rehearsal, marks.lost)


def folds_of(count: int, folds: int, held: NDArray[np.bool_] | None) -> Folds:
    """Pairs of the cases that rehearse and those that are learnt from for it: each case rehearses once, or each one `held`."""
    drawn = np.random.default_rng(0).permutation(count) % folds if held is None else np.where(held, 0, -1)
    pairs = [(np.flatnonzero(drawn == fold), np.flatnonzero(drawn != fold)) for fold in range(folds)]
    return [(out, rest) for out, rest in pairs if len(out)]


def _least(rehearsed: Sequence[tuple[Page, Tagged]], extractions: Sequence[Extraction], month_first: bool) -> dict[str, float]:
    """For each field with one value, the bar at which most rehearsed answers are right; the higher one of equals."""
    chosen: dict[str, float] = {}
    for extraction in extractions:
        if extraction.many:
            continue
        rights: list[int] = []
        for least in BARS:
            habits = Habits(month_first, {extraction.name: least})
            found = [(extraction.fill(page.text, one, habits).value, page.expected[extraction.name]) for page, one in rehearsed]
            rights.append(sum(same(value, expected) for value, expected in found))
        chosen[extraction.name] = BARS[int(np.argmax(rights))]
    return chosen


def passes(words: Sequence[Words], held: NDArray[np.bool_] | None = None) -> int:
    """How many words the training goes over at most, for a progress bar."""
    counts = np.array([len(found.starts) for found in words])
    rehearsing = counts.sum() * (FOLDS - 1) if held is None else counts[~held].sum()
    return (DRAFT_EPOCHS + EPOCHS) * int(counts.sum()) + EPOCHS * int(rehearsing)


def _settle(
    pages: Sequence[Page], aligned: Sequence[Alignment], extractions: Sequence[Extraction], progress: Callable[[int], None]
) -> list[Sheet]:
    kinds = kinds_of(extractions)
    places = [[_words(page.words, mention) for mention in one.mentions] for page, one in zip(pages, aligned, strict=True)]
    one_each = _one_each(extractions)
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


def _one_each(extractions: Sequence[Extraction]) -> set[str]:
    """The kinds of which each mention is another object's value."""
    return {leaf.kind for extraction in extractions if extraction.objects for leaf in extraction.leaves}


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
