"""What a piece of text means under a schema, and where in a text a value stands."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rung.models.values import day_first, open_values, parse_number

DATE = open_values({"type": ["string", "null"], "format": "date"})
NUMBER = open_values({"type": ["number", "null"]})
TEXT = open_values({"type": "string"})
MONEY = open_values({"enum": ["EUR", "USD", None], "synonyms": {"EUR": ["\u20ac", "euro"], "USD": ["$", "US$", "dollars"]}})
ORDER = open_values({"type": "string", "pattern": "^LF[0-9]{6}$"})
EMAIL = open_values({"type": "string", "format": "email"})


def found(values: Any, text: str, value: Any) -> list[str]:
    return [text[start:end] for start, end in values.find(text, value)]


WRITTEN = """
2025-11-03 | 2025/11/3 | 20251103 | 03/11/2025 | 3.11.25 | 03-11-2025 | 03.11.2025, | 2025-11-03T09:14:00Z | 3 / 11 / 2025
3 .11. 2025 | 3.11.'25 | 3/11 2025 | 03 11 2025 | 03.11.2025 09:14 | 3/11/25 at 9:14 pm | 3 Nov 2025 | 3rd of November, 2025
Nov. 3, 2025 | November 3rd 2025 | Nov 3, '25 | 3-Nov-25 | 03NOV2025 | Monday, 3 November 2025 | Datum: 3. November 2025
le 3 novembre 2025 | 3 de noviembre de 2025 | 3 de novembro de 2025 | 3 listopada 2025 | den 3 november 2025 | 2025-Nov-03
3. marraskuuta 2025 | 2025. november 3. | 3 noiembrie 2025 | 3. listopadu 2025 | 3 novembre 2025 | 3.Nov.2025 | 3 Nov. 25
3 Nov 2025 09:14 CET | 2025-11-03 (Mon) | dnia 3 listopada 2025 r. | Mon, 03 Nov 2025 09:14:00 +0100 | (03.11.2025)
"""


@pytest.mark.parametrize("written", re.split(r" \| |\n", WRITTEN.strip()))
def test_a_date_is_read_as_it_is_written(written: str) -> None:
    assert DATE.read(written) == "2025-11-03"


NO_DATES = """
today | in 3 days | 12 | November | Nov 2025 | 31/02/2025 | 32.1.2025 | 2025-13-01 | 3.11. | 1.2.3.4 | 12:30 | 250,00 | 99999999
3/11/2025 to 5/11/2025 | 3 Foo 2025 | 0/0/2025 | 3 jui 2025
"""


@pytest.mark.parametrize("written", ["", *re.split(r" \| |\n", NO_DATES.strip())])
def test_what_names_no_day_is_no_date(written: str) -> None:
    assert DATE.read(written) is None


def test_the_order_of_day_and_month_is_asked_for_only_where_it_is_open() -> None:
    assert [DATE.read("03/11/2025", first) for first in (True, False)] == ["2025-11-03", "2025-03-11"]
    assert {DATE.read(written, first) for written in ("25/11/2025", "11/25/2025") for first in (True, False)} == {"2025-11-25"}


def test_the_clear_dates_speak_for_the_others() -> None:
    said = [
        day_first(text)
        for text in ("31/12/2025, 03/11/2025", "of 12/31/2025", "03/11/2025", "31/12/25 12/31/25", "31 Dec 2025", "")
    ]
    assert said == [True, False, None, None, None, None]


@given(
    day=st.dates(date(1970, 1, 1), date(2069, 12, 31)),
    style=st.sampled_from(
        [
            "%d/%m/%Y",
            "%m/%d/%Y",
            "%Y-%m-%d",
            "%Y%m%d",
            "%d.%m.%y",
            "%d . %m . %Y",
            "%d %B %Y",
            "%B %d, %Y",
            "%b %d %Y",
            "%d-%b-%y",
        ]
    ),
    around=st.sampled_from([("", ""), ("Date: ", " 10:15"), ("a\n", "\nb"), ("|", "|"), ("7 ", " 12,00")]),
)
def test_a_printed_date_is_found_and_read_back(day: date, style: str, around: tuple[str, str]) -> None:
    text = day.strftime(style).join(around)
    spans = DATE.find(text, day.isoformat())
    assert len(spans) == 1
    assert DATE.read(text[slice(*spans[0])], style != "%m/%d/%Y") == day.isoformat()


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("\u20ac1,249.00", 1249),
        ("1.249,00 EUR", 1249),
        ("CHF 1'250.-", 1250),
        ("12,-", 12),
        ("US$ 5", 5),
        ("kr 99,50", 99.5),
        ("-720:-", -720),
        ("49,90 z\u0142", 49.9),
        ("3 x", 3),
        ("61.50-", -61.5),
        ("-\u00a361.50", -61.5),
        ("\u00a3-61.50", -61.5),
        ("(61.50)", -61.5),
        ("(\u00a361.50)", -61.5),
        ("- 61.50", -61.5),
        ("EUR -61,50", -61.5),
        ("-61.50-", None),
        ("(61.50", None),
        ("61.50 CR", None),
        ("20 %", None),
        ("20%", None),
        ("LF204981", None),
        ("12/7", None),
        ("twelve", 12),
        ("two hundred and fifty", 250),
        ("zw\u00f6lf", 12),
        ("douze", 12),
        ("zweihundertf\u00fcnfzig Euro", 250),
        ("doscientos cincuenta", 250),
        ("nothing", None),
        ("o", None),
    ],
)
def test_an_amount_is_read_with_its_currency_and_sign(written: str, value: float | None) -> None:
    assert NUMBER.read(written) == value


def test_a_whole_number_is_an_int_and_an_integer_is_whole() -> None:
    assert isinstance(NUMBER.read("87.00"), int) and isinstance(NUMBER.read("87.50"), float)
    assert [open_values({"type": "integer"}).read(text) for text in ("87.00", "87.50")] == [87, None]


@pytest.mark.parametrize(
    ("text", "value", "spans"),
    [
        ("a -\u00a361.50 b", -61.5, ["-\u00a361.50"]),
        ("61.50- b", -61.5, ["61.50-"]),
        ("x (61.50)", -61.5, ["(61.50)"]),
        ("-61.50", 61.5, []),
        ("1874, 87/12, A-87-3, 87:30, 87 %, 5.87, Y87", 87, []),
        ("87 87,00 qty:87 x87 87x \u20ac87\n87", 87, ["87", "87,00"] + ["87"] * 5),
        ("- 64 x calendars", 64, ["64"]),
        ("1 249,00", 249, ["249,00"]),
        ("1 249,00 249", 249, ["249"]),
        ("2 100.00", 2, ["2"]),
        ("3 Nov 2025", 3, []),
        ("4 LED 60 W, 2 Mar 12V", 4, ["4"]),
        ("pay two hundred and fifty, now", 250, ["two hundred and fifty"]),
        ("1,624 kg", 1.624, ["1,624"]),
        ("6.502 kg at 7.11", 6.502, ["6.502"]),
        ("6.502 kg at 7,11", 6502, ["6.502"]),
        ("6,502 kg at 7.11", 6502, ["6,502"]),
        *(
            (f"6.502 kg {said}", 6502, ["6.502"])
            for said in ("of 24.07.2025", "of 24.07.25", "v1.2.3", "at 192.168.0.10", "\u00a7 5.2")
        ),
        ("7 440,00   1 800,00", 7440, ["7 440,00"]),
        ("87", True, []),
        ("87", "87", []),
    ],
)
def test_a_number_is_found_where_it_is_no_part_of_something_else(text: str, value: Any, spans: list[str]) -> None:
    assert found(NUMBER, text, value) == spans


@given(
    cents=st.integers(-(10**9), 10**9),
    style=st.sampled_from([(",", "."), (".", ","), (" ", ","), (" ", "."), ("\u00a0", ","), ("'", "."), ("", "."), ("", ",")]),
    minus=st.sampled_from(["-{}", "{}-", "({})", "-\u00a3{}", "\u2212{}"]),
    around=st.sampled_from(
        [("", ""), ("Total: ", " EUR"), ("7 x ", " VAT 20%"), ("\u20ac", "\n12"), ("3.11.2025  ", "  03/11/25"), ("|", "|")]
    ),
)
def test_a_printed_number_is_found_and_read_back(cents: int, style: tuple[str, str], minus: str, around: tuple[str, str]) -> None:
    value = cents / 100
    assume(abs(value) > 20)  # the texts around have small numbers
    assume(not (minus.startswith("{}") or minus.startswith("(")) or around[0] != "\u20ac")
    printed = f"{abs(value):,.2f}".replace(".", "d").replace(",", style[0]).replace("d", style[1])
    text = (printed if value > 0 else minus.format(printed)).join(around)
    spans = NUMBER.find(text, value)
    assert len(spans) == 1
    assert NUMBER.read(text[slice(*spans[0])]) == parse_number(text[slice(*spans[0])]) == value


def test_a_choice_is_read_and_found_by_all_its_names() -> None:
    assert [MONEY.read(text) for text in ("eur", "\u20ac 12", "US$", "12EURO", "dollars")] == ["EUR", "EUR", "USD", "EUR", "USD"]
    assert [MONEY.read(text) for text in ("", "\u20ac or $", "EUROPE", "none")] == [None] * 4
    assert found(MONEY, "US$5, \u20ac6, 7euro, eurobond, $8", "USD") == ["US$", "$"]
    assert MONEY.find("nothing: None", None) == []


def test_a_choice_may_be_a_number_or_a_truth() -> None:
    choice = open_values({"enum": [1, True, "A4"]})
    assert [choice.read(text) for text in ("1", "TRUE", "a4", "a42", "11")] == [1, True, "A4", None, None]
    assert found(choice, "1 true", 1) == ["1"]


def test_a_synonym_of_two_values_is_refused() -> None:
    with pytest.raises(ValueError, match="'kr' stands for two values: 'SEK' and 'DKK'"):
        open_values({"enum": ["SEK", "DKK"], "synonyms": {"SEK": ["kr"], "DKK": ["kr"]}})


def test_an_identifier_is_found_however_it_is_spaced() -> None:
    assert found(ORDER, "LF204981, lf 204-981, XLF204981, LF2049811, (LF.204981)", "LF204981") == [
        "LF204981",
        "lf 204-981",
        "LF.204981",
    ]
    assert ORDER.read("(LF 204-981):") == "LF204981"


def test_an_e_mail_address_is_read_and_found_in_lower_case() -> None:
    assert EMAIL.read("Mail: <Ada@Example.COM>.") == "ada@example.com"
    assert EMAIL.read("a@b.de, c@d.de") is None
    assert found(EMAIL, "Ada@Example.COM or xada@example.com", "ada@example.com") == ["Ada@Example.COM"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (" Supplier\n  AG : ", "Supplier AG"),
        ("| Key cut |", "Key cut"),
        ("Coffee ......", "Coffee"),
        ("- Hedge trimming -", "Hedge trimming"),
        ("WHITLOCK, INC.", "WHITLOCK, INC."),
        ("Imkerei e.V.", "Imkerei e.V."),
        ("No. 42.", "No. 42"),
        ("Pens (12)", "Pens (12)"),
        ("(A4)", "A4"),
        ("Brick \u201cRed\u201d", "Brick \u201cRed\u201d"),
        ('"Red"', "Red"),
        ("Paper)", "Paper"),
        ("#77", "#77"),
        ("-5 \u00b0C", "-5 \u00b0C"),
        ("...", None),
        (" | ", None),
        ("", None),
    ],
)
def test_a_text_is_read_without_what_is_around_it(written: str, value: str | None) -> None:
    assert TEXT.read(written) == value


def test_a_text_is_found_as_it_stands_or_else_nearly_so() -> None:
    assert found(TEXT, "Key cut, KEY CUT, key\ncut, Key  cut", "Key cut") == ["Key cut", "Key  cut"]
    assert found(TEXT, "KEY CUT, keycut", "Key cut") == ["KEY CUT", "keycut"]
    assert found(TEXT, "xKey cutter", "Key cut") == ["Key cut"]
    assert found(TEXT, "8 and 8,50 and 18 and 1.8 and 8/12", "8") == ["8"]
    assert TEXT.find("abc", "") == TEXT.find("abc", 3) == TEXT.find("abcd", "bc") == []


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_a_text_that_was_read_is_found_again(text: str) -> None:
    value = TEXT.read(text)
    assert value is None or TEXT.find(text, value)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (DATE, r"\d{4}-\d\d-\d\d"),
        (NUMBER, r"-?[0-9.e+]+"),
        (MONEY, "EUR|USD"),
        (ORDER, "LF[0-9]{6}"),
        (EMAIL, ".+@.+"),
        (TEXT, "(?s).+"),
    ],
)
@given(text=st.text(alphabet="0123456789.,:/-() \u20acx%aNov'", max_size=30))
def test_whatever_is_read_is_of_its_kind(values: Any, kind: str, text: str) -> None:
    value = values.read(text)
    assert value is None or re.fullmatch(kind, str(value))


HOSTILE = [
    "1" * 100_000,
    "1 " * 20_000,
    "1 234 " * 4_000,
    "1." * 50_000,
    "-" * 100_000,
    "(" * 100_000,
    "a" * 100_000,
    "a " * 50_000,
]
HOSTILE += [
    "one and " * 12_000,
    "3 Nov " * 16_000,
    "1/1/" * 25_000,
    " " * 100_000,
    "." * 99_999 + "x",
    "L-" * 50_000,
    "ab@" * 33_000,
]
HOSTILE += ["\u20ac-" * 50_000, "Nov 3, " * 14_000, "\ud800" * 100_000, "a" + " " * 99_999 + "b", "two " * 150 + "\n"]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_text_is_read_and_searched_to_its_end(text: str) -> None:
    for values, value in [
        (DATE, "2025-11-03"),
        (NUMBER, -61.5),
        (MONEY, "EUR"),
        (ORDER, "LF204981"),
        (EMAIL, "a@b.de"),
        (TEXT, "a a b"),
    ]:
        values.read(text)
        values.find(text, value)
    day_first(text)  # a pattern that backtracks would hang here for hours
