"""Where the values that gold gives stand in their texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pytest

from rung.models.alignment import Alignment, align
from rung.models.extraction import Extraction
from rung.workload import Field

NUMBER = {"type": ["number", "null"]}
FIELDS: dict[str, Mapping[str, Any]] = {
    "supplier": {"type": ["string", "null"], "fill": "copy"},
    "total": NUMBER,
    "due": {"type": ["string", "null"], "format": "date"},
    "colours": {"type": "array", "items": {"type": "string"}},
    "lines": {
        "type": "array",
        "items": {"type": "object", "properties": {"item": {"type": "string"}, "quantity": NUMBER, "amount": NUMBER}},
    },
}
PLACES = dict[str, list[list[str]]]


def aligned(text: str, spans: Mapping[str, Any] | None = None, **expected: Any) -> Alignment:
    extractions = [Extraction(Field(name, "copy", FIELDS[name])) for name in expected]
    return align(text, expected, extractions, spans or {})


def printed(text: str, found: Alignment) -> PLACES:
    """By kind, for each value, its mentions as `text@start`."""
    values: dict[int, list[str]] = defaultdict(list)
    kinds: dict[int, str] = {}
    for mention in found.mentions:
        values[mention.value].append(f"{text[mention.start : mention.end]}@{mention.start}")
        assert kinds.setdefault(mention.value, mention.kind) == mention.kind  # a number is one value's
    by_kind: PLACES = defaultdict(list)
    for value, mentions in values.items():
        by_kind[kinds[value]].append(mentions)
    return dict(by_kind)


def test_every_mention_of_a_value_is_found() -> None:
    text = "Mill & Co, 12 May 2025. Total £1,200.00, by card 1200 - MILL & CO, 12/05/2025"
    found = aligned(text, supplier="Mill & Co", total=1200, due="2025-05-12")
    assert printed(text, found) == {
        "supplier": [["Mill & Co@0"]],
        "total": [["1,200.00@31", "1200@49"]],
        "due": [["12 May 2025@11", "12/05/2025@67"]],
    }
    assert found.lost == ()


def test_each_value_of_a_list_is_a_value_of_its_own() -> None:
    text = "red, blue and red"
    assert printed(text, aligned(text, colours=["red", "blue"])) == {"colours": [["red@0", "red@14"], ["blue@5"]]}


def test_a_value_that_stands_nowhere_is_told() -> None:
    found = aligned("Total 12.00, Oil 3", supplier="Mill", total=13, colours=["red"], lines=[{"item": "Oil", "amount": 4}])
    assert found.lost == (("supplier", "Mill"), ("total", 13), ("colours", "red"), ("lines.amount", 4))
    assert [mention.kind for mention in found.mentions] == ["lines.item"]


@pytest.mark.parametrize("nothing", [None, []])
def test_null_and_the_empty_list_are_looked_for_nowhere(nothing: Any) -> None:
    assert aligned("Total 12", supplier=None, total=None, due=None, colours=nothing, lines=nothing) == Alignment((), ())


def test_places_that_gold_gives_are_used_and_nothing_is_looked_for() -> None:
    text = "12.00 and 12.00, Mill"
    found = aligned(text, {"total": ((10, 15),)}, total=12, supplier="Mill")
    assert printed(text, found) == {"total": [["12.00@10"]], "supplier": [["Mill@17"]]}


def test_given_places_and_found_values_never_share_a_number() -> None:
    text = "Mill, red, blue, 12.00, due 12 May 2025"
    spans = {"colours": ((6, 9), (11, 15)), "total": ((17, 22),)}
    found = aligned(text, spans, supplier="Mill", colours=["red", "blue"], due="2025-05-12", total=12)
    assert printed(text, found) == {
        "supplier": [["Mill@0"]],
        "colours": [["red@6"], ["blue@11"]],
        "due": [["12 May 2025@28"]],
        "total": [["12.00@17"]],
    }


def test_a_unit_price_that_equals_the_amount_stays_open_and_on_its_line() -> None:
    text = "Bolts 1 9.00 9.00\nOil 1 9.00 9.00\nTotal 18.00"
    found = aligned(text, lines=[{"item": "Bolts", "quantity": 1, "amount": 9}, {"item": "Oil", "quantity": 1, "amount": 9}])
    assert printed(text, found) == {
        "lines.item": [["Bolts@0"], ["Oil@18"]],
        "lines.quantity": [["1@6"], ["1@22"]],
        "lines.amount": [["9.00@8", "9.00@13"], ["9.00@24", "9.00@29"]],
    }


def test_a_quantity_that_stands_everywhere_is_looked_for_beside_its_item() -> None:
    text = "Page 1 of 1\nFloor 1, Mill Lane\n1 x Lamp oil 4.00\n  (1 l tin)\n1 x Nails 2.00\nTotal 6.00, page 1"
    rows = [{"item": "Lamp oil", "quantity": 1, "amount": 4}, {"item": "Nails", "quantity": 1, "amount": 2}]
    where = printed(text, aligned(text, lines=rows))
    assert where["lines.quantity"][0] == ["1@31", "1@52"]
    assert where["lines.quantity"][1][0] == "1@61" and where["lines.amount"] == [["4.00@44"], ["2.00@71"]]


def test_of_two_equal_items_each_has_its_own_line() -> None:
    text = "Lamp 4.00\nLamp 4.00\n"
    where = printed(text, aligned(text, lines=[{"item": "Lamp", "amount": 4}, {"item": "Lamp", "amount": 4}]))
    assert where == {"lines.item": [["Lamp@0"], ["Lamp@10"]], "lines.amount": [["4.00@5"], ["4.00@15"]]}


def test_several_items_on_a_line_have_what_stands_between_their_neighbours() -> None:
    text = "Please send 2 boxes at 5.50, 3 lamps at 4.25 and 7 rugs at 90.10."
    rows = [
        {"item": "boxes", "quantity": 2, "amount": 5.5},
        {"item": "lamps", "quantity": 3, "amount": 4.25},
        {"item": "rugs", "quantity": 7, "amount": 90.1},
    ]
    found = aligned(text, lines=rows)
    assert found.lost == ()
    assert printed(text, found) == {
        "lines.item": [["boxes@14"], ["lamps@31"], ["rugs@51"]],
        "lines.quantity": [["2@12"], ["3@29"], ["7@49"]],
        "lines.amount": [["5.50@23"], ["4.25@40"], ["90.10@59"]],
    }


def test_an_object_without_some_property_and_one_that_is_not_there_are_aligned() -> None:
    text = "Lamp 4.00\nRug 9.00"
    found = aligned(
        text, lines=[{"item": "Lamp"}, {"item": "Sofa", "amount": 70}, {"item": "Rug", "quantity": None, "amount": 9}]
    )
    assert printed(text, found) == {"lines.item": [["Lamp@0"], ["Rug@10"]], "lines.amount": [["9.00@14"]]}
    assert found.lost == (("lines.item", "Sofa"), ("lines.amount", 70))
