"""The first page says on one screen who decides, how often wrongly, how fast, at what cost, and what needs somebody."""

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
from records import accepted, record, settle
from rung.core import Verdict
from rung.ledger import Alarm, Ledger, Promotion

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("living")
    before(folder, lambda ledger: populate(ledger, "support", datetime.now(UTC), 300))
    with staged(folder) as stage:
        yield stage


def reviewed(ledger: Ledger, answers: int, wrong: int, ago: timedelta = timedelta(hours=1)) -> None:
    """Answers drawn at random some time ago and settled then."""
    at = datetime.now(UTC) - ago
    drawn = [accepted(release=RELEASE) for _ in range(answers)]
    record(ledger, *drawn, at=at, drawn=0.02)
    for n, decision in enumerate(drawn):
        settle(
            ledger,
            Verdict(decision.id, {"intent": "fee" if n >= answers - wrong else "refund"}, "ann"),
            at + timedelta(milliseconds=n),
        )


def show(tab: Page, stage: Stage, page: str = "overview") -> str:
    tab.goto(f"{stage.url}/w/support/{page}")
    return tab.locator("main").inner_text()


def test_one_screen_has_the_promise_the_cost_the_time_and_the_queue(living: Stage, tab: Page) -> None:
    said = show(tab, living, "overview?range=30d")
    for words in (
        "Not known yet",
        "at most 2 % wrong",
        "more reviews will tell",
        "A case costs",
        "half at most",
        "Waiting for people",
    ):
        assert words in said
    charts = tab.locator("figcaption strong").all_inner_texts()
    assert charts == ["Who decides", "How often answers are wrong", "How long a decision takes", "What a case costs"]
    assert "specialist" in said and "people" in said and "oldest waits for" in said
    assert findings(tab) == []


def test_it_can_be_read_by_dark_and_on_a_telephone(living: Stage, tab: Page) -> None:
    tab.emulate_media(color_scheme="dark")
    tab.set_viewport_size({"width": 390, "height": 800})
    show(tab, living)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert findings(tab) == []


def test_another_time_is_a_link_away(living: Stage, tab: Page) -> None:
    assert "in 7 days" in show(tab, living)
    tab.get_by_role("link", name="24 hours").click()
    assert "in 24 hours" in tab.locator("main").inner_text()
    assert tab.locator("[aria-current=true]").inner_text() == "24 hours"
    assert "in 7 days" in show(tab, living, "overview?range=%3Cb%3E")


def test_before_anything_is_decided_it_says_how_to_begin(tmp_path: Path, tab: Page) -> None:
    with staged(tmp_path) as stage:
        said = show(tab, stage)
        assert "Nothing has been decided yet" in said and f"curl {stage.url}/v1/workloads/support/decisions" in said
        assert tab.get_by_role("link", name="Playground").last.get_attribute("href") == "/w/support/playground"
        assert findings(tab) == []


def test_what_happens_is_seen_without_asking(tmp_path: Path, tab: Page) -> None:
    with staged(tmp_path) as stage:
        tab.clock.install()
        assert "Nothing has been decided yet" in show(tab, stage)
        tab.request.post(f"{stage.url}/v1/workloads/support/decisions", data={"input": "my money back"})
        tab.clock.run_for(31_000)
        tab.get_by_text("Who decides").wait_for()
        assert "No answer of this release has been reviewed" in tab.locator("main").inner_text()
        assert tab.locator(".promise").get_by_role("link", name="Review").get_attribute("href") == "/w/support/review"


@pytest.mark.parametrize(("wrong", "badge"), [(0, "Kept"), (25, "Broken")])
def test_the_promise_is_told_in_a_word_and_as_a_gauge(tmp_path: Path, tab: Page, wrong: int, badge: str) -> None:
    before(tmp_path, lambda ledger: reviewed(ledger, 400, wrong))
    with staged(tmp_path) as stage:
        said = show(tab, stage)
        assert badge in tab.locator(".promise .badge").inner_text()
        assert ("in a row" in said) == bool(wrong) and "reviewed" in said
        assert tab.locator("svg.gauge").count() == 1


def test_a_verdict_is_seen_once_the_watch_has_looked(tmp_path: Path, tab: Page) -> None:
    before(tmp_path, lambda ledger: reviewed(ledger, 30, 1))
    with staged(tmp_path) as stage:
        assert "of 30 reviewed" in show(tab, stage)
        before(tmp_path, lambda ledger: reviewed(ledger, 10, 0, timedelta()))
        ends = datetime.now(UTC) + timedelta(seconds=30)
        while "of 40 reviewed" not in show(tab, stage) and datetime.now(UTC) < ends:
            tab.wait_for_timeout(500)
        assert "of 40 reviewed" in show(tab, stage)


def test_alarms_and_the_release_are_named_with_their_times_and_every_text_is_inert(tmp_path: Path, tab: Page) -> None:
    now = datetime.now(UTC)

    def happens(ledger: Ledger) -> None:
        record(ledger, accepted(tier=HOSTILE, release=RELEASE), at=now - timedelta(minutes=5))
        ledger.alarms.ring(Alarm("support", "drift", HOSTILE, f"Something moved: {HOSTILE}", now - timedelta(hours=3)))
        ledger.promote(Promotion("support", RELEASE, now - timedelta(days=2), HOSTILE, HOSTILE), None, {})

    before(tmp_path, happens)
    with staged(tmp_path) as stage:
        said = show(tab, stage)
        assert f"Drift: {HOSTILE}" in said and ", 3 h." in said
        assert f"promoted 2 d ago by {HOSTILE}" in said
        assert tab.locator("main img").count() == 0
        assert findings(tab) == []


def test_money_is_priced_by_assumptions_that_a_person_may_change(living: Stage, tab: Page) -> None:
    show(tab, living, "money?range=30d")
    cost = tab.locator(".cards .value").first.inner_text()
    field = tab.get_by_label("One machine of your own")
    assert field.input_value() == "0.1"
    assert tab.locator("table").first.locator("tbody th").all_inner_texts() == ["specialist", "large", "people", "all"]
    field.fill("3")
    tab.get_by_role("button", name="Recalculate").click()
    assert "machine_hour=3" in tab.url and "typed in; stated: 0.1" in tab.locator("main").inner_text()
    assert tab.locator(".cards .value").first.inner_text() != cost
    tab.get_by_role("link", name="As stated").click()
    assert tab.locator(".cards .value").first.inner_text() == cost
    assert findings(tab) == []


@pytest.mark.parametrize("typed", ["-1", "1e99", "nan", "many", HOSTILE])
def test_an_impossible_assumption_is_said_to_be_one_and_left_as_stated(living: Stage, tab: Page, typed: str) -> None:
    show(tab, living, "money")
    tab.get_by_label("Of a machine's time planned for").fill(typed)
    tab.get_by_role("button", name="Recalculate").click()
    assert "Type a number from 0 to 100." in tab.locator("main").inner_text()
    assert tab.locator("[aria-invalid]").input_value() == typed[:40]
    assert tab.locator("main img").count() == 0


def test_money_says_so_where_there_is_nothing_to_price(tmp_path: Path, tab: Page) -> None:
    with staged(tmp_path) as stage:
        assert "There is nothing to price" in show(tab, stage, "money")
        assert tab.get_by_label("A person, ", exact=False).count() == 0 and tab.get_by_label("Power of a busy core").count() == 1
        assert findings(tab) == []
