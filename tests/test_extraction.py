"""What spans mean: tagged words in, values of learnt fields out. The tags are made by hand; nothing is trained."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.models.copying import Found
from rung.models.encoder import STATES, WIDTH, Words
from rung.models.extraction import LEAST, OPENING, Extraction, Extractor, Habits, kinds_of
from rung.models.tagger import (
    BUCKETS,
    GAPS,
    INPUTS,
    PLACES,
    Network,
    Span,
    Tagged,
    Tagger,
    best_path,
    describe,
    gaps,
    score,
    wordings,
)
from rung.workload import Field

TEXT = {"type": ["string", "null"], "fill": "copy"}
NUMBER = {"type": ["number", "null"]}
DATE = {"type": ["string", "null"], "format": "date"}
LINES = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"item": {"type": "string"}, "quantity": NUMBER, "amount": {"type": "number"}},
        "required": ["item", "quantity", "amount"],
    },
}


def field(schema: Mapping[str, Any], name: str = "f") -> Field:
    return Field(name, "copy", schema)


def words_of(text: str) -> Words:
    """Runs of letters or digits, and single marks, as the encoder splits them; their states are empty."""
    found = [match.span() for match in re.finditer(r"[^\W_]+|[^\s]", text[:16_384])]
    places = np.array(found, np.int32).reshape(-1, 2)
    return Words(places[:, 0], places[:, 1], np.zeros((len(found), STATES), np.float16))


def tagged(text: str, extraction: Extraction, *marks: tuple[str, str, float]) -> Tagged:
    """`marks` are (property or "", what stands there, probability), in the order in which they stand; ^ opens an object."""
    words = words_of(text)
    inside = {kind: np.full(len(words.starts), 0.01, np.float32) for kind in kinds_of([extraction])}
    spans: list[Span] = []
    last = 0
    for name, printed, probability in marks:
        start = text.index(printed, last)
        last = start + len(printed)
        kind = f"{extraction.name}.{name.replace('^', OPENING)}" if name else extraction.name
        inside[kind][(words.starts < last) & (words.ends > start)] = probability
        if probability > 0.5:
            spans.append(Span(kind, start, last, probability))
    return Tagged(tuple(spans), words, inside)


def read(
    schema: Mapping[str, Any], text: str, *marks: tuple[str, str, float], month_first: bool = False, least: float = LEAST
) -> Found:
    extraction = Extraction(field(schema))
    found = tagged(text, extraction, *marks)
    habits = Habits({}, np.zeros((1, WIDTH), np.float32), np.array([month_first]))
    return extraction.fill(text, found, habits.day_first(text, found.words), least)


def test_of_several_values_the_likeliest_is_chosen_and_the_lead_is_told() -> None:
    text = "Net 100.00, tax 20.00, total 120.00"
    found = read(NUMBER, text, ("", "100.00", 0.4), ("", "20.00", 0.1), ("", "120.00", 0.9))
    assert found.value == 120
    close = read(NUMBER, text, ("", "100.00", 0.8), ("", "120.00", 0.9))
    assert close.value == 120 and 0 < close.signals["lead"] < found.signals["lead"]


def test_a_value_printed_twice_counts_by_its_likeliest_mention() -> None:
    assert read(NUMBER, "7 of 9, yes 7", ("", "7", 0.1), ("", "9", 0.6), ("", "7", 0.8)).value == 7


def test_below_the_bar_there_is_none() -> None:
    text = "Total 120.00"
    assert read(NUMBER, text, ("", "120.00", 0.25)).value is None
    assert read(NUMBER, text, ("", "120.00", 0.25), least=0.2).value == 120
    assert read(NUMBER, text, ("", "120.00", 0.55), least=0.6).value is None
    unsure, sure = (read(NUMBER, text, ("", "120.00", share)).signals for share in (0.25, 0.02))
    assert unsure["sure"] < sure["sure"]


def test_none_is_not_sure_where_something_stands_that_could_not_be_read() -> None:
    unread = read(DATE, "on 2O25-11-O3", ("", "2O25-11-O3", 0.99))
    empty = read(DATE, "on nothing", ("", "nothing", 0.01))
    assert unread.value is None and unread.signals["sure"] < 0 < empty.signals["sure"]


def test_where_nothing_fits_the_type_there_is_none() -> None:
    assert read(NUMBER, "Total: see below", ("", "see below", 0.99)).value is None
    assert read(DATE, "on 31.02.2025", ("", "31.02.2025", 0.99)).value is None


@pytest.mark.parametrize("marked", ["1", "249", "1,249", "00", "1,249.00"])
def test_a_number_is_read_whole_where_the_tagger_stops_short(marked: str) -> None:
    amounts = {"type": "array", "items": {"type": "number"}}
    assert read(amounts, "Pay 1,249.00 now", ("", marked, 0.9)).value == [1249]


def test_a_single_number_is_judged_by_all_its_words() -> None:
    assert read(NUMBER, "Pay 1,249.00 now", ("", "1,249", 0.9)).value == 1249
    assert read(NUMBER, "Pay 1,249.00 now", ("", "1", 0.9)).value is None


def test_text_is_read_as_tagged_or_as_its_likely_words() -> None:
    assert read(TEXT, "From: Mill &\nSons Ltd.", ("", "Mill &\nSons Ltd", 0.9)).value == "Mill & Sons Ltd"
    assert read(TEXT, "From: Mill Sons today", ("", "Mill", 0.45), ("", "Sons", 0.4)).value == "Mill Sons"


def test_an_enum_is_read_by_its_synonyms() -> None:
    schema = {"enum": ["EUR", "USD", None], "fill": "copy", "synonyms": {"EUR": ["€", "euro"], "USD": ["$"]}}
    assert read(schema, "12 € or $ 14", ("", "€", 0.2), ("", "$", 0.9)).value == "USD"
    assert read(schema, "in Euro", ("", "Euro", 0.9)).value == "EUR"
    assert read(schema, "no mark").value is None


def test_lists_keep_the_order_of_the_text_and_no_value_twice() -> None:
    schema = {"type": "array", "items": {"type": "string"}}
    found = read(schema, "red, blue, red, mauve", ("", "red", 0.9), ("", "blue", 0.8), ("", "red", 0.9), ("", "mauve", 0.4))
    assert found.value == ["red", "blue"]
    assert found.signals["none_missed"] < read(schema, "red", ("", "red", 0.9)).signals["none_missed"]
    nothing = read(schema, "no colours here")
    assert nothing.value == [] and nothing.signals["sure"] > 0


def test_what_cannot_be_read_is_left_out_of_a_list_and_told() -> None:
    found = read(
        {"type": "array", "items": {"type": "integer"}}, "2 or some or 2.5", ("", "2", 0.9), ("", "some", 0.9), ("", "2.5", 0.9)
    )
    assert found.value == [2] and found.signals["read"] == -2


def test_a_new_object_begins_with_what_opens_one_and_where_a_property_is_taken() -> None:
    text = "2 Bolts 5.00\nOil 7.50\nfine, 3 l\n4 Nuts 9.00 1 Nail 0.10"
    marks = [("quantity^", "2"), ("item", "Bolts"), ("amount", "5.00"), ("item", "Oil"), ("amount", "7.50"), ("quantity^", "4")]
    marks += [("item", "Nuts"), ("amount", "9.00"), ("quantity", "1"), ("item", "Nail"), ("amount", "0.10")]
    found = read(LINES, text, *((*mark, 0.9) for mark in marks))
    assert found.value == [
        {"item": "Bolts", "quantity": 2, "amount": 5},
        {"item": "Oil", "quantity": None, "amount": 7.5},
        {"item": "Nuts", "quantity": 4, "amount": 9},
        {"item": "Nail", "quantity": 1, "amount": 0.1},
    ]
    assert found.signals["whole"] == 0


def test_a_quantity_below_an_item_is_not_the_next_ones() -> None:
    till = "TEA 4.00\n 2 @ 2.00\nMILK 1.55\n"
    marks = [
        ("item^", "TEA", 0.9),
        ("amount", "4.00", 0.9),
        ("quantity", "2", 0.9),
        ("item^", "MILK", 0.9),
        ("amount", "1.55", 0.9),
    ]
    assert [row["quantity"] for row in read(LINES, till, *marks).value] == [2, None]
    above = "3 x 0.50\nTEA 1.50\nMILK 1.55\n"
    marks = [
        ("quantity^", "3", 0.9),
        ("item", "TEA", 0.9),
        ("amount", "1.50", 0.9),
        ("item^", "MILK", 0.9),
        ("amount", "1.55", 0.9),
    ]
    assert [row["quantity"] for row in read(LINES, above, *marks).value] == [3, None]


def test_an_object_may_go_over_lines_and_one_that_lacks_something_says_so() -> None:
    found = read(LINES, "Oil\nfine\n7.50\nNails", ("item", "Oil", 0.9), ("amount", "7.50", 0.9), ("item", "Nails", 0.9))
    assert [row["item"] for row in found.value] == ["Oil", "Nails"]
    assert found.value[1]["amount"] is None and found.signals["whole"] == -1


def test_a_number_that_the_tagger_cuts_in_two_makes_no_second_object() -> None:
    found = read(LINES, "Oil 7.50", ("item", "Oil", 0.9), ("amount", "7", 0.9), ("amount", "50", 0.9))
    assert found.value == [{"item": "Oil", "quantity": None, "amount": 7.5}]


def test_columns_that_only_a_space_parts_are_read_as_the_tagger_parts_them() -> None:
    found = read(LINES, "Book 40 132.00", ("item^", "Book", 0.9), ("quantity", "40", 0.9), ("amount", "132.00", 0.9))
    assert found.value == [{"item": "Book", "quantity": 40, "amount": 132}]
    found = read(LINES, "Kabel 1 213,60", ("item^", "Kabel", 0.9), ("quantity", "1", 0.9), ("amount", "213,60", 0.9))
    assert found.value == [{"item": "Kabel", "quantity": 1, "amount": 213.6}]
    found = read(LINES, "Kabel 1 213,60", ("item^", "Kabel", 0.9), ("amount", "1 213", 0.9))
    assert found.value == [{"item": "Kabel", "quantity": None, "amount": 1213.6}]


@pytest.mark.parametrize(
    ("schema", "text", "tagged", "value"),
    [
        (NUMBER, "credit - 64.00", "64.00", -64),
        (NUMBER, "-EUR 61.50", "61.50", -61.5),
        (NUMBER, "( 61.50)", "61.50", -61.5),
        (NUMBER, "at 7.11 is 2 100.500 kg", "100.500", 100.5),
        (DATE, "of 3 Nov 2025", "Nov 2025", "2025-11-03"),
        ({"enum": ["purchase order", "invoice"]}, "a purchase order", "purchase", "purchase order"),
    ],
)
def test_what_is_tagged_in_part_is_read_whole(schema: dict[str, Any], text: str, tagged: str, value: object) -> None:
    assert read({"type": "array", "items": schema}, text, ("", tagged, 0.9)).value == [value]


def test_a_property_that_an_object_may_lack_and_that_is_never_null_is_left_out() -> None:
    properties = {"item": {"type": "string"}, "amount": {"type": "number"}}
    schema = {"type": "array", "items": {"type": "object", "properties": properties, "required": ["item"]}}
    assert read(schema, "Oil\nNails 2.00", ("item", "Oil", 0.9)).value == [{"item": "Oil"}]


def test_the_texts_own_dates_say_how_the_others_are_read_and_else_the_habit_does() -> None:
    due, november, march = ("", "03/11/2025", 0.9), "2025-11-03", "2025-03-11"
    for month_first in (False, True):
        assert read(DATE, "due 03/11/2025, sent 25/10/2025", due, month_first=month_first).value == november
        assert read(DATE, "due 03/11/2025, sent 10/25/2025", due, month_first=month_first).value == march
        assert read(DATE, "due 03/11/2025", due, month_first=month_first).value == (march if month_first else november)


@given(st.lists(st.tuples(st.sampled_from(["Bolt", "Oil", "Mill Lane"]), st.integers(1, 999)), max_size=8))
def test_lines_that_are_tagged_right_come_back(rows: list[tuple[str, int]]) -> None:
    text = "Order\n" + "\n".join(f"{item} {amount}.00" for item, amount in rows)
    marks = [mark for item, amount in rows for mark in (("item", item, 0.9), ("amount", f"{amount}.00", 0.9))]
    found = read(LINES, text, *marks)
    assert found.value == [{"item": item, "quantity": None, "amount": amount} for item, amount in rows]


HOSTILE = [
    "",
    "\x00",
    "\ud800 1 \udfff",
    "1 " * 12_000,
    "1" * 24_000,
    "1/1/1 " * 4_000,
    "€" * 24_000,
    "a@b.cc " * 4_000,
    "((((-" * 6_000,
    "\n" * 24_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:6]))
@pytest.mark.parametrize("schema", [TEXT, NUMBER, DATE, LINES], ids=["text", "number", "date", "lines"])
def test_hostile_text_with_every_word_tagged_is_read(schema: Mapping[str, Any], text: str) -> None:
    extraction, words = Extraction(field(schema)), words_of(text)
    kinds = kinds_of([extraction])
    places = list(zip(words.starts.tolist(), words.ends.tolist(), strict=True))
    spans = tuple(Span(kinds[at % len(kinds)], *place, 0.9) for at, place in enumerate(places))
    inside = {kind: np.full(len(places), 0.9, np.float32) for kind in kinds}
    found = extraction.fill(text, Tagged(spans, words, inside))
    assert all(np.isfinite(value) for value in found.signals.values())


def network(kinds: Sequence[str]) -> Network:
    """One that says the same of every word."""
    tags = 1 + 2 * len(kinds)
    shapes = [(STATES,), (STATES,), (INPUTS, 4), (4,), (PLACES * BUCKETS, 4), (4, tags), (tags,), (GAPS, tags + 1, tags)]
    return Network(*(np.ones(shape, np.float32) for shape in shapes))


def test_texts_without_words_and_no_texts_at_all_are_filled() -> None:
    extractions = [Extraction(field(NUMBER)), Extraction(field(LINES, "lines"))]
    kinds = kinds_of(extractions)
    extractor = Extractor(Tagger(kinds, network(kinds)), extractions, Habits())
    assert extractor.fill_all([], []) == []
    (found,) = extractor.fill_all(["\x00"], [words_of("")])
    assert (found["f"].value, found["lines"].value) == (None, [])


def test_a_tagger_of_other_fields_or_with_other_weights_is_refused() -> None:
    extractions = [Extraction(field(NUMBER))]
    with pytest.raises(ValueError, match="not that of the workload's fields"):
        Extractor(Tagger(("other",), network(("other",))), extractions, Habits())
    with pytest.raises(ValueError, match="do not fit its kinds"):
        Tagger(("f", "g"), network(("f",)))


def test_the_best_path_is_the_best_of_all() -> None:
    draw = np.random.default_rng(0)
    for words in range(1, 5):
        scores, moves = draw.normal(size=(words, 3)).astype(np.float32), draw.normal(size=(GAPS, 4, 3)).astype(np.float32)
        before = draw.integers(0, GAPS, words)

        def worth(path: tuple[int, ...], scores: Any = scores, moves: Any = moves, before: Any = before) -> float:
            steps = enumerate(zip(before, (3, *path[:-1]), path, strict=True))
            return float(sum(scores[at, tag] + moves[gap, last, tag] for at, (gap, last, tag) in steps))

        every = list(np.ndindex(*(3,) * words))
        assert worth(tuple(best_path(scores, moves, before).tolist())) == pytest.approx(max(map(worth, every)), abs=1e-5)


def test_a_word_follows_on_what_it_touches_on_a_space_or_on_a_new_line() -> None:
    text = "No. 12-4\n\n of 3"
    words = words_of(text)
    read = [text[start:end] for start, end in zip(words.starts, words.ends, strict=True)]
    assert dict(zip(read, gaps(text, words).tolist(), strict=True)) == {"No": 2, ".": 0, "12": 1, "-": 0, "4": 0, "of": 2, "3": 1}


def test_a_tagger_scores_words_as_its_network_does_what_describes_them() -> None:
    draw = np.random.default_rng(0)
    shapes = {
        "mean": STATES,
        "scale": STATES,
        "inner": (INPUTS, 8),
        "inner_bias": 8,
        "wording": (PLACES * BUCKETS, 8),
        "outer": (8, 3),
        "outer_bias": 3,
        "moves": (GAPS, 4, 3),
    }
    network = Network(**{name: draw.normal(0.5, 0.1, shape).astype(np.float32) for name, shape in shapes.items()})
    texts = ["one line of seven words: six", "", "\n item  7\n\n   total 12.50\nx\nfar to the right of it all, 8\n", "word"]
    words = [words_of(text) for text in texts]
    words = [Words(one.starts, one.ends, draw.normal(0, 1, one.states.shape).astype(np.float16)) for one in words]
    tagger = Tagger(["f"], network)
    together, alone = (
        tagger.score_all(texts, words),
        [tagger.score_all([text], [one])[0] for text, one in zip(texts, words, strict=True)],
    )
    for text, one, *found in zip(texts, words, together, alone, strict=True):
        expected = score(network, describe(text, one, network.mean, network.scale), wordings(text, one))
        assert all(np.allclose(scores, expected, atol=1e-3) for scores in found)
