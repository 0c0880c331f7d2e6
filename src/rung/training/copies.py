"""Turns gold values of copy fields into what extracts them, and into the answers of one that has not seen each case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rung.core import Fields, same
from rung.models.alignment import Alignment, Mention, Place, align
from rung.models.copying import Found
from rung.models.encoder import WIDTH, Words
from rung.models.extraction import LEAST, Extraction, Extractor, Habits, kinds_of, liken
from rung.models.tagger import Array, Tagged
from rung.models.values import Values, day_first
from rung.training.tagging import EPOCHS, IGNORED, Sheet, Tags, train_tagger

Lost = tuple[int, str, Any]  # a case, a field or a property, and its value that stands nowhere in the text
Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]  # who rehearses, and who is learnt from for it

FOLDS = 3
DATE = "03/11/2025"  # what may be in March or in November
MOST_ALIKE = 2_000  # texts that say how others read their dates
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
    """Each page's words' tags, whether its dates have the month first (None where it has none that tells), and what was not
    found, as `Copies.lost`."""

    tags: list[Tags]
    month_first: list[bool | None]
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
    leaves = [leaf for extraction in extractions for leaf in extraction.leaves]
    dated = {leaf.kind: leaf.values for leaf in leaves if leaf.values.read(DATE, True) != leaf.values.read(DATE, False)}
    month_first = [_month_first(page, one, dated) if dated else None for page, one in zip(pages, aligned, strict=True)]
    return Marks(tags, month_first, lost)


def mark_plainly(pages: Sequence[Page], extractions: Sequence[Extraction]) -> list[Tags | None]:
    """Each page's tags of what is certain by itself, without a draft; None where a value is not found."""
    kinds, found = kinds_of(extractions), list[Tags | None]()
    for page in pages:
        aligned = align(page.text[: int(page.words.ends.max(initial=0))], page.expected, extractions, page.spans)
        places = [_words(page.words, mention) for mention in aligned.mentions]
        tags, marked = _drafted(len(page.words.starts), aligned.mentions, places, kinds, _one_each(extractions))
        found.append(None if aligned.lost else _opened(tags, aligned.mentions, places, marked))
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
    first: dict[int, bool] = {}
    alike = np.array([liken(page.words) for page in pages], np.float16)
    for fold, others in folds_of(len(pages), FOLDS, held):
        out: list[int] = fold.tolist()
        rest: list[int] = others.tolist()
        habits = _habits(alike, marks, rest)
        first |= {at: habits.day_first(pages[at].text, pages[at].words) for at in out}
        tagger = train_tagger([sheets[at] for at in rest], kinds, progress=progress)
        tagged |= zip(out, tagger.tag_all([pages[at].text for at in out], [pages[at].words for at in out]), strict=True)

    def fill(extraction: Extraction, at: int, least: float) -> Found:
        return extraction.fill(pages[at].text, tagged[at], first[at], least)

    expected = {at: pages[at].expected for at in sorted(tagged)}
    least = {one.name: _least(one, expected, fill) for one in extractions if not one.many}
    rehearsal = {at: {one.name: fill(one, at, least.get(one.name, LEAST)) for one in extractions} for at in expected}
    habits = replace(_habits(alike, marks, range(len(pages))), least=least)
    return Copies(Extractor(train_tagger(sheets, kinds, progress=progress), extractions, habits), rehearsal, marks.lost)


def _habits(alike: NDArray[np.float16], marks: Marks, some: Sequence[int]) -> Habits:
    """How some of the pages [n, WIDTH] read dates; one is enough where all of them read them alike."""
    telling = [at for at in some if marks.month_first[at] is not None]
    telling = telling[:: len(telling) // MOST_ALIKE + 1]
    orders = np.array([marks.month_first[at] for at in telling], np.bool_)
    if len(orders) and (orders == orders[0]).all():
        telling, orders = telling[:1], orders[:1]
    return Habits({}, alike[telling].astype(np.float32).reshape(-1, WIDTH), orders)


def folds_of(count: int, folds: int, held: NDArray[np.bool_] | None) -> Folds:
    """Pairs of the cases that rehearse and those that are learnt from for it: each case rehearses once, or each one `held`."""
    drawn = np.random.default_rng(0).permutation(count) % folds if held is None else np.where(held, 0, -1)
    pairs = [(np.flatnonzero(drawn == fold), np.flatnonzero(drawn != fold)) for fold in range(folds)]
    return [(out, rest) for out, rest in pairs if len(out)]


def _least(extraction: Extraction, expected: Mapping[int, Fields], fill: Callable[[Extraction, int, float], Found]) -> float:
    """The bar at which most rehearsed answers are right; the higher one of equals."""
    name = extraction.name
    rights = [sum(same(fill(extraction, at, bar).value, fields[name]) for at, fields in expected.items()) for bar in BARS]
    return BARS[int(np.argmax(rights))]


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
    found = [
        _drafted(len(page.words.starts), one.mentions, where, kinds, one_each)
        for page, one, where in zip(pages, aligned, places, strict=True)
    ]
    sheets = [Sheet(page.text, page.words, tags) for page, (tags, _) in zip(pages, found, strict=True)]
    if any((sheet.tags == IGNORED).any() for sheet in sheets):
        tagger = train_tagger(sheets, kinds, DRAFT_EPOCHS, progress)
        scores = tagger.score_all([page.text for page in pages], [page.words for page in pages])
        each = zip(scores, aligned, places, strict=True)
        found = [_settled(likely, one.mentions, where, kinds, one_each) for likely, one, where in each]
    return [
        replace(sheet, tags=_opened(tags, one.mentions, where, marked))
        for sheet, (tags, marked), one, where in zip(sheets, found, aligned, places, strict=True)
    ]


def _one_each(extractions: Sequence[Extraction]) -> set[str]:
    """The kinds of which each mention is another object's value."""
    return {leaf.kind for extraction in extractions if extraction.objects for leaf in extraction.leaves}


def _words(words: Words, mention: Mention) -> NDArray[np.intp]:
    return np.flatnonzero((words.starts < mention.end) & (words.ends > mention.start))


def _drafted(
    count: int, mentions: Sequence[Mention], places: Sequence[NDArray[np.intp]], kinds: Sequence[str], one_each: set[str]
) -> tuple[Tags, list[int]]:
    """The tags of what is certain, and which mentions that are; open are words that may be two values, and an object's value
    that has several mentions."""
    tags = np.zeros(count, np.int64)
    marked: list[int] = []
    rivals = Counter(mention.value for mention in mentions)
    for at, (mention, where) in enumerate(zip(mentions, places, strict=True)):
        if not len(where):
            continue
        open_still = mention.kind in one_each and rivals[mention.value] > 1
        if open_still or tags[where].any():
            tags[where] = IGNORED
        else:
            _mark(tags, where, kinds.index(mention.kind))
            marked.append(at)
    return tags, [at for at in marked if tags[places[at][0]] > 0]


def _settled(
    scores: Array, mentions: Sequence[Mention], places: Sequence[NDArray[np.intp]], kinds: Sequence[str], one_each: set[str]
) -> tuple[Tags, list[int]]:
    """Mentions from the most to the least probable by the draft: each takes words that are still free. The tags, and which
    mentions did."""
    marked: list[int] = []
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
            marked.append(at)
        elif behind < NOT and mention.kind not in one_each:
            tags[where] = IGNORED
    return tags, marked


def _opened(tags: Tags, mentions: Sequence[Mention], places: Sequence[NDArray[np.intp]], marked: Sequence[int]) -> Tags:
    """The tags, those of the mention that each object begins with turned into its leaf's opening kind, the one behind its own."""
    firsts: dict[tuple[str, int], NDArray[np.intp]] = {}
    for at in marked:
        if (row := mentions[at].row) is not None:
            firsts[row] = min(firsts.get(row, places[at]), places[at], key=lambda words: int(words[0]))
    tags = tags.copy()
    for where in firsts.values():
        tags[where] += 2
    return tags


def _mark(tags: Tags, where: NDArray[np.intp], kind: int) -> None:
    tags[where] = 2 + 2 * kind
    tags[where[0]] = 1 + 2 * kind


def _month_first(page: Page, aligned: Alignment, dated: Mapping[str, Values]) -> bool | None:
    """Whether a page's dates like 03/11 have the month first, as it tells by itself or as gold reads those `dated` by kind."""
    if (told := day_first(page.text[: int(page.words.ends.max(initial=0))])) is not None:
        return not told
    months = days = 0
    for mention in aligned.mentions:
        if mention.kind not in dated:
            continue
        printed = page.text[mention.start : mention.end]
        by_day, by_month = (dated[mention.kind].read(printed, first) for first in (True, False))
        if by_day != by_month:
            expected = _expected(page.expected, mention.kind)
            months += by_month in expected
            days += by_day in expected
    return months > days if months != days else None


def _expected(expected: Fields, kind: str) -> list[Any]:
    """Every value gold gives for a kind."""
    name, _, leaf = kind.partition(".")
    value = expected[name]
    rows = cast("list[Any]", value if isinstance(value, list) else [value])
    return [row.get(leaf) if leaf else row for row in rows]
