"""The pages of decisions: looking through them, and what one of them tells of how it came about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from browser import findings
from gateway_stage import RELEASE, Stage, staged
from living import populate
from records import accepted, for_review, record
from rung.core import Answer, Attempt, Outcome, Problem, Verdict
from rung.gateway.pages import hash_password
from rung.ledger import Record
from test_pages import PASSWORD, call, signed_in

NOW = datetime.now(UTC)
ROOT = "/w/support/decisions"
HOSTILE = "\"><script>document.title='x'</script><img src=x onerror=document.title='x'>{{ 7 * 7 }}\u202e\0"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path) as running:
        yield running


def kept(stage: Stage, *decisions: object, text: str = "hello", hours: float = 1.0) -> list[Record]:
    return record(stage.ledger, *decisions, at=NOW - timedelta(hours=hours), text=text)  # type: ignore[arg-type]


def told(page: Page) -> list[str]:
    return page.locator(".found .text").all_inner_texts()


def test_nothing_decided_yet_says_what_to_do(stage: Stage, tab: Page) -> None:
    tab.goto(stage.url + ROOT)
    expect(tab.get_by_text("Nothing was decided yet.")).to_be_visible()
    tab.locator(".empty").get_by_role("link", name="playground").click()
    assert tab.url.endswith("/playground")


def test_decisions_are_looked_through_a_page_at_a_time_newest_first(stage: Stage, tab: Page) -> None:
    populate(stage.ledger, "support", NOW, decisions=120)
    tab.goto(stage.url + ROOT)
    seen = [row.get_attribute("href") for row in tab.locator(".found a").all()]
    while tab.get_by_role("link", name="Older").count():
        tab.get_by_role("link", name="Older").click()
        seen += [row.get_attribute("href") for row in tab.locator(".found a").all()]
    assert seen == [f"{ROOT}/{n:028x}" for n in reversed(range(120))]
    tab.get_by_role("link", name="Newest").click()
    assert tab.locator(".found a").first.get_attribute("href") == seen[0]


def test_filters_and_words_narrow_the_list(stage: Stage, tab: Page) -> None:
    large = accepted(tier="large", outcome=Outcome.ESCALATED, confidence=0.6, release=RELEASE)
    kept(stage, large, text="My ZEBRA is broken", hours=30)
    kept(stage, accepted(), text="Where is my money?")
    kept(stage, for_review(confidence=0.2), text="Money, or a zebra", hours=0.5)
    tab.goto(stage.url + ROOT)
    for change, texts in (
        (lambda: tab.get_by_label("Words in the text").fill("zebra"), ["Money, or a zebra", "My ZEBRA is broken"]),
        (lambda: tab.get_by_label("Tier").select_option("person"), ["Money, or a zebra"]),
        (lambda: tab.get_by_label("Confidence from").fill("70"), []),
    ):
        if not tab.get_by_label("Asked by").is_visible():
            tab.get_by_text("Confidence, caller, days").click()
        change()
        tab.get_by_role("button", name="Look").click()
        assert told(tab) == texts
        expect(tab.get_by_text(f"back to {(NOW - timedelta(hours=30)):%Y-%m-%d %H:%M} UTC; {len(texts)} fit")).to_be_visible()
    tab.get_by_role("link", name="Clear").click()
    assert len(told(tab)) == 3
    tab.goto(f"{stage.url}{ROOT}?until={(NOW - timedelta(hours=30)):%Y-%m-%d}")
    assert told(tab) == ["My ZEBRA is broken"]
    tab.goto(f"{stage.url}{ROOT}?outcome=review&most=20&asked_by=anonymous&since={(NOW - timedelta(days=2)):%Y-%m-%d}")
    assert told(tab) == ["Money, or a zebra"]


def test_an_id_leads_straight_to_its_decision(stage: Stage, tab: Page) -> None:
    (one,) = kept(stage, accepted())
    tab.goto(stage.url + ROOT)
    tab.get_by_label("Words in the text").fill(one.decision.id)
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"**{ROOT}/{one.decision.id}")


@pytest.mark.parametrize("query", ["outcome=maybe", "least=many", "most=101", "least=nan", "since=now", "until=0001-01-01"])
def test_a_filter_that_cannot_be_is_refused_in_words(stage: Stage, query: str) -> None:
    status, _, page = call(stage, "GET", f"{ROOT}?{query}")
    assert status == 400 and "That did not work" in page


@pytest.mark.parametrize("path", ["/never-recorded", "?before=never-recorded"])
def test_what_is_not_there_is_said_to_be_missing(stage: Stage, path: str) -> None:
    assert call(stage, "GET", ROOT + path)[0] == 404


def test_a_decision_of_another_workload_is_not_shown(stage: Stage) -> None:
    record(stage.ledger, accepted(id="theirs"), workload="other")
    assert call(stage, "GET", f"{ROOT}/theirs")[0] == 404


def test_one_decision_tells_how_it_came_about(stage: Stage, tab: Page) -> None:
    answer = {"intent": "refund", "order": "AB1234"}
    small = Attempt("specialist", Answer(answer, {"intent": 0.7, "order": 0.99}), (), 0.7, 0.004)
    wrong = Attempt("large", Answer({"intent": "other"}), (Problem("schema", "order: is missing"),), 0.95, 0.5, 0.002)
    large = Attempt("large", Answer(answer), (), 0.97, 0.6, 0.003, trusted=True)
    silent = Attempt("tiny", None, (Problem("model", "no answer within 2 s"),), 0.0, 2.0)
    decision = accepted(outcome=Outcome.CORRECTED, answer=answer, tier="large", release=RELEASE, confidence=0.97)
    decision = replace(decision, attempts=(silent, small, wrong, large))
    (one,) = kept(stage, decision, text="Money back for AB1234, please")
    stage.ledger.settle(Verdict(one.decision.id, {"intent": "other", "order": None}, "ann", "he asks for nothing", 0.5), NOW)
    tab.goto(f"{stage.url}{ROOT}/{one.decision.id}")
    assert tab.locator("mark").inner_text().startswith("AB1234") and tab.locator("mark .of").inner_text() == "order"
    steps = tab.locator(".step")
    expect(steps).to_have_count(4)
    for step, said in zip(
        steps.all(),
        (
            ["tiny", "It gave no answer: no answer within 2 s."],
            ["specialist", "70.0 %", "99.0 %", "less sure than the acceptance level of 90.0 % asks for"],
            ["large", "schema: order: is missing", "A check objects"],
            ["large", "asked again", "answered", "as sure as the acceptance level of 90.0 % asks for", "600 ms", "$0.003"],
        ),
        strict=True,
    ):
        for words in said:
            expect(step).to_contain_text(words)
    verdict = tab.locator(".verdicts li")
    for words in ("ann", "overturned", "other", "he asks for nothing", "50.0 %"):
        expect(verdict).to_contain_text(words)
    assert findings(tab) == []


def test_a_case_that_waits_leads_to_its_review(stage: Stage, tab: Page) -> None:
    (one,) = kept(stage, for_review())
    (review,) = stage.ledger.queue.list("support")
    tab.goto(f"{stage.url}{ROOT}/{one.decision.id}")
    assert (tab.get_by_role("link", name="Open its review").get_attribute("href") or "").endswith(f"?review={review.seq}")
    expect(tab.get_by_text("Decides what no tier may.")).to_be_visible()


def test_a_case_that_was_discarded_says_by_whom_and_why(stage: Stage, tab: Page) -> None:
    (one,) = kept(stage, for_review())
    (review,) = stage.ledger.queue.list("support")
    stage.ledger.queue.discard(review.seq, "ann", NOW, "an empty page")
    tab.goto(f"{stage.url}{ROOT}/{one.decision.id}")
    expect(tab.locator(".steps")).to_contain_text("ann discarded it.")
    for words in ("ann", "discarded", "an empty page"):
        expect(tab.locator(".verdicts li")).to_contain_text(words)
    assert findings(tab) == []
    stage.ledger.queue.reopen(review.seq, "ann", NOW, NOW + timedelta(hours=1), NOW)
    tab.reload()
    expect(tab.locator(".verdicts li")).to_contain_text("taken back")
    expect(tab.locator(".steps")).to_contain_text("Decides what no tier may.")


def test_who_is_to_look_again_blind_does_not_see_what_was_settled(tmp_path: Path) -> None:
    with staged(tmp_path, open_access=False) as stage:
        for name, role in (("ann", "reviewer"), ("ben", "reviewer"), ("ada", "admin"), ("vic", "viewer")):
            stage.ledger.people.add(name, role, hash_password(PASSWORD), NOW)
        (one,) = kept(stage, for_review())
        review = stage.ledger.queue.take("support", "ann", NOW, NOW + timedelta(hours=1))
        assert review is not None
        stage.ledger.queue.settle(
            review.seq, Verdict(one.decision.id, {"intent": "other"}, "ann", "secret"), NOW, 1.0, again=True
        )
        path = f"{ROOT}/{one.decision.id}"
        assert "secret" in call(stage, "GET", path, signed_in(stage, "ann"))[2]
        for name in ("ben", "ada"):
            page = call(stage, "GET", path, signed_in(stage, name))[2]
            assert "secret" not in page and "look at it again, blind" in page
        assert "secret" in call(stage, "GET", path, signed_in(stage, "vic"))[2]  # who may not look again is not blind


def test_hostile_texts_are_only_text(stage: Stage, tab: Page) -> None:
    answer = Answer({HOSTILE: HOSTILE, "order": HOSTILE}, {HOSTILE: float("nan")})
    attempt = Attempt(HOSTILE, answer, (Problem(HOSTILE, HOSTILE),), 0.5)
    said = HOSTILE.replace("\0", "\ufffd")
    (one,) = kept(stage, for_review(tier=HOSTILE, release=HOSTILE, attempts=(attempt,)), text=HOSTILE)
    stage.ledger.settle(Verdict(one.decision.id, {HOSTILE: HOSTILE}, HOSTILE, HOSTILE), NOW)
    query = "&".join(f"{name}={quote(said)}" for name in ("tier", "release", "asked_by"))
    again = f"/w/support/playground?decision={one.decision.id}"
    for path in (ROOT, f"{ROOT}/{one.decision.id}", f"{ROOT}?{query}&q={quote(HOSTILE)}", again):
        tab.goto(stage.url + path)
        assert tab.title().endswith("Rung") and tab.locator("main script, main img").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_list_and_a_decision_are_for_everyone(stage: Stage, tab: Page, theme: str) -> None:
    populate(stage.ledger, "support", NOW, decisions=60)
    tab.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    for width in (1280, 390):
        tab.set_viewport_size({"width": width, "height": 800})
        for path in (f"{ROOT}?q=money&least=10", f"{ROOT}?q=zebra", f"{ROOT}/{30:028x}"):
            tab.goto(stage.url + path)
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            assert findings(tab) == []
