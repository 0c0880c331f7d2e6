"""A release tried beside the live one: who is drawn, what is recorded, when it ends, and that nobody waits for a shadow."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine, create_engine, event, text

from commands import Caller
from gateway_stage import ask
from gateway_stage import workload as gateway_workload
from records import NOON, accepted, for_review
from rung.cascade import Cascade, Tier
from rung.core import Answer, Case, Decision, Problem, Verdict
from rung.gateway import application
from rung.ledger import (
    Assignment,
    End,
    Ledger,
    Marks,
    PointerMoved,
    Promotion,
    Record,
    RecordRefused,
    Shadow,
    Trial,
    TrialRefused,
    open_ledger,
)
from rung.models.calibration import Calibration
from rung.release.frozen import Parts, Release, ReleaseError, Ungated, freeze
from rung.release.live import Live
from rung.release.pointer import ledger_of, named_release, promote, rollback
from rung.release.trial import Terms, assign, start_trial, stop_trial
from rung.release.trial_report import report_trial
from rung.release.trial_tally import Tally, Watch
from rung.testing import FakeModel
from rung.workload import Workload, load
from small_workload import write_workload

PARTS = Parts({}, {"specialist": Calibration({}, 0.0)}, 0.5)
GATED = {"gate": {"passed": True}}
MARGINS = {"person": 0.05, "failed": 0.01, "overturned": 0.02, "slow": 0.01}
CANARY = Trial("t1", "support", "canary", "r2", "r1", 0.5, "", "", 0.1, MARGINS, NOON, "ada", "faster")


def begun(ledger: Ledger, trial: Trial = CANARY) -> Trial:
    """A trial that runs, against a release that answers."""
    if ledger.current_release(trial.workload) is None:
        ledger.promote(Promotion(trial.workload, trial.against, NOON, "ada", ""), None, {})
    ledger.begin_trial(trial)
    return trial


def record_all(ledger: Ledger, records: Sequence[Record]) -> None:
    async def at_once() -> None:
        await asyncio.gather(*map(ledger.record, records))

    asyncio.run(at_once())


def part(arm: str, decision: Decision, unit: str = "", trial: str = "t1") -> Record:
    return Record("support", Case("hello", id=decision.id), decision, NOON, Assignment(trial, arm, unit))  # type: ignore[arg-type]


def measure(tally: Tally, name: str) -> dict[str, Any]:
    return next(each for each in tally.document()["measures"] if each["name"] == name)


def counted(ledger: Ledger, trial: Trial = CANARY) -> Tally:
    tally = Tally(trial)
    tally.read(ledger, ledger.marks())
    return tally


# Who is drawn


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5])
def test_a_unit_is_always_drawn_alike_and_the_share_is_kept(share: float) -> None:
    trial, units = replace(CANARY, share=share, unit="session"), 20_000
    arms = [assign(trial, Case("hello", {"session": number})) for number in range(units)]
    again = [assign(trial, Case("something else", {"session": number})) for number in range(units)]
    assert arms == again
    drawn = sum(each is not None and each.arm == "challenger" for each in arms)
    assert abs(drawn - units * share) < 4 * (units * share * (1 - share)) ** 0.5
    assert len({each.unit for each in arms if each}) == units


def test_trials_draw_independently_of_each_other() -> None:
    units = 20_000
    drawn = [
        tuple(assign(replace(CANARY, id=name, unit="user"), Case("x", user=str(unit))).arm for name in ("t1", "t2"))  # type: ignore[union-attr]
        for unit in range(units)
    ]
    both = Counter(drawn)
    assert len(both) == 4
    assert all(abs(count - units / 4) < 4 * (units * 3 / 16) ** 0.5 for count in both.values())


def test_a_case_without_the_unit_is_drawn_by_itself() -> None:
    trial = replace(CANARY, unit="session")
    arms = Counter(assign(trial, Case("x", {"other": 1})).arm for _ in range(2_000))  # type: ignore[union-attr]
    assert min(arms.values()) > 800
    assert assign(trial, Case("x")).unit == ""  # type: ignore[union-attr]
    assert assign(trial, Case("x", {"session": "\ud800"})).unit  # type: ignore[union-attr]
    by_user = replace(CANARY, unit="user")
    assert assign(by_user, Case("x", user="7")) == assign(by_user, Case("y", {"user": 7}))


# What may be tried


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Workload, Release, Ledger]:
    """A workload with a release that answers."""
    workload = write_workload(tmp_path, 6, limits={"p99": "300ms"})
    live = freeze(workload, PARTS, "live", GATED, "report")
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    promote(workload, live, ledger, "ada", "first")
    return workload, live, ledger


INSIDE = {"slm": {"url": "http://10.0.0.2/v1", "size": "core", "weights": "open", "boundary": "inside", "price": {}}}


def released(folder: Path, name: str, endpoints: Any = None, **changes: Any) -> Release:
    workload = write_workload(folder, 6, endpoints, **changes)
    return freeze(workload, PARTS, name, GATED, "report")


@pytest.mark.parametrize(
    ("live", "challenger", "says"),
    [
        ({}, {"boundary": {"may_leave": "redacted", "redact": ["email"]}}, "redacted instead of never"),
        (
            {"boundary": {"may_leave": "redacted", "redact": ["email"]}},
            {"boundary": {"may_leave": "anything"}},
            "anything instead",
        ),
        (
            {"boundary": {"may_leave": "redacted", "redact": ["email", "phone", "iban"]}},
            {"boundary": {"may_leave": "redacted", "redact": ["email"]}},
            "does not mask iban, phone",
        ),
    ],
)
def test_a_challenger_that_lets_more_out_is_refused(tmp_path: Path, live: Any, challenger: Any, says: str) -> None:
    one = released(tmp_path, "one", **live)
    other = released(tmp_path, "other", **challenger)
    workload = write_workload(tmp_path, 6)
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    promote(workload, one, ledger, "ada", "")
    for kind in ("shadow", "canary", "ab"):
        with pytest.raises(TrialRefused, match=says):
            start_trial(workload, other, ledger, Terms(kind, 0.1), "ada", "")  # type: ignore[arg-type]
    assert ledger.trial("small") is None
    promote(workload, other, ledger, "ada", "the boundary is meant to be wider")
    assert start_trial(workload, one, ledger, Terms("shadow"), "ada", "").against == other.id


@pytest.mark.parametrize(
    ("url", "boundary", "says"),
    [
        ("https://api.vendor.com/v1", "inside", "slm is said to be inside the walls"),
        ("https://API.vendor.com/v1", "inside", "slm is said to be inside the walls"),
        ("https://api.vendor.com:443/v1", "inside", "slm is said to be inside the walls"),
        ("https://api.vendor.com./openai/v1", "inside", "slm is said to be inside the walls"),
        ("https://api.vendor.com:8443/v1", "inside", "slm is said to be inside the walls"),
        ("https://api.vendor.com:8443/v1", "outside", "slm is outside the walls, at an address the live release does not reach"),
        ("https://other-vendor.com/v1", "outside", "slm is outside the walls, at an address the live release does not reach"),
        ("http://10.0.0.3/v1", "inside", None),
        ("http://10.0.0.2:8443/v1", "inside", None),
        ("https://API.vendor.com:443/v2", "outside", None),
        ("http://10.0.0.2/v1", "inside", None),
        ("http://10.0.0.2/v1", "outside", None),
    ],
)
def test_a_challenger_asks_outside_the_walls_only_where_the_live_release_does(
    tmp_path: Path, url: str, boundary: str, says: str | None
) -> None:
    changes: dict[str, Any] = {"boundary": {"may_leave": "redacted", "redact": ["email"]}}
    vendor = {**INSIDE["slm"], "url": "https://api.vendor.com/v1", "boundary": "outside"}
    tiers = [{"endpoint": name, "model": "any"} for name in ("slm", "vendor")]
    one = released(tmp_path, "one", {**INSIDE, "vendor": vendor}, tiers=tiers, **changes)
    other = released(tmp_path, "other", {"slm": {**vendor, "url": url, "boundary": boundary}}, tiers=tiers[:1], **changes)
    workload = write_workload(tmp_path, 6, INSIDE, tiers=tiers[:1], **changes)
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    promote(workload, one, ledger, "ada", "")
    if says is None:
        assert start_trial(workload, other, ledger, Terms("shadow"), "ada", "").release == other.id
        return
    with pytest.raises(TrialRefused, match=says):
        start_trial(workload, other, ledger, Terms("shadow"), "ada", "")


def test_what_cannot_be_compared_is_refused(pair: tuple[Workload, Release, Ledger], tmp_path: Path) -> None:
    workload, live, ledger = pair
    ungated = freeze(workload, PARTS, "ungated", {}, "report")
    other = freeze(workload, PARTS, "other", {**GATED, "n": 2}, "report")
    schema = {"properties": {"intent": {"enum": ["refund", "login", "weather", "fee"]}}, "required": ["intent"]}
    wider = released(tmp_path, "wider", answer={"type": "object", "additionalProperties": False, **schema})

    def start(release: Release, terms: Terms) -> Trial:
        return start_trial(workload, release, ledger, terms, "ada", "")

    with pytest.raises(Ungated):
        start(ungated, Terms("shadow"))
    with pytest.raises(TrialRefused, match="answers already"):
        start(live, Terms("shadow"))
    with pytest.raises(TrialRefused, match="have another schema"):
        start(wider, Terms("canary", 0.1))
    for share in (0.0, 1.0, -1.0, 1.5, float("nan")):
        with pytest.raises(TrialRefused, match="must be more than 0"):
            start(other, Terms("canary", share))
    with pytest.raises(TrialRefused, match="no release is being tried"):
        stop_trial(workload, ledger, "ada", "")
    trial = start(other, Terms("canary", 0.1, "session"))
    assert (trial.slow, trial.margins["overturned"]) == (0.3, workload.promise.error)
    with pytest.raises(TrialRefused, match="one trial at a time"):
        start(wider, Terms("shadow"))
    assert stop_trial(workload, ledger, "ada", "enough") == trial
    assert start(wider, Terms("shadow")).kind == "shadow"


def test_a_trial_needs_a_release_that_answers(tmp_path: Path) -> None:
    workload = write_workload(tmp_path, 6)
    release = freeze(workload, PARTS, "one", GATED, "report")
    with pytest.raises(TrialRefused, match="no release answers yet"):
        start_trial(workload, release, open_ledger(f"sqlite:///{tmp_path}/ledger.db"), Terms("shadow"), "ada", "")


# What the ledger keeps


def test_a_trial_is_kept_until_it_ends_and_one_runs_at_a_time(ledger: Ledger) -> None:
    assert ledger.trial("support") is None
    trial = begun(ledger, replace(CANARY, why="more \u20ac\0", unit="session"))
    assert ledger.trial("support") == ledger.trial("support", running=True) == trial
    with pytest.raises(TrialRefused, match="one trial at a time"):
        ledger.begin_trial(replace(trial, id="t2"))
    begun(ledger, replace(trial, id="t3", workload="other"))
    end = End(NOON + timedelta(hours=1), "bob", "stopped: enough")
    assert ledger.end_trial("t1", end)
    assert ledger.trial("support", running=True) is None
    assert ledger.trial("support") == replace(trial, end=end)
    ledger.begin_trial(replace(trial, id="t2"))
    assert [ledger.trial(name).id for name in ("support", "other")] == ["t2", "t3"]


def test_a_trial_against_a_release_that_no_longer_answers_does_not_begin(ledger: Ledger) -> None:
    ledger.promote(Promotion("support", "r9", NOON, "ada", ""), None, {})
    with pytest.raises(PointerMoved, match="does not answer by now"):
        ledger.begin_trial(CANARY)


def test_of_all_who_end_a_trial_at_once_one_does(ledger: Ledger) -> None:
    begun(ledger)
    done: list[bool] = []
    threads = [Thread(target=lambda n=n: done.append(ledger.end_trial("t1", End(NOON, str(n), f"halted {n}")))) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [False] * 5 + [True]
    end = ledger.trial("support").end
    assert end and end.result == f"halted {end.by}"


@pytest.mark.parametrize(("release", "back", "says"), [("r2", False, "r2 was promoted"), ("r0", True, "r0 was rolled back to")])
def test_another_release_that_answers_ends_the_trial(ledger: Ledger, release: str, back: bool, says: str) -> None:
    begun(ledger)
    moved = Promotion("support", release, NOON + timedelta(hours=1), "bob", "", back)
    ledger.promote(moved, "r1", {})
    end = ledger.trial("support").end
    assert end == End(moved.at, "bob", f"ended: release {says}")


def test_the_part_in_a_trial_is_recorded_with_each_decision(ledger: Ledger, ledger_url: str) -> None:
    begun(ledger)
    one, other = part("live", accepted(), "u1"), part("challenger", accepted(), "u2")
    plain = replace(part("live", accepted()), assignment=None)
    record_all(ledger, [one, other, plain])
    assert [ledger.find(each.decision.id) for each in (one, other, plain)] == [one, other, plain]
    engine = create_engine(ledger_url)
    with engine.begin() as connection:  # as it was written before there were trials
        body = json.loads(connection.execute(text("SELECT body FROM decisions WHERE trial IS NULL")).scalar_one())
        del body["assignment"], body["case"]["user"]
        connection.execute(text("UPDATE decisions SET body = :body WHERE trial IS NULL"), {"body": json.dumps(body).encode()})
    engine.dispose()
    assert ledger.find(plain.decision.id) == plain


def test_a_trial_counts_its_own_decisions_and_the_first_verdict_on_each_answer(ledger: Ledger) -> None:
    begun(ledger)
    silent = replace(accepted().attempts[0], answer=None)
    live = [accepted(seconds=0.2), accepted(attempts=(silent,), cost=0.003), for_review()]
    tried = [accepted(), accepted()]
    record_all(ledger, [part("live", each) for each in live] + [part("challenger", each) for each in tried])
    record_all(ledger, [part("live", for_review(), trial="t0"), replace(part("live", for_review()), assignment=None)])
    for decision, intent in ((tried[0], "fee"), (tried[0], "refund"), (live[0], "refund"), (live[2], "fee")):
        ledger.settle(Verdict(decision.id, {"intent": intent}, "ann"), NOON)
    tally = counted(ledger)
    arms = {name: [measure(tally, name)[arm] for arm in ("live", "challenger")] for name in ("person", "failed", "slow")}
    assert [each["share"] for each in (*arms["person"], *arms["failed"], *arms["slow"])] == [1 / 3, 0, 1 / 3, 0, 1 / 3, 0]
    overturned = measure(tally, "overturned")
    assert (overturned["live"], overturned["challenger"]) == ({"of": 1, "share": 0.0}, {"of": 1, "share": 1.0})
    costs = tally.document()["arms"]
    assert costs["live"] == {"cases": 3, "cost_usd_per_case": pytest.approx(0.005 / 3)}
    assert costs["challenger"] == {"cases": 2, "cost_usd_per_case": pytest.approx(0.001)}


def test_reading_a_trial_in_portions_or_at_once_comes_to_the_same(ledger: Ledger) -> None:
    begun(ledger)
    draw, stepwise = random.Random(1), Tally(CANARY)
    for _ in range(12):
        made = [for_review() if draw.random() < 0.3 else accepted() for _ in range(draw.randrange(40))]
        record_all(ledger, [part(draw.choice(["live", "challenger"]), each) for each in made])
        for each in made[:5]:
            ledger.settle(Verdict(each.id, {"intent": draw.choice(["refund", "fee"])}, "ann"), NOON)
        stepwise.read(ledger, ledger.marks())
    assert stepwise.document() == counted(ledger).document()


def test_a_unit_counts_once_an_hour_by_its_first_case_and_its_first_verdict(ledger: Ledger) -> None:
    trial = begun(ledger, replace(CANARY, unit="session"))
    made = [accepted(), for_review(), accepted(), accepted()]
    record_all(ledger, [part("live", each, unit) for each, unit in zip(made, ["a", "a", "b", ""], strict=True)])
    for each in (made[0], made[2]):
        ledger.settle(Verdict(each.id, {"intent": "fee"}, "ann"), NOON)
    tally = counted(ledger, trial)
    assert (measure(tally, "person")["live"], tally.document()["arms"]["live"]["cases"]) == ({"of": 3, "share": 0.0}, 4)
    assert measure(tally, "overturned")["live"]["of"] == 2
    assert "each session counted once, and once an hour where there is a margin" in tally.document()["error_control"]
    said = "so each session counts once an hour: 3 of 4 cases of the live and 0 of 0 cases of the challenger release"
    assert said in tally.document()["counting"]
    assert counted(ledger).document()["counting"] is None


def test_shadows_are_kept_beside_the_decisions_and_count_nowhere_else(ledger: Ledger) -> None:
    trial = begun(ledger, replace(CANARY, kind="shadow"))
    live = [accepted(), accepted(answer={"intent": "refund", "order": 7}), for_review(), accepted()]
    record_all(ledger, [part("live", each) for each in live])
    before = ledger.summary("support")
    unseen = [
        replace(live[0], release="r2"),
        replace(live[1], release="r2", answer={"intent": "refund", "order": None}, cost=0.5),
        replace(live[2], release="r2"),
        accepted(id="never-recorded"),
    ]
    ledger.add_shadows([Shadow("t1", each, each is not unseen[1], NOON) for each in unseen])
    assert ledger.summary("support") == before
    assert ledger.unseen("t1", [each.id for each in live]) == {each.id: each for each in unseen[:3]}
    document = report_trial(ledger, trial)
    assert document["agreement"].items() >= {"drawn": 4, "of": 3, "alike": 2}.items()
    assert document["differing"] == [
        {"decision": live[1].id, "text": "hello", "live": {"order": 7}, "challenger": {"order": None}}  # where they part
    ]
    assert document["arms"]["challenger"] == {"cases": 3, "cost_usd_per_case": pytest.approx(0.502 / 3)}


def test_a_look_reads_what_is_new_and_not_the_whole_trial(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    ledger = open_ledger(url)
    begun(ledger)
    made = [accepted() for _ in range(20)]
    record_all(ledger, [part("live", each) for each in made])
    ledger.settle(Verdict(made[0].id, {"intent": "fee"}, "ann"), NOON)
    asked: list[tuple[str, Any]] = []

    def note(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        asked.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        until_now = ledger.marks()
        assert len(ledger.read_trial("t1", Marks(), until_now).judged) == 1
        once = len(asked)
        ledger.read_trial("t1", until_now, replace(until_now, decision=until_now.decision + 1))
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert not any("verdicts" in statement or "shadows" in statement for statement, _ in asked[once:])
    engine = create_engine(url)
    with engine.connect() as connection:
        about = [each for each in asked[:once] if "verdicts.overturned" in each[0]]
        plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", told).fetchall() for statement, told in about]
    engine.dispose()
    assert len(plans) == 1 and "SEARCH verdicts" in plans[0][0][3] and "decisions_by_trial" not in str(plans)


def test_what_cannot_be_kept_or_counted_takes_nothing_else_with_it(ledger: Ledger) -> None:
    trial = begun(ledger, replace(CANARY, kind="shadow"))
    made = [accepted() for _ in range(5)]
    record_all(ledger, [part("live", each) for each in made])
    endless: list[Any] = []
    endless.append(endless)
    spoilt = [replace(made[0], answer={"intent": endless}), replace(made[1], cost=float("nan"))]
    ledger.add_shadows([Shadow("t1", each, True, NOON) for each in (*spoilt, *made[2:])])
    assert report_trial(ledger, trial)["agreement"].items() >= {"drawn": 5, "of": 3, "alike": 3}.items()
    for score in (-0.1, 5.0, float("nan")):
        with pytest.raises(RecordRefused, match="score from 0 to 1"):
            ledger.settle(Verdict(made[2].id, {"intent": "fee"}, "ann", score=score), NOON)
    assert ledger.verdict(made[2].id) is None


# When it ends


def simulated(folder: Path, seed: int, worse: float, cases: int = 3_000) -> Trial:
    """A canary of 20 % in which 2 % of the live release's cases go to a person, and so many more of the challenger's."""
    draw, ledger = random.Random(seed), open_ledger(f"sqlite:///{folder}/{seed}-{worse}.db")
    trial = begun(ledger, replace(CANARY, share=0.2))
    watch, records = Watch(trial), []
    for number in range(cases):
        decision = accepted()
        assignment = assign(trial, Case("x", id=f"{seed}-{number}"))
        assert assignment
        rate = 0.02 + (worse if assignment.arm == "challenger" else 0.0)
        records.append(part(assignment.arm, for_review() if draw.random() < rate else decision))
    for start in range(0, cases, 250):
        record_all(ledger, records[start : start + 250])
        watch.look(ledger)
    asyncio.run(ledger.close())
    found = ledger.trial("support")
    assert found
    return found


def test_a_harmful_canary_is_halted_with_the_numbers(tmp_path: Path) -> None:
    end = simulated(tmp_path, 1, 0.25).end
    assert end and end.by == "rung"
    assert end.result.startswith("halted: cases left to a person: ")
    assert "with the challenger" in end.result and "more than 5 points more, with 98.75% confidence" in end.result


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_harmless_canary_is_not_halted(tmp_path: Path, seed: int) -> None:
    assert simulated(tmp_path, seed, 0.0, 1_500).end is None


@pytest.mark.parametrize(("right", "decision"), [(0.95, "better"), (0.35, "worse"), (0.65, "undecided")])
def test_an_ab_trial_decides_by_what_people_say(tmp_path: Path, right: float, decision: str) -> None:
    ledger, draw = open_ledger(f"sqlite:///{tmp_path}/ledger.db"), random.Random(5)
    trial = begun(ledger, replace(CANARY, kind="ab", metric="feedback", margins={}))
    watch = Watch(trial)
    for _ in range(3):
        made = [(arm, accepted()) for arm in ("live", "challenger") for _ in range(100)]
        draw.shuffle(made)
        record_all(ledger, [part(arm, each) for arm, each in made])
        for arm, each in made:
            says = {"intent": "refund" if draw.random() < (0.65 if arm == "live" else right) else "fee"}
            ledger.settle(Verdict(each.id, says, "ann", score=draw.random()), NOON)
        watch.look(ledger)
    watch.look(ledger)
    tally, end = counted(ledger, trial), ledger.trial("support").end
    assert tally.document()["decision"] == decision
    assert (end is not None) == (decision == "worse") and (end is None or end.result.startswith("worse: judged answers"))
    assert [measure(tally, "relevance")[arm]["of"] for arm in ("live", "challenger")] == [300, 300]
    assert "is wrong with a chance of at most 5%" in tally.document()["error_control"]


def harmed(ledger: Ledger, trial: Trial, hours: int, bad: Callable[[int], Decision]) -> str | None:
    """How a trial stands whose 40 users come twice an hour; the challenger's, half of them, meet what `bad` makes of the hour."""
    for hour in range(hours):
        users = [(format(user, "016x"), "challenger" if user % 2 else "live") for user in range(40)] * 2
        made = [part(arm, bad(hour) if arm == "challenger" else accepted(), unit) for unit, arm in users]
        record_all(ledger, [replace(each, at=NOON + timedelta(hours=hour)) for each in made])
    return counted(ledger, trial).result()


def test_a_canary_sees_harm_after_all_its_users_were_met(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    result = harmed(ledger, begun(ledger, replace(CANARY, unit="user")), 6, lambda hour: for_review() if hour else accepted())
    assert result and result.startswith("halted: cases left to a person: 100 of 120")


@pytest.mark.parametrize("unit", ["", "user"])
def test_an_ab_trial_ends_by_harm_that_its_metric_does_not_see(tmp_path: Path, unit: str) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    trial = begun(ledger, replace(CANARY, kind="ab", metric="feedback", unit=unit))
    result = harmed(ledger, trial, 6, lambda _: for_review())
    assert result and result.startswith("halted: cases left to a person: ")
    told = counted(ledger, trial).document()
    assert told["decision"] == "undecided"
    assert "by feedback is wrong with a chance of at most 5%, of which 2.5% to call the challenger worse" in told["error_control"]
    assert "halted with a chance of at most 2.5% in the whole trial (4 sequential tests at 0.62% each)" in told["error_control"]


def test_a_canary_is_halted_for_its_cost_where_the_file_limits_it(tmp_path: Path) -> None:
    workload = write_workload(tmp_path, 6, limits={"cost_per_case": 0.002})
    live, other = (freeze(workload, PARTS, name, {**GATED, "n": name}, "report") for name in ("live", "other"))
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    promote(workload, live, ledger, "ada", "")
    trial = start_trial(workload, other, ledger, Terms("canary", 0.1), "ada", "")
    assert trial.dear == 0.002
    tried = replace(trial, id="t1")
    assert harmed(ledger, tried, 2, lambda _: accepted(cost=0.0019)) is None
    result = harmed(ledger, tried, 6, lambda _: accepted(cost=0.003))
    assert result and result.startswith("halted: mean cost: $0.002725 in 160 cases with the challenger; more than $0.002, with")


def limited(folder: Path, ledger: Ledger, **limits: Any) -> tuple[Workload, Trial]:
    """A workload with these limits, and a canary in it."""
    workload = write_workload(folder, 6, limits=limits)
    live, other = (freeze(workload, PARTS, name, {**GATED, "n": name}, "report") for name in ("live", "other"))
    promote(workload, live, ledger, "ada", "")
    return workload, start_trial(workload, other, ledger, Terms("canary", 0.5), "ada", "")


def test_a_canary_is_halted_for_values_found_nowhere_where_the_file_limits_them(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    workload, trial = limited(tmp_path, ledger, hallucinated=0.05)
    assert trial.margins["hallucinated"] == 0.05

    def record_hour(hour: int, invented: str, written: str) -> None:
        """What each arm answers in an hour, its order number as the text has it or not."""
        said = {"challenger": invented, "live": "ab 1234"}
        made = [(arm, accepted(answer={"intent": "refund", "order": order})) for _ in range(80) for arm, order in said.items()]
        records = [part(arm, each, trial=trial.id) for arm, each in made]
        at = NOON + timedelta(hours=hour)
        record_all(ledger, [replace(each, case=Case(written, id=each.case.id), at=at) for each in records])

    def tally() -> Tally:
        counted = Tally(trial, workload)
        counted.read(ledger, ledger.marks())
        return counted

    for hour in range(2):
        record_hour(hour, "AB1234", "about order AB-1234")
    assert tally().result() is None and measure(tally(), "hallucinated")["challenger"] == {"of": 120, "share": 0.0}
    for hour in range(2, 4):
        record_hour(hour, "AB9876", "about order AB-1234")
    result = tally().result()
    assert result and result.startswith("halted: answers with a value found nowhere in the input: 120 of 240 (50.0%)")
    shown = report_trial(ledger, trial, workload)
    assert "(4 sequential tests at 1.25% each)" in shown["error_control"]


@pytest.mark.parametrize(("by", "named"), [("channel", "phone"), ("intent", "login")])
def test_a_canary_is_halted_for_one_slice_in_which_people_overturn_its_answers(tmp_path: Path, by: str, named: str) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    _, trial = limited(tmp_path, ledger, slices={"channel": 0.1, "intent": 0.1})
    rightly = {"phone": "login", "chat": "refund"}
    made: list[tuple[str, str, Decision]] = []
    for number in range(1_600):
        channel, arm = "phone" if number % 8 < 2 else "chat", ("live", "challenger")[number % 2]
        wrong = arm == "challenger" and channel == "phone"
        made.append((channel, arm, accepted(answer={"intent": "weather" if wrong else rightly[channel]})))
    parts = [(channel, part(arm, each, trial=trial.id)) for channel, arm, each in made]
    record_all(ledger, [replace(one, case=Case("x", {"channel": channel}, id=one.case.id)) for channel, one in parts])
    for channel, _, each in made:
        ledger.settle(Verdict(each.id, {"intent": rightly[channel]}, "ann"), NOON)
    assert trial.margins.items() >= {"slices.channel": 0.1, "slices.intent": 0.1}.items()
    tally = counted(ledger, replace(trial, margins={f"slices.{by}": 0.1}))
    result = tally.result()
    assert result and result.startswith(f"halted: judged answers that were overturned, {by} {named}: 200 of 200")
    assert result.endswith("more than 10 points more, with 97.50% confidence")  # the first slice that was met has half of 5 %
    other = {"phone": "chat", "login": "refund"}[named]
    assert measure(tally, f"slices.{by}.{other}").items() >= {"exceeded": False, "challenger": {"of": 600, "share": 0.0}}.items()


# What answers meanwhile


class Answering(FakeModel):
    """Answers with its release's name, after a while; one asked after it was closed fails the test."""

    def __init__(self, name: str, delay: float = 0.0) -> None:
        super().__init__(lambda case, objections: Answer({"intent": name}, cost=0.25))
        self.delay = delay

    async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
        assert not self.closed, "a model was asked after it was closed"
        await asyncio.sleep(self.delay)
        return await super().answer(case, objections)


def cascade(name: str, model: FakeModel) -> Cascade:
    tier = Tier("specialist", model, lambda signals: 1.0)
    return Cascade((tier,), 0.5, name, lambda fields: fields, lambda case, fields: ())


class Stand:
    """Live releases of one workload, named r1 and r2, with models to order; r1 answers, and each opening is counted."""

    def __init__(self, folder: Path, make: Callable[[str], FakeModel] = Answering) -> None:
        self.workload = write_workload(folder, 6)
        self.ledger = open_ledger(f"sqlite:///{folder}/stand.db")
        self.models: list[tuple[str, FakeModel]] = []
        self._make = make
        self.ledger.promote(Promotion("small", "r1", NOON, "ada", ""), None, {})
        self.live = Live(*self.open("r1"), self.ledger, self.open)

    def open(self, name: str) -> tuple[Workload, Cascade]:
        if name == "broken":
            raise ReleaseError("broken is not a release")
        self.models.append((name, self._make(name)))
        return self.workload, cascade(*self.models[-1])

    async def __aenter__(self) -> Stand:
        self._following = asyncio.create_task(self.live.follow(pause=0.01))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)
        await self.live.close()
        await self.ledger.close()
        assert all(model.closed for _, model in self.models)

    async def start(self, **changes: Any) -> Trial:
        trial = replace(CANARY, **{"workload": "small", "release": "r2", "against": "r1", **changes})
        await asyncio.to_thread(self.ledger.begin_trial, trial)
        await until(lambda: self.live.trial is not None)
        return trial


async def until(reached: Callable[[], object], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not reached():
            await asyncio.sleep(0.005)


def test_under_load_no_case_is_lost_or_mixed_while_trials_begin_halt_and_win(tmp_path: Path) -> None:
    async def run() -> tuple[list[Decision], list[str], Ledger]:
        stand = Stand(tmp_path, lambda name: Answering(name, 0.02))
        asked: list[asyncio.Task[Decision]] = []

        async def load() -> None:
            while True:
                asked.append(asyncio.create_task(stand.live.decide(Case(f"case {len(asked)}"))))
                await asyncio.sleep(0.002)

        async def some() -> int:
            before = len(asked)
            await until(lambda: len(asked) >= before + 60)
            return before

        async with stand:
            loading = asyncio.create_task(load())
            await stand.start(id="t1")
            await some()
            await asyncio.to_thread(stand.ledger.end_trial, "t1", End(NOON, "rung", "halted"))
            await until(lambda: stand.live.trial is None)
            loading_alone = asked[await some() :]
            await stand.start(id="t2", kind="ab", metric="feedback")
            await some()
            moved = Promotion("small", "r2", NOON, "ada", "it won")
            await asyncio.to_thread(stand.ledger.promote, moved, "r1", {})
            await until(lambda: stand.live.release == "r2")
            won = await some()
            loading.cancel()
            decisions = list(await asyncio.gather(*asked))
            assert {task.result().release for task in loading_alone} == {"r1"}
            assert {each.release for each in decisions[won:]} == {"r2"} and stand.live.trial is None
            records = await asyncio.to_thread(stand.ledger.find_all, [each.id for each in decisions])
        for each in decisions:
            record = records[each.id]
            assert record.decision == each and each.answer == {"intent": each.release}
            if record.assignment:
                assert each.release == {"live": "r1", "challenger": "r2"}[record.assignment.arm]
        parts = Counter((one.trial, one.arm) for each in records.values() if (one := each.assignment))
        assert len(parts) == 4 and min(parts.values()) > 3, parts
        return decisions, [name for name, _ in stand.models], stand.ledger

    decisions, opened, _ = asyncio.run(run())
    assert len(decisions) > 100
    assert opened == ["r1", "r2", "r2"]  # what was promoted was open already


def test_a_shadow_that_hangs_keeps_nobody_waiting_and_ends_with_the_trial(tmp_path: Path) -> None:
    def make(name: str) -> FakeModel:
        return FakeModel(lambda case, objections: Answer({"intent": name}) if name == "r1" else None)

    async def run() -> None:
        async with Stand(tmp_path, make) as stand:
            trial = await stand.start(kind="shadow", share=1.0)
            decisions = [await stand.live.decide(Case(f"case {number}")) for number in range(40)]
            assert {each.release for each in decisions} == {"r1"}
            challenger = next(model for name, model in stand.models if name == "r2")
            await until(lambda: challenger.asked)
            assert len(challenger.asked) == 1  # the others wait for it
            await asyncio.to_thread(stand.ledger.end_trial, trial.id, End(NOON, "ada", "stopped"))
            await until(lambda: challenger.closed)
            assert (await stand.live.decide(Case("one more"))).release == "r1"
            document = await asyncio.to_thread(report_trial, stand.ledger, trial)
            assert document["agreement"].items() >= {"drawn": 40, "of": 0}.items()

    asyncio.run(run())


def test_shadows_change_nothing_and_are_compared(tmp_path: Path) -> None:
    def make(name: str) -> FakeModel:
        def says(case: Case, objections: object) -> Answer:
            assert case.user == ""
            return Answer({"intent": "refund" if "even" in case.text else name}, cost=5.0 if name == "r2" else 0.25)

        return FakeModel(says)

    async def run() -> None:
        async with Stand(tmp_path, make) as stand:
            trial = await stand.start(kind="shadow", share=1.0)
            for number in range(20):
                case = Case("an even one" if number % 2 == 0 else "an odd one", user="ann")
                decision = await stand.live.decide(case)
                assert (decision.release, decision.cost) == ("r1", 0.25)
            await until(lambda: report_trial(stand.ledger, trial)["agreement"]["of"] == 20)
            document = report_trial(stand.ledger, trial)
            assert document["agreement"]["alike"] == 10 and len(document["differing"]) == 10
            assert document["differing"][0].items() >= {"live": {"intent": "r1"}, "challenger": {"intent": "r2"}}.items()
            assert [document["arms"][arm]["cost_usd_per_case"] for arm in ("live", "challenger")] == [0.25, 5.0]
            summary = stand.ledger.summary("small")
            assert (summary.decisions, summary.cost) == (20, 5.0)

    asyncio.run(run())


def test_a_shadow_is_compared_on_every_case_under_load_and_decides_one_at_a_time(tmp_path: Path) -> None:
    at_once: list[int] = []

    class Counting(Answering):
        async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
            at_once.append(at_once[-1] + 1 if at_once else 1)
            try:
                return await super().answer(case, objections)
            finally:
                at_once.append(at_once[-1] - 1)

    async def run() -> None:
        async with Stand(tmp_path, lambda name: Counting(name, 0.001) if name == "r2" else Answering(name, 0.005)) as stand:
            trial = await stand.start(kind="shadow", share=1.0)
            for _ in range(15):
                await asyncio.gather(*(stand.live.decide(Case("hello")) for _ in range(8)))
            await until(lambda: report_trial(stand.ledger, trial)["agreement"]["of"] == 120)

    asyncio.run(run())
    assert max(at_once) == 1


def test_a_challenger_that_cannot_be_opened_leaves_the_live_one_at_work(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with Stand(tmp_path) as stand:
            broken = replace(CANARY, workload="small", release="broken")
            await asyncio.to_thread(stand.ledger.begin_trial, broken)
            await until(lambda: "broken is not a release" in caplog.text)
            assert {(await stand.live.decide(Case("hello"))).release for _ in range(20)} == {"r1"}
            await asyncio.to_thread(stand.ledger.promote, Promotion("small", "r2", NOON, "ada", ""), "r1", {})
            await until(lambda: stand.live.release == "r2")

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert caplog.text.count("release r1 stays at work. broken is not a release") == 1


def test_a_challenger_that_cannot_be_opened_ends_its_trial_with_the_reason(tmp_path: Path) -> None:
    async def run() -> None:
        async with Stand(tmp_path) as stand:
            await asyncio.to_thread(stand.ledger.begin_trial, replace(CANARY, workload="small", release="broken"))
            async with asyncio.timeout(30):
                while stand.ledger.trial("small", running=True):
                    assert (await stand.live.decide(Case("hello"))).release == "r1"
                    await asyncio.sleep(0.05)
            end = stand.ledger.trial("small").end
            said = "stopped: a process that answers cannot open the challenger: broken is not a release"
            assert end and (end.by, end.result) == ("rung", said)
            await stand.start(id="t2")  # the next one is begun as if nothing had been
            await until(lambda: stand.live.trial is not None)

    asyncio.run(run())


def test_a_running_gateway_halts_a_canary_whose_model_fails(tmp_path: Path) -> None:
    def make(name: str) -> FakeModel:
        return FakeModel(lambda case, objections: Answer({"intent": name}) if name == "r1" else RuntimeError("out of memory"))

    async def run() -> None:
        async with Stand(tmp_path, make) as stand:
            await stand.start()
            async with asyncio.timeout(20):
                while stand.live.trial:
                    await asyncio.gather(*(stand.live.decide(Case("hello")) for _ in range(20)))
            end = stand.ledger.trial("small").end
            assert end and end.by == "rung" and end.result.startswith("halted: cases")
            decisions = [await stand.live.decide(Case("hello")) for _ in range(20)]
            assert {each.release for each in decisions} == {"r1"}

    asyncio.run(run())


def test_a_user_named_in_a_request_is_drawn_alike_and_shown_to_no_model(tmp_path: Path) -> None:
    async def run() -> None:
        async with Stand(tmp_path) as stand:
            await stand.start(unit="user")
            app = application([stand.live], stand.ledger, open_access=True)

            async def chat(**named: str) -> str:
                body = {"model": "small", "messages": [{"role": "user", "content": "hello"}], **named}
                status, answer = await ask(app, "POST", "/v1/chat/completions", json.dumps(body).encode())
                assert status == 200
                return json.loads(answer)["id"].removeprefix("chatcmpl-")

            shown = []
            for number in range(12):
                for _ in range(3):
                    _, answer = await ask(app, "GET", f"/v1/decisions/{await chat(user=f'u{number}')}")
                    shown.append(json.loads(answer))
            arms = [each["trial"]["arm"] for each in shown]
            assert all(len(set(arms[at : at + 3])) == 1 for at in range(0, 36, 3)) and set(arms) == {"live", "challenger"}
            record = stand.ledger.find(await chat(safety_identifier="u3", user="u4"))
            assert record and record.case.user == "u3" and record.assignment
            assert record.assignment.arm == arms[9] and "u3" not in record.assignment.unit
            for number in range(12):
                body = json.dumps({"input": "hello", "user": f"u{number}"}).encode()
                status, answer = await ask(app, "POST", "/v1/workloads/small/decisions", body)
                record = stand.ledger.find(json.loads(answer)["id"])
                assert status == 200 and record and record.case.user == f"u{number}" and record.assignment
                assert record.assignment.arm == arms[3 * number]
            assert all(case.user == "" and not case.context for _, model in stand.models for case, _ in model.asked)

    asyncio.run(run())


def test_feedback_may_say_how_relevant_an_answer_was(tmp_path: Path) -> None:
    async def run() -> None:
        workload, ledger = gateway_workload(tmp_path), open_ledger(f"sqlite:///{tmp_path}/ledger.db")
        live = Live(workload, cascade("r1", FakeModel(lambda *_: Answer({"intent": "other", "order": None}))), ledger)
        app = application([live], ledger, open_access=True)
        decision = await live.decide(Case("hello"))
        path = f"/v1/decisions/{decision.id}/feedback"
        status, answer = await ask(app, "POST", path, b'{"answer": {}, "score": 0.75}')
        assert (status, json.loads(answer)["score"]) == (200, 0.75)
        assert ledger.verdict(decision.id).score == 0.75
        for wrong in (b"1.5", b"-0.1", b'"good"'):
            assert (await ask(app, "POST", path, b'{"answer": {}, "score": ' + wrong + b"}"))[0] == 400
        await ledger.close()

    asyncio.run(run())


def test_an_application_that_owns_its_release_follows_from_the_first_request_where_no_server_speaks_of_its_life(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        stand = Stand(tmp_path)
        app = application([stand.live], stand.ledger, open_access=True, owns=True)
        await asyncio.to_thread(stand.ledger.promote, Promotion("small", "r2", NOON, "ada", ""), "r1", {})
        said = await ask(app, "POST", "/v1/workloads/small/decisions", b'{"input": "hello"}')
        assert json.loads(said[1])["release"] == "r1"
        await until(lambda: stand.live.release == "r2")
        await ask(app, "POST", "/v1/workloads/small/decisions", b'{"input": "hello"}')
        assert [name for name, _ in stand.models] == ["r1", "r2"]  # followed once, and not once a request

    asyncio.run(run())


@pytest.mark.parametrize("owns", [True, False])
def test_an_application_closes_the_releases_it_owns_when_its_server_ends(tmp_path: Path, owns: bool) -> None:
    async def run() -> None:
        stand = Stand(tmp_path)
        app = application([stand.live], stand.ledger, open_access=True, owns=owns)
        heard, said = asyncio.Queue[Any](), asyncio.Queue[Any]()
        life = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}}, heard.get, said.put))
        await heard.put({"type": "lifespan.startup"})
        assert (await said.get())["type"] == "lifespan.startup.complete"
        assert (await ask(app, "POST", "/v1/workloads/small/decisions", b'{"input": "hello"}'))[0] == 200
        await heard.put({"type": "lifespan.shutdown"})
        assert (await said.get())["type"] == "lifespan.shutdown.complete"
        await life
        assert [model.closed for _, model in stand.models] == [owns]

    asyncio.run(run())


# The verbs


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(monkeypatch, capsys)


@pytest.fixture
def tried(tmp_path: Path) -> tuple[Path, str, str]:
    """A workload's folder with a release that answers and one that may be tried."""
    workload = write_workload(tmp_path, 6, limits={"p99": "300ms"})
    live, other = (freeze(workload, PARTS, name, {**GATED, "n": name}, "report") for name in ("live", "other"))
    promote(workload, live, ledger_of(workload), "ada", "first")
    return tmp_path, live.id, other.id


def fill(folder: Path, trial: Trial, arms: Sequence[str], *decisions: Decision) -> None:
    ledger = open_ledger(f"sqlite:///{folder}/.rung/ledger.db")
    record_all(ledger, [replace(part(arm, each, trial=trial.id), workload="small") for arm, each in zip(arms, decisions)])  # noqa: B905


def running(folder: Path) -> Trial:
    trial = open_ledger(f"sqlite:///{folder}/.rung/ledger.db").trial("small", running=True)
    assert trial
    return trial


def test_a_canary_is_begun_shown_and_stopped(tried: tuple[Path, str, str], call: Caller) -> None:
    folder, live, other = tried
    assert call("release", "trial", folder).out == "small: no release was tried yet\n"
    said = call("release", "canary", folder, other[:8], "--share", "20%", "--unit", "session", "--why", "faster")
    assert said.out == f"small: release {other[:12]} answers 20% of the cases by session beside {live[:12]}\n"
    assert f"rung release trial {folder}" in said.err
    trial = running(folder)
    assert (trial.kind, trial.share, trial.unit, trial.why) == ("canary", 0.2, "session", "faster")
    fill(folder, trial, ["live", "challenger", "challenger"], accepted(), accepted(), for_review())
    document = call("release", "trial", folder, "--json").document
    assert document.items() >= {"release": other, "against": live, "ended": None, "decision": None}.items()
    assert document["measures"][0]["challenger"] == {"of": 2, "share": 0.5}
    told = call("release", "trial", folder)
    assert "so each session counts once an hour: 1 of 1 cases of the live and 2 of 2" in " ".join(told.out.split())
    assert "50.00% of 2" in told.out and "not proven over the margin of 5" in told.out and "at most 5%" in told.out
    assert f"rung promote {folder} {other[:12]}" in told.err
    assert "answers alone" in call("release", "stop", folder, "--why", "seen enough").out
    assert "stopped: seen enough" in call("release", "trial", folder).out
    again = call("release", "stop", folder, "--why", "")
    assert again.status == 1 and "no release is being tried" in again.err


def succeed_by(folder: Path, metric: str) -> None:
    file = folder / "workload.yaml"
    file.write_text(json.dumps({**yaml.safe_load(file.read_text()), "success": metric}))


def test_an_ab_trial_says_what_was_decided_by_what(tried: tuple[Path, str, str], call: Caller) -> None:
    folder, _, other = tried
    succeed_by(folder, "answered")
    assert call("release", "ab", folder, other[:8], "--why", "more answers").status == 0
    made = [(accepted() if n % 2 else for_review()) for n in range(400)]
    fill(folder, running(folder), ["challenger" if n % 2 else "live" for n in range(400)], *made)
    told = call("release", "trial", folder).out
    assert "by answered the challenger is: better; it answers 100.0% of the cases without a person" in told
    assert "the decision by answered is wrong with a chance" in told
    assert call("release", "trial", folder, "--json").document["decision"] == "better"
    workload = load(folder)
    promote(workload, named_release(workload, other[:8]), ledger_of(workload), "ada", "it won")  # the verb opens its models too
    assert f"ended: release {other[:12]} was promoted" in call("release", "trial", folder).out
    assert call("rollback", folder, "--why", "no").status == 0


def test_a_shadow_shows_which_cases_differ(tried: tuple[Path, str, str], call: Caller) -> None:
    folder, _, other = tried
    assert "decides unseen 100% of the cases" in call("release", "shadow", folder, other[:8], "--why", "curious").out
    trial, made = running(folder), [accepted() for _ in range(30)]
    fill(folder, trial, ["live"] * 30, *made)
    ledger = open_ledger(f"sqlite:///{folder}/.rung/ledger.db")
    answers = [None, {"intent": None}, *[{"intent": "fee"}] * 28]
    unseen = [replace(each, answer=answer) for each, answer in zip(made, answers, strict=True)]
    ledger.add_shadows([Shadow(trial.id, each, False, NOON) for each in unseen])
    told = call("release", "trial", folder).out
    assert "of 30 cases the challenger has decided 30, 0 of them like the live release" in told
    assert told.count("intent=fee") == 18 and told.count("intent=-") == told.count("a person decides") == 1
    assert len(call("release", "trial", folder, "--json").document["differing"]) == 20


def test_a_shadow_that_asks_for_money_says_so(tmp_path: Path, call: Caller) -> None:
    priced = {"slm": {**INSIDE["slm"], "price": {"input": 1.0, "output": 2.0}}}
    tiers = [{"endpoint": "slm", "model": "any"}]
    live, other = (released(tmp_path, name, priced, tiers=tiers, task=name) for name in ("live", "other"))
    workload = write_workload(tmp_path, 6, priced, tiers=tiers)
    promote(workload, live, ledger_of(workload), "ada", "first")
    assert "what it asks slm/any is paid for on top" in call("release", "shadow", tmp_path, other.id[:8], "--why", "curious").err


def test_what_an_ab_trial_is_decided_by_cannot_be_changed_once_it_runs(tried: tuple[Path, str, str], call: Caller) -> None:
    folder, _, other = tried
    succeed_by(folder, "latency")
    assert call("release", "ab", folder, other[:8], "--why", "faster?").status == 0
    succeed_by(folder, "answered")
    fill(folder, running(folder), ["live", "challenger"], accepted(), accepted())
    assert running(folder).metric == "latency"
    assert "by latency the challenger is: undecided" in call("release", "trial", folder).out


@pytest.mark.parametrize("share", ["0%", "100%", "x", "-1"])
def test_a_share_that_leaves_nothing_to_compare_is_refused(tried: tuple[Path, str, str], call: Caller, share: str) -> None:
    folder, _, other = tried
    said = call("release", "canary", folder, other[:8], "--share", share, "--why", "")
    assert said.status in (1, 2) and "share" in said.err


def test_a_rollback_ends_a_trial_too(pair: tuple[Workload, Release, Ledger]) -> None:
    workload, live, ledger = pair
    second, third = (freeze(workload, PARTS, name, {**GATED, "n": name}, "report") for name in ("second", "third"))
    promote(workload, second, ledger, "ada", "")
    trial = start_trial(workload, third, ledger, Terms("ab", 0.5), "ada", "")
    rollback(workload, ledger, "bob", "worse")
    end = ledger.trial("small").end
    assert end and end.result == f"ended: release {live.id[:12]} was rolled back to" and ledger.trial("small").id == trial.id
