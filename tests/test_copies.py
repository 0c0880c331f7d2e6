"""Learning what to copy: short orders with the encoder's words in, an extractor and rehearsed answers out."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from rung.core import same
from rung.models.encoder import Encoder, Words
from rung.models.extraction import OPENING, Extraction, kinds_of
from rung.models.tagger import Tagged, Tagger
from rung.training import copies as copies_module
from rung.training import tagging
from rung.training.copies import Copies, Page, mark, passes, train_copies
from rung.workload import Field

FIELDS = [
    Field("place", "copy", {"type": ["string", "null"], "fill": "copy"}),
    Field("day", "copy", {"type": ["string", "null"], "format": "date"}),
    Field(
        "goods",
        "copy",
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"item": {"type": "string"}, "quantity": {"type": "integer"}},
                "required": ["item", "quantity"],
            },
        },
    ),
]
EXTRACTIONS = [Extraction(field) for field in FIELDS]
STREETS = ["Mill Lane", "Elm Road", "Station Street", "Harbour View", "Church Hill", "Old Market", "King's Way", "Oak Drive"]
GOODS = ["boxes", "lamps", "chairs", "rugs", "tables", "mirrors", "shelves", "candles"]
MONTHS = ["January", "March", "April", "May", "July", "August", "October", "December"]


def order(random_: random.Random) -> tuple[str, dict[str, Any]]:
    """A message and what it orders."""
    goods = [{"item": item, "quantity": random_.randrange(2, 90)} for item in random_.sample(GOODS, random_.randrange(1, 4))]
    street = f"{random_.randrange(1, 99)} {random_.choice(STREETS)}" if random_.random() < 0.8 else None
    day, month, year = random_.randrange(1, 29), random_.randrange(8), random_.randrange(2024, 2027)
    listed = ", ".join(f"{row['quantity']} {row['item']}" for row in goods)
    where = f" to {street}" if street else ""
    begin = random_.choice(["Please send", "We need", "Hello, can you bring", "Kindly deliver"])
    end = random_.choice(["Thanks", "Regards, Ada", "Call 555 if in doubt", ""])
    number = [1, 3, 4, 5, 7, 8, 10, 12][month]
    text = f"{begin} {listed}{where} by {day} {MONTHS[month]} {year}. {end}"
    return text, {"place": street, "day": f"{year}-{number:02}-{day:02}", "goods": goods}


def read_pages(encoder: Encoder, orders: Sequence[tuple[str, dict[str, Any]]]) -> list[Page]:
    words = encoder.read([text for text, _ in orders])[1]
    return [Page(text, found, expected, {}) for (text, expected), found in zip(orders, words, strict=True)]


def orders(cases: int, seed: int = 0) -> list[tuple[str, dict[str, Any]]]:
    random_ = random.Random(seed)
    return [order(random_) for _ in range(cases)]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """On a busy machine a second thread for products as small as these waits longer than it works."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def pages(minilm: Encoder) -> list[Page]:
    return read_pages(minilm, orders(80))


@pytest.fixture(scope="module")
def trained(pages: list[Page]) -> Copies:
    return train_copies(pages, EXTRACTIONS)


def share_right(found: Mapping[int, Any], pages: Sequence[Page], name: str) -> float:
    return float(np.mean([same(one[name].value, page.expected[name]) for one, page in zip(found.values(), pages, strict=True)]))


def test_most_rehearsed_values_are_right(trained: Copies, pages: list[Page]) -> None:
    shares = {field.name: share_right(trained.rehearsal, pages, field.name) for field in FIELDS}
    assert min(shares.values()) > 0.85, shares
    assert trained.lost == []


def test_what_was_learnt_holds_for_new_texts(trained: Copies, minilm: Encoder) -> None:
    new = read_pages(minilm, orders(40, seed=9))
    found = trained.extractor.fill_all([page.text for page in new], [page.words for page in new])
    shares = {field.name: share_right(dict(enumerate(found)), new, field.name) for field in FIELDS}
    assert min(shares.values()) > 0.85, shares


def test_training_twice_gives_the_same_tensors_and_answers(pages: list[Page]) -> None:
    one, two = (train_copies(pages[:12], EXTRACTIONS) for _ in range(2))
    tensors = [each.extractor.tagger.network.tensors() for each in (one, two)]
    assert all(np.array_equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    assert one.rehearsal == two.rehearsal and one.extractor.habits.least == two.extractor.habits.least


def test_progress_covers_every_pass(pages: list[Page]) -> None:
    seen: list[int] = []
    some = pages[:9]
    train_copies(some, EXTRACTIONS, seen.append)
    assert 0 < sum(seen) <= passes([page.words for page in some])


def test_a_rehearsed_answer_comes_from_a_tagger_that_had_not_seen_the_case(
    pages: list[Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Watching(Tagger):
        taught: frozenset[str]

        def tag_all(self, texts: Sequence[str], words: Sequence[Words]) -> list[Tagged]:
            assert self.taught.isdisjoint(texts)
            asked.extend(texts)
            return super().tag_all(texts, words)

    def watch(sheets: Sequence[tagging.Sheet], kinds: Sequence[str], *more: Any, **others: Any) -> Tagger:
        tagger = Watching(kinds, tagging.train_tagger(sheets, kinds, *more, **others).network)
        tagger.taught = frozenset(sheet.text for sheet in sheets)
        return tagger

    asked: list[str] = []
    monkeypatch.setattr(copies_module, "train_tagger", watch)
    train_copies(pages[:12], EXTRACTIONS)
    assert sorted(asked) == sorted(page.text for page in pages[:12])


def test_values_that_stand_nowhere_are_told_with_their_case(pages: list[Page]) -> None:
    wrong = [Page(page.text, page.words, {**page.expected, "place": "Atlantis"}, {}) for page in pages[:1]]
    assert train_copies([*pages[1:9], *wrong], EXTRACTIONS).lost == [(8, "place", "Atlantis")]


def test_places_that_gold_gives_are_learnt(minilm: Encoder) -> None:
    # Both numbers are 7; only the given places say that the second one is meant.
    field = Field("size", "copy", {"type": ["string", "null"], "fill": "copy"})
    texts = [
        f"row 7 of {name}, seat 7" for name in ("hall", "arena", "park", "circus", "opera", "cinema", "dome", "ring", "tent")
    ]
    words = minilm.read(texts)[1]
    pages = [
        Page(text, found, {"size": "7"}, {"size": ((len(text) - 1, len(text)),)})
        for text, found in zip(texts, words, strict=True)
    ]
    tagger = train_copies(pages, [Extraction(field)]).extractor.tagger
    for text, found in zip(texts, tagger.tag_all(texts, words), strict=True):
        assert [(span.start, span.end) for span in found.spans] == [(len(text) - 1, len(text))]


@pytest.mark.parametrize("month_first", [False, True])
def test_golds_habit_of_reading_dates_is_learnt(month_first: bool, minilm: Encoder) -> None:
    days = [(day, month) for day in (1, 3, 5) for month in (2, 4, 6)]
    written = [f"{month:02}/{day:02}" if month_first else f"{day:02}/{month:02}" for day, month in days]
    told = [
        (f"deliver on {date}/2025 please", {"day": f"2025-{m:02}-{d:02}"}) for date, (d, m) in zip(written, days, strict=True)
    ]
    trained = train_copies(read_pages(minilm, told), [EXTRACTIONS[1]])
    assert trained.extractor.habits.month_first.tolist() == [month_first]


def test_where_gold_reads_dates_both_ways_a_text_is_read_as_those_most_like_it(minilm: Encoder) -> None:
    days = [(day, month) for day in (1, 3, 5, 7) for month in (2, 4, 6)]
    gold = [(f"Parcel to Ohio, sent on {m:02}/{d:02}/2025, $12", {"day": f"2025-{m:02}-{d:02}"}) for d, m in days]
    gold += [(f"Ihre Rechnung vom {d:02}/{m:02}/2025 aus Ulm, 12 Euro", {"day": f"2025-{m:02}-{d:02}"}) for d, m in days]
    pages = read_pages(minilm, gold)
    trained = train_copies(pages, [EXTRACTIONS[1]])
    assert all(trained.rehearsal[at]["day"].value == page.expected["day"] for at, page in enumerate(pages))
    new = ["Parcel to Iowa, sent on 08/09/2025, $40", "Ihre Rechnung vom 08/09/2025 aus Bonn, 9 Euro"]
    _, words = minilm.read(new)
    found = trained.extractor.fill_all(new, words)
    assert [one["day"].value for one in found] == ["2025-08-09", "2025-09-08"]


def test_dates_in_objects_without_them_are_no_hindrance(minilm: Encoder) -> None:
    properties = {"item": {"type": "string"}, "day": {"type": "string", "format": "date"}}
    schema = {"type": "array", "items": {"type": "object", "properties": properties, "required": ["item"]}}
    rows = [{"item": "lamp", "day": "2025-05-04"}, {"item": "rug"}]
    pages = read_pages(minilm, [("lamp 04/05/2025\nrug", {"goods": rows})] * 4)
    assert len(train_copies(pages, [Extraction(Field("goods", "copy", schema))]).rehearsal) == 4


def test_only_so_many_words_are_learnt_from_however_long_the_texts(pages: list[Page], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(tagging, "MOST_WORDS", 300)
    sheets = [
        tagging.Sheet(page.text, page.words, np.zeros(len(page.words.starts), np.int64)) for page in pages for _ in range(2)
    ]
    short = [sheet for sheet in sheets if len(sheet.tags) < 20]
    long = [sheet for sheet in sheets if len(sheet.tags) >= 20]
    mixed = [sheet for pair in zip(long, short, strict=False) for sheet in pair]  # every second one is long
    tagging.train_tagger(mixed, ["f"], 1, seen.append)
    assert 200 < sum(seen) <= 300


@pytest.mark.parametrize("cases", [1, 2, 3])
def test_a_handful_of_texts_and_some_without_words_can_be_learnt_from(cases: int, pages: list[Page], minilm: Encoder) -> None:
    nothing = read_pages(minilm, [("\x00", {"place": None, "day": None, "goods": []})])
    trained = train_copies([*pages[:cases], *nothing], EXTRACTIONS)
    assert len(trained.rehearsal) == cases + 1
    assert len(train_copies(nothing, EXTRACTIONS).rehearsal) == 1


def test_the_higher_of_equal_bars_is_kept(trained: Copies) -> None:
    assert set(trained.extractor.habits.least) == {"place", "day"}
    assert set(trained.extractor.habits.least.values()) <= set(copies_module.BARS)


def test_equal_values_on_one_line_open_no_others_row(minilm: Encoder) -> None:
    properties = {"item": {"type": "string"}, "count": {"type": "integer"}}
    schema = {"type": "array", "items": {"type": "object", "properties": properties, "required": ["item", "count"]}}
    goods = ["TEA", "MILK", "OIL", "RICE", "SALT", "BREAD"]
    gold = [
        (f"Order: {one} 1 {two} 1 {three} 1", {"lines": [{"item": item, "count": 1} for item in (one, two, three)]})
        for one, two, three in zip(goods, goods[1:], goods[2:], strict=False)
    ]
    extraction = Extraction(Field("lines", "copy", schema))
    kinds = kinds_of([extraction])
    for page, tags in zip(pages := read_pages(minilm, gold), mark(pages, [extraction]).tags, strict=True):
        words = [page.text[start:end] for start, end in zip(page.words.starts, page.words.ends, strict=True)]
        opening = {words[at] for at, tag in enumerate(tags.tolist()) if tag > 0 and kinds[(tag - 1) // 2].endswith(OPENING)}
        assert opening == {row["item"] for row in page.expected["lines"]}
