"""What the patterns must not let out, what they must leave alone, and what comes back."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.cascade.redaction import Redacting, redact, restore
from rung.core import Answer, Case, Problem
from rung.testing import FakeModel

KINDS = ("email", "phone", "card", "iban")
CARD = "4111 1111 1111 1111"
IBAN = "GB82 WEST 1234 5698 7654 32"

# Texts that are likely to run into what is planted between them.
around = st.one_of(st.text(max_size=30), st.text(alphabet="0123456789 -+().aB@[]_", max_size=30))


def luhn_digit(digits: str) -> str:
    total = sum(int(d) if at % 2 else sum(divmod(2 * int(d), 10)) for at, d in enumerate(reversed(digits)))
    return str(-total % 10)


def grouped(text: str, cuts: list[int], separator: str) -> str:
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(text)}), len(text)]
    return separator.join(text[a:b] for a, b in pairwise(edges))


@st.composite
def cards(draw: st.DrawFn) -> str:
    digits = draw(st.text(alphabet="0123456789", min_size=12, max_size=18))
    return grouped(digits + luhn_digit(digits), draw(st.lists(st.integers(1, 18), max_size=6)), draw(st.sampled_from(" -")))


@st.composite
def ibans(draw: st.DrawFn) -> str:
    country = draw(st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=2))
    bank = draw(st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", max_size=4))
    account = bank + draw(st.text(alphabet="0123456789", min_size=11, max_size=26))
    check = 98 - int("".join(str(int(character, 36)) for character in f"{account}{country}00")) % 97
    iban = f"{country}{check:02}{account}"
    return draw(st.sampled_from([iban, iban.lower(), grouped(iban, list(range(4, 34, 4)), " ")]))


@given(around, st.one_of(st.emails(), cards(), ibans()), around)
def test_nothing_of_a_planted_value_survives(before: str, value: str, after: str) -> None:
    masked = redact(f"{before} {value} {after}", KINDS)
    assert value not in masked.text
    assert any(value in original for original in masked.found.values())


@given(st.lists(st.one_of(around, st.emails(), cards(), ibans()), max_size=6))
def test_restoring_a_redacted_text_gives_the_text_back(parts: list[str]) -> None:
    text = " ".join(parts)
    masked = redact(text, KINDS)
    assert restore({"copied": masked.text}, masked.found) == {"copied": text}


@given(st.lists(st.one_of(around, st.emails(), cards(), ibans()), max_size=6), st.sets(st.sampled_from(KINDS)))
def test_redacting_twice_is_redacting_once(parts: list[str], kinds: set[str]) -> None:
    once = redact(" ".join(parts), kinds).text
    assert redact(once, kinds).text == once


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to jane.doe+shop@mail.example.org.", "write to [EMAIL_1]."),
        ("jürgen@müller.example and a@b.co", "[EMAIL_1] and [EMAIL_2]"),
        (f"card {CARD} 12/27", "card [CARD_1] 12/27"),
        (f"qty 2 {CARD}", "qty 2 [CARD_1]"),
        ("3782-822463-10005", "[CARD_1]"),
        (f"{IBAN} is mine", "[IBAN_1] is mine"),
        ("iban de89370400440532013000", "iban [IBAN_1]"),
        ("FR14 20041 01005 0500013M026 06", "[IBAN_1]"),
        ("+44 7700 900123", "[PHONE_1]"),
        ("call 07700 900123 or (212) 555-0123 x45", "call [PHONE_1] or [PHONE_2]"),
        ("03.93.92.16.85, 555-0123", "[PHONE_1], [PHONE_2]"),
    ],
)
def test_each_kind_is_found_in_the_forms_people_write(text: str, masked: str) -> None:
    assert redact(text, KINDS).text == masked


@pytest.mark.parametrize(
    "text",
    [
        "order AB123456 has not come, 2 of 12 items",
        "AB12345678 for 1,234,567.89 EUR or 1999.99",
        "4111 1111 1111 1112",  # the check digit is wrong
        "DE88370400440532013000",
        "on 2024-05-12 10:30, 01/02/2024 and 01.02.24 at 10",
        "lat 0.1234567, version 10.0.1, @handle, a@b",
    ],
)
def test_other_numbers_stay(text: str) -> None:
    assert redact(text, KINDS).text == text


def test_the_same_value_has_the_same_placeholder() -> None:
    masked = redact("a@b.co, c@d.co, a@b.co", ("email",))
    assert masked.text == "[EMAIL_1], [EMAIL_2], [EMAIL_1]"
    assert masked.found == {"[EMAIL_1]": "a@b.co", "[EMAIL_2]": "c@d.co"}


def test_a_kind_that_is_not_asked_for_stays() -> None:
    assert redact(f"a@b.co {CARD}", ("card",)).text == "a@b.co [CARD_1]"


def test_what_already_looks_like_a_placeholder_is_never_taken_for_one() -> None:
    text = "[EMAIL_1] and a@b.co and [EMAIL_3]"
    masked = redact(text, KINDS)
    assert masked.text == "[EMAIL_1] and [EMAIL_2] and [EMAIL_3]"
    assert restore({"copied": masked.text}, masked.found) == {"copied": text}


def test_restoring_reaches_every_string_and_leaves_other_values() -> None:
    fields = {"a": ["to [EMAIL_1]", {"b": "[EMAIL_1][EMAIL_9]"}], "n": 3, "none": None, "yes": True}
    restored = restore(fields, {"[EMAIL_1]": "a@b.co"})
    assert restored == {"a": ["to a@b.co", {"b": "a@b.co[EMAIL_9]"}], "n": 3, "none": None, "yes": True}


def test_an_original_that_holds_a_placeholder_is_not_restored_twice() -> None:
    assert restore({"a": "[X_1]"}, {"[X_1]": "[X_2]", "[X_2]": "no"}) == {"a": "[X_2]"}


@pytest.mark.parametrize("unit", ["4 ", "AB12 ", "a@", "a.", "+1", f"{IBAN} {CARD} "])
def test_a_hostile_text_costs_linear_time(unit: str) -> None:
    def seconds(length: int) -> float:
        text = (unit * length)[:length]
        began = time.process_time()
        redact(text, KINDS)
        return time.process_time() - began

    assert seconds(16_000) < 40 * seconds(1_000) + 0.1  # 16 if linear, 256 if quadratic


def test_a_redacting_model_lets_nothing_out_and_answers_with_the_originals() -> None:
    model = FakeModel(lambda case, objections: Answer({"email": case.text.split()[-1], "seen": case.context["from"]}, cost=0.1))
    case = Case(f"{CARD} of a@b.co", {"from": "a@b.co", "a@b.co": [{"iban": IBAN}], "n": 1}, asked_by="c@d.co")
    objections = (Problem("checks.py:known", "a@b.co is not a customer, [EMAIL_1] neither"),)
    answer = asyncio.run(Redacting(model, KINDS).answer(case, objections))
    assert answer == Answer({"email": "a@b.co", "seen": "a@b.co"}, cost=0.1)
    asked, told = model.asked[0]
    assert (asked.text, asked.asked_by, asked.id) == ("[CARD_1] of [EMAIL_2]", "[EMAIL_3]", case.id)
    assert asked.context == {"from": "[EMAIL_2]", "[EMAIL_2]": [{"iban": "[IBAN_1]"}], "n": 1}
    assert told == (Problem("checks.py:known", "[EMAIL_2] is not a customer, [EMAIL_1] neither"),)


def test_closing_a_redacting_model_closes_the_model() -> None:
    model = FakeModel(lambda case, objections: None)
    asyncio.run(Redacting(model, KINDS).close())
    assert model.closed


def test_a_card_number_that_the_context_holds_as_a_number_does_not_leave() -> None:
    seen: list[Case] = []

    def look(case: Case, objections: tuple[Problem, ...]) -> Answer:
        seen.append(case)
        return Answer({"label": "a"})

    case = Case("hello", {"card": 4111111111111111, "age": 41, "vip": True})
    asyncio.run(Redacting(FakeModel(look), ["card"]).answer(case))
    assert "4111111111111111" not in str(seen[0].context) and seen[0].context["age"] == 41 and seen[0].context["vip"] is True
