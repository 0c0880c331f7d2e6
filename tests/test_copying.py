"""What copy fields take from texts as people write them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.models.copying import open_copier
from rung.models.values import parse_number
from rung.workload import Field
from rung.workload.patterns import patterns_of

AMOUNT = [r"(?i)(?:£|€|\$|\b(?:EUR|USD))\s?([0-9][0-9.,]*[0-9]|[0-9])", r"(?i)\b([0-9][0-9.,]*[0-9]|[0-9])\s?(?:£|€|euros?\b)"]
ORDER = {"type": ["string", "null"], "pattern": "^LF[0-9]{6}$", "find": [r"(?i)\bLF[ -]?[0-9]{3}[ .-]?[0-9]{3}\b"]}


def taken(text: str, **schema: Any) -> Any:
    return open_copier(Field("field", "copy", schema, find=patterns_of(schema)))(text).value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("I paid €1,249.00 for it", 1249.0),
        ("1.299,00 € is too much", 1299.0),
        ("it cost 49,90 euros", 49.9),
        ("USD 15.", 15.0),
        ("$3", 3.0),
        ("$0.125 a page", 0.125),
        ("first £20, then £30", 20.0),
        ("30 euros, no: € 20", 30.0),
        ("$1.2.3 is no number, $5 is", 5.0),
        ("no amount, 1999 was a year", None),
        ("", None),
    ],
)
def test_an_amount_is_the_first_that_stands_in_the_text(text: str, value: float | None) -> None:
    assert taken(text, type=["number", "null"], find=AMOUNT) == value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1,249", 1249),
        ("1.249", 1249),
        ("1 249,5", 1249.5),
        ("1'249.50", 1249.5),
        ("1\u2019249\u2019000", 1249000),
        ("1\u00a0249\u202f000", None),
        ("1\u202f249,00", 1249),
        ("12,34,567.89", 1234567.89),
        ("1249.", 1249),
        ("49.-", 49),
        ("0,5", 0.5),
        ("0.500", 0.5),
        ("12.5000", 12.5),
        ("-12.50", -12.5),
        ("\u221212", -12),
        ("+12", 12),
        ("007", 7),
        (" 12 ", 12),
        ("12.03.2026", None),
        ("192.168.0.1", None),
        ("1,23,4", None),
        ("12 34", None),
        ("1,249,00", None),
        ("\u0663", None),
        ("9" * 400, None),
        ("", None),
        (".", None),
        ("-", None),
        ("1e5", None),
        ("nan", None),
    ],
)
def test_a_number_is_read_as_it_is_written(written: str, value: float | None) -> None:
    assert parse_number(written) == value


@given(
    value=st.integers(0, 10**12).map(lambda cents: cents / 100),
    style=st.sampled_from(
        [(",", "."), (".", ","), (" ", ","), ("\u00a0", ","), ("\u202f", ","), ("'", "."), ("\u2019", "."), ("", ".")]
    ),
    places=st.sampled_from([0, 2]),
)
def test_a_number_formatted_in_any_locale_parses_back(value: float, style: tuple[str, str], places: int) -> None:
    group, decimal = style
    formatted = f"{value:,.{places}f}".replace(".", "d").replace(",", group).replace("d", decimal)
    assert parse_number(formatted) == float(f"{value:.{places}f}")


@given(st.text(alphabet="0123456789.,' -+\u2212e", max_size=12))
def test_whatever_looks_like_a_number_is_one_or_none(text: str) -> None:
    value = parse_number(text)
    assert value is None or abs(value) < 1e12


@pytest.mark.parametrize("written", ["LF204981", "lf204981", "LF 204981", "LF-204981", "lf-204.981", "LF 204 981", "(LF204-981)"])
def test_an_order_number_is_written_the_one_right_way(written: str) -> None:
    assert taken(f"where is {written}?", **ORDER) == "LF204981"


@pytest.mark.parametrize("text", ["LF20498", "LF2049811", "XLF204981", "204981", ""])
def test_what_is_no_order_number_is_not_one(text: str) -> None:
    assert taken(text, **ORDER) is None


def test_of_several_order_numbers_the_first_counts_and_rivals_are_a_signal() -> None:
    copy = open_copier(Field("order", "copy", ORDER, find=patterns_of(ORDER)))
    one, two, same = copy("LF111111"), copy("not LF222222 but LF111111"), copy("LF111111, I said lf 111-111")
    assert (one.value, two.value, same.value) == ("LF111111", "LF222222", "LF111111")
    assert one.signals["rivals"] == same.signals["rivals"] == 0 < two.signals["rivals"]
    assert (one.signals["found"], copy("none").signals["found"]) == (1, 0)


def test_a_pattern_alone_finds_whole_words_and_may_have_groups() -> None:
    schema = {"type": "string", "pattern": "^(AB|CD)-?[0-9]{4}$"}
    assert taken("of AB-1234, CD5678", **schema) == "AB-1234"
    assert taken("XAB1234 AB12345 CD5678.", **schema) == "CD5678"
    assert taken("order #77,#78", type="string", pattern="^#[0-9]{2}$") == "#77"


def test_an_integer_is_a_whole_number() -> None:
    schema = {"type": "integer", "find": [r"[0-9][0-9.,]*[0-9]|[0-9]"]}
    assert taken("1.5 or 2", **schema) == 2
    assert taken("1.5", **schema) is None


def test_an_e_mail_address_is_found_and_folded() -> None:
    schema = {"type": ["string", "null"], "format": "email"}
    assert taken("write to <Ada.Weiss+x@Mail.Example.COM>.", **schema) == "ada.weiss+x@mail.example.com"
    assert taken("@home or a@b", **schema) is None


def test_an_empty_match_is_no_value() -> None:
    assert taken("abc", type="string", find=["x*"]) is None
    assert taken("abc", type="string", find=["(x*)b"]) == "b"


@pytest.mark.parametrize("text", ["\ud800 LF204981", "\x00LF204981", "😡LF204981😡", "ñ LF204981"])
def test_strange_characters_do_not_hide_a_value(text: str) -> None:
    assert taken(text, **ORDER) == "LF204981"


def test_a_hostile_text_is_read_in_no_time() -> None:
    started = time.monotonic()
    assert taken("a" * 50_000 + "!", type="string", find=["(a+)+$", "(a|aa)+$"]) is None
    assert taken("1," * 50_000, type="number", find=[r"[0-9][0-9.,]*"]) is None
    assert time.monotonic() - started < 2
