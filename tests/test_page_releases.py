"""The pages of releases: what they show, and the way forward and back that never goes round the gate."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any, Protocol

import pytest
from playwright.sync_api import Page, expect

from browser import findings
from gateway_stage import Stage, staged
from rung.cascade import Cascade, Tier
from rung.cascade.promise import Threshold
from rung.core import Answer, Attempt, Case, Decision, Outcome
from rung.evaluation import Agreed, ask_all, evaluate, measure
from rung.evaluation.reading import read_metrics
from rung.gateway.pages import hash_password
from rung.ledger import Assignment, Record, Trial
from rung.models.encoder import Encoder
from rung.models.heads import read_calibration
from rung.release.frozen import TIERS, Parts, Release, freeze
from rung.release.opening import open_specialist
from rung.release.pointer import promote
from rung.release.trial import Terms, start_trial
from rung.release.trial_report import report_trial
from rung.testing import FakeModel
from rung.workload import SpecialistTier, Workload, load
from small_workload import write_workload
from test_pages import PASSWORD, call, signed_in

SCRIPT = "<script>document.title='x'</script>"
KEPT = hash_password(PASSWORD)
ROOT = "/w/support/releases"
CASES = [Agreed(Case(f"text {n}"), {"intent": "refund" if n % 3 else "other", "order": None}) for n in range(90)]


def cascade() -> Cascade:
    """Right about most cases, sure of most."""
    chance = random.Random(5)

    def answer(case: Case, _: object) -> Answer:
        right = "refund" if int(case.text.split()[1]) % 3 else "other"
        wrong = chance.random() < 0.1
        said = {"refund": "other", "other": "refund"}[right] if wrong else right
        return Answer({"intent": said, "order": None}, signals={"p": chance.uniform(0.4 if wrong else 0.7, 1)})

    tier = Tier("specialist", FakeModel(answer), lambda signals: signals["p"])
    return Cascade((tier,), 0.75, "r1", lambda fields: fields, lambda case, fields: ())


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    from gateway_stage import workload

    found, _ = asyncio.run(
        evaluate(workload(tmp_path_factory.mktemp("judged")), cascade(), CASES, Threshold(0.75, 90, 70, 1, 0.04))
    )
    gold = {"cases": 300, "train": 120, "calibration": 90, "test": 90, "digest": "ab" * 32}
    return found.document() | {"gate": {"passed": True, "drop": None}, "gold": gold, "parent": None}


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("RUNG_LEDGER", f"sqlite:///{tmp_path}/ledger.db")  # the server's: what it starts is to write there
    with staged(tmp_path, open_access=False, given=write_workload(tmp_path, workload="support")) as running:
        for name, role in (("vic", "viewer"), ("ola", "operator"), ("ole", "operator")):
            running.ledger.people.add(name, role, KEPT, datetime.now(UTC))  # type: ignore[arg-type]
        yield running


class Keep(Protocol):
    """Freezes a real release with made evidence, some of it changed."""

    def __call__(self, workload: Workload, level: float = ..., **changes: Any) -> Release: ...


@pytest.fixture(scope="module")
def keep(small: tuple[Workload, Release], minilm: Encoder, evidence: dict[str, Any]) -> Keep:
    tier = open_specialist(SpecialistTier(), small[1].folder / TIERS / "specialist", minilm, small[0].fields)
    calibration = read_calibration(json.loads((small[1].folder / "cascade.json").read_text())["calibrations"]["specialist"])

    def frozen(workload: Workload, level: float = 0.75, **changes: Any) -> Release:
        parts = Parts({"specialist": tier}, {"specialist": calibration}, level)
        return freeze(workload, parts, "inputs", evidence | changes, "the report")

    return frozen


@pytest.fixture
def two(stage: Stage, keep: Keep) -> tuple[Release, Release]:
    """The first was promoted, and does not answer any more; the second does."""
    first = keep(stage.live.workload)
    second = keep(stage.live.workload, 0.8, parent=first.id)
    for release, by, why in ((first, "ada", "the first"), (second, "bob", f"higher level {SCRIPT}")):
        promote(stage.live.workload, release, stage.ledger, by, why)
    stage.live.release = second.id
    return first, second


def enter(tab: Page, stage: Stage, name: str = "ola") -> None:
    tab.context.request.post(stage.url + "/sign-in", form={"name": name, "password": PASSWORD}, max_redirects=0)


def answering(stage: Stage) -> str | None:
    return stage.ledger.current_release("support")


def test_releases_are_listed_with_what_they_showed_and_who_promoted_them(
    stage: Stage, two: tuple[Release, Release], tab: Page
) -> None:
    first, second = two
    enter(tab, stage)
    tab.goto(stage.url + ROOT)
    rows = tab.get_by_role("region", name="Releases").locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text(f"{second.id[:12]} answers")
    expect(rows.nth(0)).to_contain_text(f"from {first.id[:12]}")
    error = first.evidence["error_at_most"]
    expect(rows.nth(1)).to_contain_text(f"{100 * error:.1f} %")
    expect(rows.nth(1)).to_contain_text("passed")
    history = tab.get_by_role("region", name="Promotions and rollbacks")
    expect(history).to_contain_text("bob")
    expect(history).to_contain_text(SCRIPT)
    expect(tab.locator("figure")).to_have_count(2)
    assert findings(tab) == [] and tab.title() != "x"
    tab.set_viewport_size({"width": 390, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390 and findings(tab) == []


def test_where_nothing_is_kept_the_page_says_what_to_do(stage: Stage) -> None:
    page = call(stage, "GET", ROOT, signed_in(stage))[2]
    assert "Its folder is not on this machine" in page and "rung train WORKLOAD" in page
    assert call(stage, "GET", f"{ROOT}/{'0' * 64}", signed_in(stage))[0] == 404
    assert call(stage, "GET", f"{ROOT}/..%2f..", signed_in(stage))[0] == 404


def test_one_release_shows_its_evidence_its_files_and_what_changed(
    stage: Stage, two: tuple[Release, Release], keep: Keep, evidence: dict[str, Any], tab: Page
) -> None:
    file = stage.live.workload.file
    file.write_text(file.read_text() + f"# {SCRIPT}\n")
    metrics = evidence["metrics"]
    named = [{**one, "value": SCRIPT} for one in metrics["slices"]]
    third = keep(load(file), 0.9, metrics=metrics | {"slices": named}, parent=two[1].id)
    enter(tab, stage, "vic")
    tab.goto(f"{stage.url}{ROOT}/{third.id}")
    expect(tab.get_by_role("heading", name="Can the confidence be believed?")).to_be_visible()
    assert tab.locator("figure").count() == 2
    expect(tab.locator(".diff .add").filter(has_text=SCRIPT)).to_be_visible()
    expect(tab.get_by_role("region", name="What differs")).to_contain_text("acceptance level")
    expect(tab.get_by_text(f"rung release diff WORKLOAD {two[1].id[:12]} {third.id[:12]}")).to_be_visible()
    tab.get_by_text("Every file with its SHA-256").click()
    expect(tab.get_by_role("region", name="Files")).to_contain_text("workload/workload.yaml")
    expect(tab.get_by_role("link", name="Promote")).to_have_count(0)  # a viewer
    assert findings(tab) == [] and tab.title() != "x"
    tab.set_viewport_size({"width": 390, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390 and findings(tab) == []


def test_a_release_is_promoted_by_hand_with_the_reason_and_the_name(
    stage: Stage, two: tuple[Release, Release], keep: Keep, tab: Page
) -> None:
    third = keep(stage.live.workload, 0.9)
    enter(tab, stage)
    tab.goto(f"{stage.url}{ROOT}/{third.id}")
    tab.get_by_role("link", name="Promote…").click()
    assert findings(tab) == []
    tab.get_by_label("Why").fill("more careful")
    tab.get_by_role("button", name="Promote").click()
    tab.wait_for_url("**/releases")
    expect(tab.get_by_role("status")).to_contain_text(f"still answers with release {two[1].id[:12]}")
    last = stage.ledger.promotions("support")[-1]
    assert (last.release, last.by, last.why, last.back) == (third.id, "ola", "more careful", False)
    noted = stage.ledger.people.actions()[0]
    assert (noted.by, noted.what, noted.subject, noted.detail) == ("ola", "release promoted", third.id[:12], "more careful")


def test_a_rollback_needs_a_reason_and_something_before(stage: Stage, two: tuple[Release, Release], tab: Page) -> None:
    first, second = two
    enter(tab, stage)
    tab.goto(stage.url + ROOT)
    tab.get_by_role("link", name="Roll back…").click()
    tab.get_by_role("button", name="Roll back").click()
    assert answering(stage) == second.id  # the browser asks for the reason
    tab.get_by_label("Why").fill("worse on calls")
    tab.get_by_role("button", name="Roll back").click()
    tab.wait_for_url("**/releases")
    last = stage.ledger.promotions("support")[-1]
    assert (last.release, last.by, last.why, last.back) == (first.id, "ola", "worse on calls", True)
    tab.goto(f"{stage.url}{ROOT}/rollback")
    expect(tab.get_by_text("No release answered before this one")).to_be_visible()
    cookie = signed_in(stage, "ola")
    form = {"why": "again", "instead_of": first.id}
    assert call(stage, "POST", f"{ROOT}/rollback", cookie, **form)[0] == 409 and answering(stage) == first.id
    assert call(stage, "POST", f"{ROOT}/rollback", cookie, **form | {"why": " "})[0] == 400


def test_two_people_do_not_overwrite_each_other(stage: Stage, two: tuple[Release, Release], keep: Keep) -> None:
    first, second = two
    third = keep(stage.live.workload, 0.9)
    one, other = signed_in(stage, "ola"), signed_in(stage, "ole")
    seen = {"instead_of": second.id}
    assert call(stage, "POST", f"{ROOT}/{third.id}/promote", one, why="better", **seen)[0] == 303
    for path in ("rollback", f"{first.id}/promote"):
        status, _, page = call(stage, "POST", f"{ROOT}/{path}", other, why="worse", **seen)
        assert status == 409 and "Nothing was changed: after you opened this page ola promoted release" in page
        assert third.id in page and "worse" in page  # the next try is about what answers now, and the reason is still there
    for nonsense in ("", "any", third.id[:12]):
        assert call(stage, "POST", f"{ROOT}/{first.id}/promote", other, why="worse", instead_of=nonsense)[0] in (400, 409)
    assert answering(stage) == third.id and len(stage.ledger.promotions("support")) == 3


def test_no_page_leads_round_the_gate(stage: Stage, two: tuple[Release, Release], keep: Keep) -> None:
    workload = stage.live.workload
    file = workload.file
    plain = file.read_text()
    file.write_text(plain + "limits: {dropped: 0.05}\n")
    drop = {"against": two[0].id, "cases": 90, "gained": 3, "lost": 1, "confidence": 0.95}
    drop |= {"change_at_least": -0.01, "change_at_most": 0.05}
    failed = keep(workload, 0.9, gate={"passed": False})
    worse = keep(load(file), 0.9999, gate={"passed": True, "drop": drop})
    beside = keep(load(file), 0.9, gate={"passed": True, "drop": drop | {"against": two[1].id}})
    (workload.folder / "checks.py").write_text("raise RuntimeError('no such list here')\n")
    file.write_text(plain + 'checks: ["checks.py:calm"]\n')
    unopened = keep(load(file), 0.9)
    file.write_text(plain)
    damaged = keep(workload, 0.95)
    (damaged.folder / "cascade.json").write_text("{}")
    cookie, seen = signed_in(stage, "ola"), {"instead_of": two[1].id, "why": "I want it"}
    for release, said, at_once in (
        (failed, "no evidence that it passed its gate", True),
        (damaged, "cascade.json changed after the release was frozen", True),
        (two[1], "answers already", True),
        (worse, "this release is not promoted: beside release", False),
        (unopened, "checks.py, line 1: cannot be imported: RuntimeError: no such list here", False),
    ):
        assert (said in call(stage, "GET", f"{ROOT}/{release.id}/promote", cookie)[2]) is at_once
        status, _, page = call(stage, "POST", f"{ROOT}/{release.id}/promote", cookie, **seen)
        assert status == 409 and said in unescape(page) and answering(stage) == two[1].id
        assert str(workload.folder) not in page and ('name="why"' in page) is not at_once
    assert call(stage, "POST", f"{ROOT}/{beside.id}/promote", cookie, **seen)[0] == 303 and answering(stage) == beside.id


def test_what_takes_longer_than_a_page_waits_goes_on_and_is_told_when_it_ends(
    stage: Stage, two: tuple[Release, Release], keep: Keep, tab: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rung.gateway.pages.moving.PATIENCE", 0.0)
    third = keep(stage.live.workload, 0.9)
    enter(tab, stage)
    tab.goto(f"{stage.url}{ROOT}/{third.id}/promote")
    tab.get_by_label("Why").fill("more careful")
    tab.get_by_role("button", name="Promote").click()
    expect(tab.get_by_role("status")).to_contain_text("is being opened")
    assert findings(tab) == [] and answering(stage) == two[1].id
    monkeypatch.setattr("rung.gateway.pages.moving.PATIENCE", 60.0)
    tab.get_by_role("link", name="Look again").click()
    tab.wait_for_url("**/releases")
    assert answering(stage) == third.id


def test_an_outcome_waits_for_who_asked_for_it_and_is_nobody_elses(
    stage: Stage, two: tuple[Release, Release], keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rung.gateway.pages.moving.PATIENCE", 0.0)
    third, (ola, ole) = keep(stage.live.workload, 0.9), (signed_in(stage, name) for name in ("ola", "ole"))
    page, form = f"{ROOT}/{third.id}/promote", {"instead_of": two[1].id, "why": "better"}
    assert call(stage, "POST", page, ola, **form)[0] == 202
    assert call(stage, "GET", page, ole)[0] == 202  # under way, whoever began it
    while call(stage, "GET", page, ole)[0] == 202:
        time.sleep(0.1)
    assert answering(stage) == third.id
    assert "It answers already" in call(stage, "GET", page, ole)[2]
    monkeypatch.setattr("rung.gateway.pages.moving.PATIENCE", 60.0)
    promote(stage.live.workload, two[1], stage.ledger, "bob", "worse")
    assert call(stage, "POST", page, ole, **form | {"why": "still"})[0] == 303  # a promotion of its own
    assert answering(stage) == third.id and stage.ledger.promotions("support")[-1].by == "ole"
    assert call(stage, "GET", page, ola)[0] == 303 and call(stage, "GET", page, ola)[0] == 200  # told once


def test_who_is_no_operator_moves_nothing(stage: Stage, two: tuple[Release, Release]) -> None:
    cookie, form = signed_in(stage, "vic"), {"why": "mine", "instead_of": two[1].id}
    assert "/promote" not in call(stage, "GET", f"{ROOT}/{two[0].id}", cookie)[2]
    assert "/rollback" not in call(stage, "GET", ROOT, cookie)[2]
    for path in (f"{two[0].id}/promote", "rollback"):
        assert call(stage, "GET", f"{ROOT}/{path}", cookie)[0] == 403
        assert call(stage, "POST", f"{ROOT}/{path}", cookie, **form)[0] == 403
    assert answering(stage) == two[1].id


def test_a_damaged_release_is_named_and_the_rest_is_shown(stage: Stage, two: tuple[Release, Release]) -> None:
    (two[0].folder / "evidence.json").write_text("[]")
    cookie = signed_in(stage)
    page = call(stage, "GET", ROOT, cookie)[2]
    assert "It cannot be read" in page and two[1].id[:12] in page
    status, _, page = call(stage, "GET", f"{ROOT}/{two[0].id}", cookie)
    assert (
        status == 404 and "evidence.json changed after the release was frozen" in page and str(two[0].folder.parent) not in page
    )
    assert "cannot be read on this machine" in call(stage, "GET", f"{ROOT}/{two[1].id}", cookie)[2]


def tried(trial: Trial, arm: Any, n: int, answered: bool) -> Record:
    case = Case(f"{SCRIPT} {n}")
    fields = {"intent": "refund", "order": None}
    attempt = Attempt("specialist", Answer(fields, cost=0.0, seconds=0.01), (), 0.9, 0.01, 0.0, answered)
    outcome = Outcome.ACCEPTED if answered else Outcome.REVIEW
    tier, release = "specialist" if answered else "person", trial.release if arm == "challenger" else trial.against
    decision = Decision(case.id, outcome, fields if answered else None, 0.9, tier, release, 0.001, 0.01, (attempt,))
    return Record("support", case, decision, datetime.now(UTC), Assignment(trial.id, arm))


def test_a_running_trial_is_shown_with_the_figures_of_the_command_line(
    stage: Stage, two: tuple[Release, Release], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rung.gateway.pages.tried.SETTLED", 0.0)
    monkeypatch.setattr("rung.gateway.pages.tried.WAIT", 10.0)
    start_trial(stage.live.workload, two[0], stage.ledger, Terms("canary", 0.25), "ola", SCRIPT)
    trial, cookie = stage.ledger.trial("support"), signed_in(stage)
    assert trial is not None
    for part in range(3):

        async def record(part: int = part) -> None:
            arms = ("live", "live", "live", "challenger")
            records = [tried(trial, arms[n % 4], n, answered=n % 5 > 0) for n in range(100 * part, 100 * part + 100)]
            await asyncio.gather(*map(stage.ledger.record, records))

        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(asyncio.run, record()).result()
        page = call(stage, "GET", ROOT, cookie)[2]
        measures = {each["name"]: each for each in report_trial(stage.ledger, trial, stage.live.workload)["measures"]}
        person = measures["person"]
        low, high = 100 * person["difference_at_least"], 100 * person["difference_at_most"]
        assert f"{low:+.1f} to {high:+.1f} points" in page and f"of {person['live']['of']}" in page
        assert "Canary trial of" in page and "being tried" in page and SCRIPT not in page


def test_the_metrics_that_a_release_keeps_are_read_back_as_they_were(stage: Stage) -> None:
    decisions = asyncio.run(ask_all(cascade(), [one.case for one in CASES]))
    document = measure(stage.live.workload, CASES, decisions).document()
    again = read_metrics(document).document()
    assert document.pop("disagreements") and again.pop("disagreements") == []
    assert again == document
