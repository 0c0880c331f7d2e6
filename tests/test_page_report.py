"""The week, beside the one before it, on paper that a manager can read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page

from browser import findings
from gateway_stage import RELEASE, Stage, staged
from living import populate
from pasts import before
from records import accepted, for_review, record
from rung.core import Verdict
from rung.ledger import Alarm, Ledger, Promotion

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Thirty days, and what happened in the last of them."""
    now = datetime.now(UTC)

    def happens(ledger: Ledger) -> None:
        populate(ledger, "support", now, 300)
        twice(ledger, now)
        ledger.promote(Promotion("support", RELEASE, now - timedelta(minutes=3), "ola", HOSTILE), None, {})
        ledger.alarms.ring(Alarm("support", "drift", "length", HOSTILE, now - timedelta(minutes=2)))
        ledger.alarms.clear("support", "drift", "length", now)

    before(tmp_path, happens)
    with staged(tmp_path) as found:
        yield found


def twice(ledger: Ledger, now: datetime) -> None:
    """Two cases that two people settled, at forty seconds each; they agree on one."""
    until = now + timedelta(minutes=5)
    record(ledger, *[for_review(release=RELEASE) for _ in range(2)], at=now - timedelta(minutes=1))
    mine = [review for review in ledger.queue.list("support") if review.record.decision.release == RELEASE][-2:]
    for review in mine:
        ledger.queue.settle(review.seq, Verdict(review.record.decision.id, {"intent": "refund"}, "ann"), now, 40.0, again=True)
    for word in ("refund", "other"):
        second = ledger.queue.take("support", "ben", now, until)
        while second and second.look != "second":
            second = ledger.queue.take("support", "ben" + str(second.seq), now, until)
        assert second
        verdict = Verdict(second.record.decision.id, {"intent": word}, second.holder or "ben")
        ledger.queue.settle(second.seq, verdict, now, 40.0, again=False)


def show(tab: Page, stage: Stage, address: str = "report") -> str:
    tab.goto(f"{stage.url}/w/support/{address}")
    return tab.locator("main").inner_text().replace("\u00a0", " ")


def test_two_weeks_stand_side_by_side(stage: Stage, tab: Page) -> None:
    said = next(said for said in (show(tab, stage) for _ in range(50)) if "still being counted" not in said)
    header = tab.locator("table").first.locator("thead th").all_inner_texts()
    assert header == ["this week", "week before"]
    rows = [row.replace("\u00a0", " ") for row in tab.locator("table").first.locator("tbody th").all_inner_texts()]
    for row in ("decisions", "by specialist", "by people", "answers wrong, reviewed at random", "a case cost, all in"):
        assert row in rows
    for row in ("saved against it", "99 % took at most", "people's time", "alarms raised", "releases promoted"):
        assert row in rows
    assert "n = " in said and "Whether the promise is kept is not known yet" in said
    assert "A case cost" in said and "40 s each on average of 4 timed" in said
    assert "intent: on 1 of 2" in said
    assert findings(tab) == []


def test_what_rang_and_what_was_promoted_is_told_with_its_reason_and_every_text_is_inert(stage: Stage, tab: Page) -> None:
    said = show(tab, stage)
    assert f"drift: length {HOSTILE}" in said and "cleared" in said
    assert f"promoted by ola: {HOSTILE}" in said
    assert tab.locator("main script").count() == 0


def test_it_fits_on_two_sheets_and_a_telephone(stage: Stage, tab: Page) -> None:
    tab.set_viewport_size({"width": 390, "height": 800})
    show(tab, stage)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert findings(tab) == []
    assert tab.get_by_role("button", name="Print").is_visible()
    assert tab.pdf(format="A4").count(b"/Type /Page\n") <= 2


def test_earlier_weeks_are_a_link_away_and_an_impossible_one_is_refused(stage: Stage, tab: Page) -> None:
    first = show(tab, stage)
    tab.get_by_role("link", name="Week before").click()
    assert "until=" in tab.url and tab.locator("h1").inner_text() not in first
    tab.get_by_role("link", name="Week after").click()
    assert tab.locator("h1").inner_text() in first
    for wrong in ("yesterday", "2026-99-01", "%3Cscript%3E"):
        assert tab.request.get(f"{stage.url}/w/support/report?until={wrong}").status == 400
    assert "Nothing was decided in this week" in show(tab, stage, "report?until=2020-01-01")


def test_a_report_of_nothing_says_what_to_do(tmp_path: Path, tab: Page) -> None:
    with staged(tmp_path) as stage:
        assert "Nothing was decided in this week" in show(tab, stage)
        assert tab.get_by_role("link", name="Playground").last.get_attribute("href") == "/w/support/playground"
        assert findings(tab) == []


def test_decisions_of_a_tier_that_is_gone_stay_in_the_report(tmp_path: Path, tab: Page) -> None:
    at = datetime.now(UTC) - timedelta(minutes=1)
    before(tmp_path, lambda ledger: record(ledger, accepted(tier="former", release=RELEASE), at=at))
    with staged(tmp_path) as stage:
        show(tab, stage)
        assert "by former" in tab.locator("table").first.locator("tbody th").all_inner_texts()
