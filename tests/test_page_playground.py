"""The playground: every tier's answer to a text, from the release at work, without a decision."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from browser import findings
from gateway_stage import Stage, staged
from records import accepted
from rung.cascade import Cascade, Tier, decide
from rung.core import Answer, Case, Problem
from rung.gateway.pages import hash_password
from rung.ledger import Ledger, Record, Search
from rung.models.calibration import Calibration
from rung.release.frozen import Parts
from rung.release.live import Live
from rung.release.opening import build_cascade
from rung.testing import FakeModel, Reply
from rung.workload import Workload
from served import declared, serving
from small_workload import write_workload
from test_pages import PASSWORD, call, signed_in

TEXT = "Please refund me for AB1234. Write to anna@example.org"
ROOT = "/w/small/playground"
LARGE = "slm/llm"
TIERS = ["specialist", {"endpoint": "slm", "model": "llm"}]
ENDPOINT = {
    "slm": {"url": "http://127.0.0.1:9/v1", "size": "core", "weights": "open", "boundary": "inside", "price": {"input": 1.0}}
}


def small(folder: Path, **changes: Any) -> Workload:
    given: dict[str, Any] = {"tiers": TIERS, **changes}
    endpoints = given.pop("endpoints", ENDPOINT)
    return write_workload(folder, 6, endpoints, **given)


def says(intent: str, sure: float, cost: float = 0.0, reply: str = "") -> FakeModel:
    fields = {"intent": intent, "order": "AB1234", "reply": reply or f"About your {intent}, order AB1234.\n"}
    return FakeModel(lambda case, objections: Answer(fields, {"intent": sure}, {"sure": sure}, cost, 0.004))


def check(case: Case, fields: Mapping[str, Any]) -> tuple[Problem, ...]:
    return (Problem("no_weather", "nobody asks about that"),) if fields["intent"] == "weather" else ()


def cascade(*models: FakeModel) -> Cascade:
    tiers = [
        Tier(name, model, lambda signals: signals["sure"]) for name, model in zip(("specialist", LARGE), models, strict=True)
    ]
    return Cascade(tuple(tiers), 0.8, "r1", lambda fields: fields, check)


@contextmanager
def playing(folder: Path, *models: FakeModel, open_access: bool = True) -> Iterator[Stage]:
    def live(workload: Workload, ledger: Ledger) -> Live:
        return Live(workload, cascade(*models), ledger)

    with staged(folder, open_access=open_access, make=live, given=small(folder)) as stage:
        yield stage


def ask(tab: Page, text: str = TEXT, endpoints: bool = False) -> None:
    tab.get_by_label("Text", exact=True).fill(text)
    tab.get_by_label("that costs money").set_checked(endpoints)
    tab.get_by_role("button", name="Ask").click()
    tab.wait_for_url("**#answers")


def test_every_tier_answers_and_nothing_is_recorded_as_a_decision(tmp_path: Path, tab: Page) -> None:
    with playing(tmp_path, says("refund", 0.7), says("weather", 0.9, 0.002)) as stage:
        tab.goto(stage.url + ROOT)
        expect(tab.get_by_text("Nothing here is recorded as a decision")).to_be_visible()
        assert findings(tab) == []
        ask(tab, endpoints=True)
        first, second = tab.locator(".step").all()
        for words in ("specialist", "refund", "70.0 %", "less sure than the acceptance level of 80.0 % asks for"):
            expect(first).to_contain_text(words)
        for words in (LARGE, "no_weather: nobody asks about that", "90.0 %", "$0.002", "4 ms"):
            expect(second).to_contain_text(words)
        expect(tab.get_by_text("A person would decide this")).to_be_visible()
        assert tab.locator("mark .of").all_inner_texts() == ["order"]
        for width in (1280, 390):
            tab.set_viewport_size({"width": width, "height": 800})
            assert tab.evaluate("document.documentElement.scrollWidth") <= width and findings(tab) == []
        assert stage.ledger.search("small", Search()).looked == 0
        (noted, *_) = stage.ledger.people.actions(1)
        assert (noted.what, noted.subject, noted.detail) == ("tried a text", "small", f"specialist, {LARGE}: $0.002000")


def test_the_first_that_may_be_trusted_would_answer(tmp_path: Path, tab: Page) -> None:
    with playing(tmp_path, says("refund", 0.85), says("refund", 0.99)) as stage:
        tab.goto(stage.url + ROOT)
        ask(tab, endpoints=True)
        expect(tab.get_by_text("specialist would answer this")).to_be_visible()
        assert tab.locator(".step .badge").all_inner_texts() == ["would answer", "would be trusted too"]


def test_endpoints_are_asked_only_when_the_visitor_says_so(tmp_path: Path, tab: Page) -> None:
    large = says("refund", 0.99)
    with playing(tmp_path, says("refund", 0.2), large) as stage:
        tab.goto(stage.url + ROOT)
        ask(tab)
        expect(tab.locator(".step.unasked")).to_contain_text("Not asked: it costs money.")
        assert large.asked == []
        ask(tab, endpoints=True)
        assert [case.text for case, _ in large.asked] == [TEXT]


def test_it_works_without_scripts(tmp_path: Path) -> None:
    with playing(tmp_path, says("refund", 0.9), says("refund", 0.9)) as stage:
        status, _, page = call(stage, "POST", ROOT, text="one\r\ntwo", context='{"channel": "chat"}')
        assert status == 200 and "specialist would answer this" in page and "one\ntwo" in page
        for text, context, said in (
            (" ", "", "it must have some"),
            ("hello", "[]", "a JSON object"),
            ("hello", "{", "a JSON object"),
        ):
            status, _, page = call(stage, "POST", ROOT, text=text, context=context)
            assert status == 400 and said in page


def test_a_decision_can_be_tried_again(tmp_path: Path, tab: Page) -> None:
    with playing(tmp_path, says("refund", 0.9), says("refund", 0.9)) as stage:
        decision = accepted()
        case = Case(f"\n{TEXT}", {"channel": "chat"}, id=decision.id)
        with ThreadPoolExecutor(1) as elsewhere:  # while there is a `tab`, its loop has this thread
            written = Record("small", case, decision, datetime.now(UTC))
            elsewhere.submit(asyncio.run, stage.ledger.record(written)).result()
        tab.goto(f"{stage.url}/w/small/decisions/{decision.id}")
        tab.get_by_role("link", name="Try it in the playground").click()
        assert tab.get_by_label("Text", exact=True).input_value() == f"\n{TEXT}"
        assert "chat" in tab.get_by_label("What the caller knows besides").input_value()
        assert call(stage, "GET", f"{ROOT}?decision=never")[0] == 404


def test_asking_is_for_reviewers(tmp_path: Path) -> None:
    models = says("refund", 0.9), says("refund", 0.9)
    with playing(tmp_path, *models, open_access=False) as stage:
        for name, role in (("vic", "viewer"), ("rea", "reviewer")):
            stage.ledger.people.add(name, role, hash_password(PASSWORD), datetime.now(UTC))  # type: ignore[arg-type]
        cookie = signed_in(stage)
        assert "it is for reviewers" in call(stage, "GET", ROOT, cookie)[2]
        assert call(stage, "POST", ROOT, cookie, text=TEXT)[0] == 403 and not models[0].asked
        assert call(stage, "POST", ROOT, signed_in(stage, "rea"), text=TEXT)[0] == 200


def test_hostile_answers_are_only_text(tmp_path: Path, tab: Page) -> None:
    hostile = "\"></textarea><script>document.title='x'</script><img src=x onerror=document.title='x'>{{ 7 * 7 }}"
    with playing(tmp_path, says(hostile, float("nan"), reply=hostile), says(hostile, 0.9)) as stage:
        tab.goto(stage.url + ROOT)
        ask(tab, hostile, endpoints=True)
        expect(tab.get_by_label("Text", exact=True)).to_have_value(hostile)
        assert tab.title().endswith("Rung") and tab.locator("main script, main img").count() == 0


def test_what_is_explained_is_what_would_be_decided(tmp_path: Path, ledger: Ledger) -> None:
    """A later tier's confidence depends on those before it; a tier that is told of objections is asked again."""

    async def run() -> None:
        agreed = Calibration({"agrees": (4.0, 0.0, 1.0)}, -1.0)  # sure only of what the tier before said too
        for intents in (("refund", "refund"), ("refund", "login"), ("weather", "weather"), ("login", "weather")):
            models = [says(intents[0], 0.1), says(intents[1], 0.9)]
            built = cascade(*models)
            large = Tier(LARGE, models[1], agreed, repairs=True)
            built = Cascade((built.tiers[0], large), 0.8, "r1", built.complete, built.check)
            decided = (await decide(Case(TEXT), built)).attempts
            explained = await Live(small(tmp_path), built, ledger).explain(Case(TEXT), ["specialist", LARGE])
            assert [_told(one) for one in explained] == [_told(one) for one in decided]

    asyncio.run(run())


def _told(attempt: Any) -> tuple[object, ...]:
    return attempt.tier, attempt.answer.fields, attempt.problems, attempt.confidence, attempt.trusted


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_an_endpoint_outside_is_told_no_more_than_in_production(tmp_path: Path, ledger: Ledger) -> None:
    with serving(lambda body: Reply({"intent": "refund", "order": "[EMAIL_1]"})) as server:
        boundary = {"may_leave": "redacted", "redact": ["email"]}
        workload = small(tmp_path, endpoints=declared(server, boundary="outside"), boundary=boundary)
        parts = Parts({"specialist": says("refund", 0.1)}, {"specialist": Calibration({}, 0.0), LARGE: Calibration({}, 0.0)}, 0.9)  # type: ignore[dict-item]

        async def run() -> Any:
            live = Live(workload, build_cascade(workload, parts, "r1"), ledger)
            try:
                return await live.explain(Case(TEXT), [LARGE])
            finally:
                await live.close()

        (attempt,) = {one.tier: one for one in asyncio.run(run())}.values()
    assert attempt.answer.fields["order"] == "anna@example.org"
    assert server.bodies and all("anna@example.org" not in str(body) and "[EMAIL_1]" in str(body) for body in server.bodies)
