"""The review page in a real browser: every key, what is marked, what others hold, and what a hostile text must not do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser import findings
from gateway_stage import Stage, staged
from records import accepted, for_review, record
from rung.core import Answer, Attempt
from rung.ledger import Record

TEXT = "Please send my money back for AB1234 ✓, thanks"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path) as stage:
        yield stage


def waiting(stage: Stage, *texts: str, order: str | None = "AB1234", intent: str = "refund") -> list[Record]:
    attempt = Attempt("specialist", Answer({"intent": intent, "order": order}, {"intent": 0.61, "order": 0.98}), (), 0.6, 0.004)
    found: list[Record] = []
    for text in texts:
        found += record(stage.ledger, for_review(attempts=(attempt,)), text=text)
    return found


def opened(tab: Page, stage: Stage, where: str = "") -> Page:
    tab.goto(f"{stage.url}/w/support/review{where}")
    return tab


def said(stage: Stage, one: Record) -> dict[str, object] | None:
    verdict = stage.ledger.verdict(one.decision.id)
    return None if verdict is None else dict(verdict.answer)


def test_a_case_is_settled_by_a_digit_and_enter(stage: Stage, tab: Page) -> None:
    one, two = waiting(stage, TEXT, "a second one")
    opened(tab, stage)
    expect(tab.locator("#text")).to_have_text(TEXT)
    expect(tab.get_by_role("radio", name="refund")).to_have_attribute("aria-checked", "true")
    expect(tab.locator("#text mark")).to_have_text("AB1234")
    assert findings(tab) == []
    tab.keyboard.press("2")
    tab.keyboard.press("Enter")
    expect(tab.locator("#text")).to_have_text("a second one")
    assert said(stage, one) == {"intent": "other", "order": "AB1234"}
    tab.keyboard.press("Enter")
    expect(tab.get_by_text("Nothing waits for you.")).to_be_visible()
    assert findings(tab) == []
    assert stage.ledger.queue.effort("support").timed == 2 and said(stage, two) is not None


def test_a_key_held_down_settles_one_case_only(stage: Stage, tab: Page) -> None:
    cases = waiting(stage, *(f"case {n}" for n in range(4)), order=None)
    opened(tab, stage)
    expect(tab.locator("#text")).to_have_text("case 0")
    for _ in range(6):
        tab.keyboard.down("Enter")
    expect(tab.locator("#text")).to_have_text("case 1")
    tab.keyboard.up("Enter")
    tab.wait_for_timeout(300)
    assert [said(stage, each) is not None for each in cases] == [True, False, False, False]


def test_arrows_move_between_fields_and_a_field_is_typed_into(stage: Stage, tab: Page) -> None:
    (one,) = waiting(stage, TEXT, order=None)
    opened(tab, stage)
    expect(tab.locator(".field.on")).to_have_attribute("data-name", "intent")
    tab.keyboard.press("ArrowDown")
    expect(tab.locator(".field.on")).to_have_attribute("data-name", "order")
    tab.keyboard.press("e")
    tab.keyboard.type("ZZ9999")
    tab.keyboard.press("Escape")
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("2")
    tab.keyboard.press("Enter")
    expect(tab.get_by_text("Nothing waits for you.")).to_be_visible()
    assert said(stage, one) == {"intent": "other", "order": "ZZ9999"}


def test_marked_words_become_the_value(stage: Stage, tab: Page) -> None:
    (one,) = waiting(stage, "no CD5678 but AB1234 it is", order="CD5678")
    opened(tab, stage)
    expect(tab.locator("#text mark")).to_have_text("CD5678")
    tab.locator("#text").evaluate(
        """text => {
            const last = text.lastChild, range = document.createRange();
            range.setStart(last, last.data.indexOf("AB1234")); range.setEnd(last, last.data.indexOf("AB1234") + 6);
            getSelection().removeAllRanges(); getSelection().addRange(range);
            text.dispatchEvent(new MouseEvent("mouseup", { bubbles: true }));
        }"""
    )
    expect(tab.locator("#text mark")).to_have_text("AB1234")
    tab.keyboard.press("Enter")
    expect(tab.get_by_text("Nothing waits for you.")).to_be_visible()
    assert said(stage, one) == {"intent": "refund", "order": "AB1234"}


def test_an_answer_that_does_not_fit_is_explained_and_the_case_stays(stage: Stage, tab: Page) -> None:
    (one,) = waiting(stage, TEXT, order="nonsense")
    opened(tab, stage)
    expect(tab.locator("#text")).to_have_text(TEXT)
    tab.keyboard.press("Enter")
    expect(tab.locator("#problem")).to_contain_text("order")
    expect(tab.locator(".field.on")).to_have_attribute("data-name", "order")
    assert said(stage, one) is None


def test_undo_skip_back_draft_and_discard(stage: Stage, tab: Page) -> None:
    one, two = waiting(stage, "the first", "the second", order=None)
    opened(tab, stage)
    expect(tab.locator("#text")).to_have_text("the first")
    tab.keyboard.press("2")
    tab.keyboard.press("Control+s")
    expect(tab.locator("#said")).to_have_text("Kept as a draft.")
    tab.keyboard.press("ArrowRight")
    expect(tab.locator("#text")).to_have_text("the second")
    tab.keyboard.press("ArrowLeft")
    expect(tab.locator("#text")).to_have_text("the first")
    expect(tab.get_by_role("radio", name="other")).to_have_attribute("aria-checked", "true")  # the draft
    tab.keyboard.press("Enter")
    expect(tab.locator("#text")).to_have_text("the second")
    assert said(stage, one) == {"intent": "other", "order": None}
    tab.keyboard.press("u")
    expect(tab.locator("#text")).to_have_text("the first")
    assert said(stage, one) is None
    tab.keyboard.press("Enter")
    expect(tab.locator("#text")).to_have_text("the second")
    tab.keyboard.press("Backspace")
    expect(tab.get_by_text("Nothing waits for you.")).to_be_visible()
    assert said(stage, two) is None and stage.ledger.queue.count("support") == {}


def test_backspace_discards_only_outside_a_text_and_u_brings_back_what_was_typed(stage: Stage, tab: Page) -> None:
    (one,) = waiting(stage, TEXT, order=None)
    opened(tab, stage)
    expect(tab.locator("#text")).to_have_text(TEXT)
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("e")
    tab.keyboard.type("ZZ9999")
    for _ in range(8):  # beyond the first character, too
        tab.keyboard.press("Backspace")
    tab.keyboard.type("YY8888")
    tab.get_by_label("Note").fill("torn")
    tab.keyboard.press("Backspace")
    assert stage.ledger.queue.count("support") == {"unsure": 1}
    tab.keyboard.press("Escape")
    tab.keyboard.press("Backspace")
    expect(tab.get_by_text("Nothing waits for you.")).to_be_visible()
    said = stage.ledger.conclusion(one.decision.id)
    assert said is not None and said.discarded and said.verdict.note == "tor"
    tab.keyboard.press("u")
    expect(tab.get_by_text("Taken back.")).to_be_visible()
    expect(tab.locator("#text")).to_have_text(TEXT)
    expect(tab.locator(".field[data-name=order] input")).to_have_value("YY8888")
    assert stage.ledger.conclusion(one.decision.id) is None and stage.ledger.count_waiting("support") == 1


def test_help_and_only_some_cases(stage: Stage, tab: Page) -> None:
    waiting(stage, "about a parcel", "about a card")
    opened(tab, stage)
    expect(tab.locator("#text")).to_have_text("about a parcel")
    tab.keyboard.press("?")
    expect(tab.get_by_role("dialog")).to_be_visible()
    assert findings(tab) == []
    tab.keyboard.press("Escape")
    tab.get_by_text("Only some").click()
    tab.get_by_label("Words in the text").fill("card")
    tab.keyboard.press("Enter")
    expect(tab.locator("#text")).to_have_text("about a card")


def test_a_case_on_another_desk_does_not_come_to_this_one(stage: Stage, tab: Page) -> None:
    waiting(stage, "the first", "the second")
    opened(tab, stage)
    expect(tab.locator("#text")).to_have_text("the first")
    stage.ledger.people  # noqa: B018  # with open access both desks are one person's: the same case stays theirs
    tab.reload()
    expect(tab.locator("#text")).to_have_text("the first")


def test_lookalikes_are_settled_together(stage: Stage, tab: Page) -> None:
    texts = ["Block my card, I lost it this morning", "Block my card, I lost it this evening", "When do you open on Sundays?"]
    cases = waiting(stage, *texts, order=None)
    opened(tab, stage, "/alike")
    assert findings(tab) == []
    tab.get_by_role("button", name="Settle as suggested").click()
    expect(tab.get_by_role("status")).to_have_text("2 settled")
    assert [said(stage, each) is not None for each in cases] == [True, True, False]
    opened(tab, stage, "/queue")
    expect(tab.get_by_role("link", name="When do you open")).to_be_visible()
    assert findings(tab) == []


HOSTILE = [
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "\"><svg onload=document.title='owned'>",
    "{{ 7 * 7 }} {% raw %} ${7*7} javascript:document.title='owned'",
    "</textarea><iframe srcdoc='<script>parent.document.title=1</script>'>",
]


def test_hostile_texts_are_only_text(stage: Stage, tab: Page) -> None:
    for text in HOSTILE:
        attempt = Attempt(text, Answer({"intent": "refund", "order": text}), (), 0.6)
        record(stage.ledger, for_review(attempts=(attempt,)), text=text)
    for where in ("/queue", "/alike"):
        opened(tab, stage, where)
        assert tab.title().endswith("Rung") and tab.locator("iframe, img, main svg").count() == 0
    opened(tab, stage)
    for text in HOSTILE:
        expect(tab.locator("#text")).to_have_text(text)
        assert tab.title().endswith("Rung") and tab.locator("iframe, img, main script").count() == 0
        tab.keyboard.press("Backspace")
    expect(tab.get_by_text("Nothing waits for you.")).to_be_visible()


def test_drawn_cases_come_among_the_others(stage: Stage, tab: Page) -> None:
    record(stage.ledger, accepted(answer={"intent": "refund", "order": None}), drawn=0.1, text="answered already")
    opened(tab, stage)
    expect(tab.locator("#text")).to_have_text("answered already")
