"""The page of alarms: what rings, what is known part by part, and the cases that are new."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from browser import findings
from gateway_stage import staged
from records import NOON, accepted, record
from rung.ledger import Alarm


def test_what_rings_is_listed_and_its_cases_are_shown(tmp_path: Path, tab: Page) -> None:
    with staged(tmp_path) as stage:
        (case,) = record(stage.ledger, accepted(), text="<b>My crypto</b> wallet is locked")
        cluster = {"cases": 61, "share": 0.061, "reference_share": 0.001, "examples": [case.decision.id, "gone"]}
        stage.ledger.alarms.ring(
            Alarm("support", "drift", "out_of_scope", "A new kind of case is 6.1 %.", NOON, {"clusters": [cluster]})
        )
        tab.goto(f"{stage.url}/w/support/alarms")
        expect(tab.get_by_text("the whole release")).to_be_visible()
        assert findings(tab) == []
        tab.get_by_role("link", name="drift: out_of_scope").click()
        expect(tab.get_by_role("link", name="<b>My crypto</b> wallet is locked")).to_be_visible()
        expect(tab.get_by_text("61 cases that are alike")).to_be_visible()
        assert findings(tab) == []
        tab.goto(f"{stage.url}/w/support/overview")
        expect(tab.get_by_role("link", name="Drift: out of scope")).to_be_visible()


def test_nothing_has_rung_says_what_would(tmp_path: Path, tab: Page) -> None:
    with staged(tmp_path) as stage:
        tab.goto(f"{stage.url}/w/support/alarms")
        expect(tab.get_by_text("Nothing has rung.")).to_be_visible()
        assert findings(tab) == []
