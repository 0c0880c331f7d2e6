"""The watch: what people's verdicts and the stream of cases say of the release at work, and what follows from it."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from gateway_stage import RELEASE, FakeLive, workload
from records import NOON, accepted, record, settle
from rung.core import Case, Verdict
from rung.gateway.watching import Watch
from rung.ledger import Alarm, Drawn, Ledger, LedgerError, Promotion, Record
from rung.monitor import stream as streams
from rung.monitor.standings import OVERDUE, WHOLE, counting, standings
from rung.monitor.stream import Stream
from rung.workload import Webhook, Workload

WRONG, RIGHT = {"intent": "other", "order": None}, {"intent": "refund", "order": None}


def reviewed(ledger: Ledger, wrong: int, of: int, release: str = RELEASE, share: float = 0.02, channel: str = "web") -> None:
    """So many drawn answers, evenly wrong."""
    cases = [Case("hello", {"channel": channel}) for _ in range(of)]
    decisions = [accepted(id=case.id, release=release, answer=RIGHT) for case in cases]

    async def write() -> None:
        pairs = zip(cases, decisions, strict=True)
        await asyncio.gather(*(ledger.record(Record("support", case, each, NOON, drawn=share)) for case, each in pairs))

    asyncio.run(write())
    begin = NOON + timedelta(hours=len(ledger.settled("support")))
    for n, each in enumerate(decisions):
        bad = (n + 1) * wrong // of > n * wrong // of
        settle(ledger, Verdict(each.id, WRONG if bad else RIGHT, "ann"), begin + timedelta(seconds=n))


# The promise


def test_a_promise_is_unknown_then_kept_by_the_release_at_work_alone(tmp_path: Path, ledger: Ledger) -> None:
    of = workload(tmp_path)
    assert standings(ledger, of, RELEASE)[WHOLE].state == "unknown"
    reviewed(ledger, 40, 40, release="former")
    reviewed(ledger, 0, 250)
    found = standings(ledger, of, RELEASE)
    assert found[WHOLE].state == "kept" and found[WHOLE].reviewed == 250
    assert found["specialist"].promise.confidence == pytest.approx(1 - 0.05 * 6 / math.pi**2)  # others may come


def test_a_slice_that_is_worse_is_named(tmp_path: Path, ledger: Ledger) -> None:
    of = workload(tmp_path)
    of = replace(of, limits=replace(of.limits, slices={"channel": 0.1}))
    reviewed(ledger, 0, 300, channel="web")
    reviewed(ledger, 12, 60, channel="fax")
    states = {subject: standing.state for subject, standing in standings(ledger, of, RELEASE).items()}
    assert states["channel=fax"] == "broken" and states["channel=web"] != "broken"


def test_answers_drawn_more_often_count_for_less(tmp_path: Path, ledger: Ledger) -> None:
    of = workload(tmp_path)
    reviewed(ledger, 0, 100, share=0.02)
    reviewed(ledger, 20, 100, share=0.2)
    found = standings(ledger, of, RELEASE)[WHOLE]
    assert found.share == pytest.approx(20 * 0.1 / (100 + 100 * 0.1), rel=0.2)


def test_who_chooses_what_to_settle_does_not_choose_what_counts(tmp_path: Path, ledger: Ledger) -> None:
    of = workload(tmp_path)
    cases = [accepted(release=RELEASE, answer=RIGHT) for _ in range(400)]
    now = datetime.now(UTC)
    record(ledger, *cases, at=now - timedelta(minutes=9), drawn=0.02)
    for decision in cases[1:]:  # all but the first, one of which is put aside
        review = ledger.queue.open_on(decision.id, "ann")
        if decision is cases[200]:
            ledger.queue.discard(review.seq, "ann", now)
        else:
            ledger.queue.settle(review.seq, Verdict(decision.id, RIGHT, "ann"), now, None, False)
    assert standings(ledger, of, RELEASE)[WHOLE].reviewed == 0  # the first may still turn out to be anything
    settle(ledger, Verdict(cases[0].id, RIGHT, "ann"), now)
    found = standings(ledger, of, RELEASE)[WHOLE]
    assert (found.reviewed, found.unjudged, found.wrong) == (399, 1, 0)


def test_what_is_settled_out_of_turn_still_proves_a_promise_broken(tmp_path: Path, ledger: Ledger) -> None:
    cases = [accepted(release=RELEASE, answer=RIGHT) for _ in range(60)]
    record(ledger, *cases, at=datetime.now(UTC) - timedelta(minutes=9), drawn=0.02)
    for decision in cases[1::2]:
        settle(ledger, Verdict(decision.id, WRONG, "ann"), datetime.now(UTC))
    found = standings(ledger, workload(tmp_path), RELEASE)[WHOLE]
    assert found.state == "broken" and "were wrong" in found.sentence


def test_what_waits_is_not_left_out_of_what_a_level_rests_on() -> None:
    now = datetime.now(UTC)
    drawn = [Drawn(n, RELEASE, "specialist", 0.02, 0.9, now - OVERDUE / 2, False, True) for n in range(9)]
    waits = replace(drawn[5], wrong=None, closed=False)
    overdue, aside = replace(waits, at=now - OVERDUE), replace(waits, closed=True)
    assert counting([*drawn[:5], waits, *drawn[6:]], now) == drawn[:5]  # what was settled out of turn was chosen by somebody
    for unjudged in (overdue, aside):
        assert len(counting([*drawn[:5], unjudged, *drawn[6:], unjudged, waits], now)) == 9


def test_an_answer_that_waits_for_days_is_waited_for_no_more(tmp_path: Path, ledger: Ledger) -> None:
    cases = [accepted(release=RELEASE, answer=RIGHT) for _ in range(3)]
    record(ledger, *cases, at=datetime.now(UTC) - OVERDUE - timedelta(minutes=1), drawn=0.02)
    settle(ledger, Verdict(cases[2].id, RIGHT, "ann"), datetime.now(UTC))
    found = standings(ledger, workload(tmp_path), RELEASE)[WHOLE]
    assert (found.reviewed, found.unjudged) == (1, 2)


# The watch


def watch(tmp_path: Path, ledger: Ledger, **policy: object) -> tuple[Watch, FakeLive]:
    of: Workload = workload(tmp_path)
    of = replace(of, review=replace(of.review, **policy), alarms=(Webhook("RUNG_NOT_SET"),))
    live = FakeLive(of, ledger, pointed=RELEASE)
    return Watch(live, ledger), live


def test_a_broken_promise_rings_once_and_is_cleared_when_it_is_kept_again(tmp_path: Path, ledger: Ledger) -> None:
    looking, _ = watch(tmp_path, ledger)
    asyncio.run(looking.look())
    assert looking.ringing == []
    reviewed(ledger, 30, 60)
    asyncio.run(looking.look())
    asyncio.run(looking.look())
    assert [(alarm.kind, alarm.subject) for alarm in looking.ringing if alarm.kind == "promise"] == [("promise", WHOLE)]
    assert "Broken" in looking.ringing[-1].text and len(ledger.alarms.list("support")) == 2  # the release, and its only tier
    reviewed(ledger, 0, 600)
    asyncio.run(looking.look())
    assert looking.ringing == [] and all(alarm.cleared for alarm in ledger.alarms.list("support"))


def test_what_nobody_could_be_told_is_told_again(tmp_path: Path, ledger: Ledger) -> None:
    looking, _ = watch(tmp_path, ledger)
    reviewed(ledger, 30, 60)
    asyncio.run(looking.look())  # the webhook's variable is not set
    assert len(ledger.alarms.untold("support")) == 2


def test_a_release_that_cannot_be_opened_rings_until_it_is(tmp_path: Path, ledger: Ledger) -> None:
    looking, live = watch(tmp_path, ledger)
    live.pointed = "other" * 8
    asyncio.run(looking.look())
    assert [alarm.subject for alarm in looking.ringing] == ["behind"]
    live.pointed = RELEASE
    asyncio.run(looking.look())
    assert looking.ringing == []


def test_a_policy_that_cannot_be_followed_says_why(tmp_path: Path, ledger: Ledger) -> None:
    looking, live = watch(tmp_path, ledger, on_broken="roll_back")
    live.home = tmp_path
    ledger.promote(Promotion("support", RELEASE, NOON, "ann", ""), None, {})
    reviewed(ledger, 30, 60)
    asyncio.run(looking.look())
    (action,) = ledger.people.actions()
    assert action.by == "rung watch" and "could not be rolled back" in action.detail


def acts(ledger: Ledger) -> list[str]:
    return [action.detail for action in ledger.people.actions() if action.by == "rung watch"]


def test_what_could_not_be_done_for_the_ledger_is_tried_again_at_the_next_look(
    tmp_path: Path, ledger: Ledger, ledger_url: str
) -> None:
    looking, live = watch(tmp_path, ledger, on_broken="roll_back")
    live.home = tmp_path
    ledger.promote(Promotion("support", RELEASE, NOON, "ann", ""), None, {})
    reviewed(ledger, 30, 60)
    beside = create_engine(ledger_url)
    with beside.begin() as connection:
        connection.execute(text("ALTER TABLE actions RENAME TO elsewhere"))
    with pytest.raises(LedgerError):
        asyncio.run(looking.look())
    with beside.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO actions"))
    beside.dispose()
    for _ in range(2):
        asyncio.run(looking.look())
    (done,) = acts(ledger)  # and then no more, before twice as much is known
    assert "could not be rolled back" in done


def test_of_gateways_that_share_a_ledger_the_one_that_rang_acts_and_another_where_it_was_stopped(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.promote(Promotion("support", RELEASE, NOON, "ann", ""), None, {})
    reviewed(ledger, 30, 60)
    rang, _ = watch(tmp_path, ledger, on_broken="roll_back")
    asyncio.run(rang.look())  # and is stopped: it has no home, so it did nothing
    other, live = watch(tmp_path, ledger, on_broken="roll_back")
    live.home = tmp_path
    asyncio.run(other.look())
    assert acts(ledger) == []  # somebody may be at it
    monkeypatch.setattr("rung.gateway.watching.LEFT", timedelta(0))
    asyncio.run(other.look())
    assert len(acts(ledger)) == 1
    third, live = watch(tmp_path, ledger, on_broken="roll_back")
    live.home = tmp_path
    asyncio.run(third.look())
    assert len(acts(ledger)) == 1  # it is on record that somebody acted on this release


# The stream of cases


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of a size that a test can fill."""
    for name, value in (("REFERENCE", 200), ("WINDOW", 100), ("EVERY", 50)):
        monkeypatch.setattr(streams, name, value)


def embed(texts: list[str]) -> np.ndarray:
    """Those that say the same lie near each other."""
    made = np.random.default_rng(len(texts)).normal(0, 0.1, (len(texts), 8)).astype(np.float32)
    made[:, 0] += [1.0 if "refund" in text else 0.0 for text in texts]
    made[:, 1] += [0.0 if "refund" in text else 1.0 for text in texts]
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_a_new_kind_of_case_is_found_and_shown(tmp_path: Path, ledger: Ledger, small: None) -> None:
    of = workload(tmp_path)
    stream = Stream(ledger, of, "r1", NOON, embed, tmp_path / "cache")
    record(ledger, *(accepted() for _ in range(250)), text="a refund, please")
    assert stream.look(NOON + timedelta(days=1)) is None and stream.reference is None  # it takes a whole week
    week = NOON + timedelta(days=8)
    assert stream.look(week) is None and len(stream.reference) == 200
    record(ledger, *(accepted() for _ in range(100)), text="a refund, please", at=week)
    sight = stream.look(week + timedelta(hours=6))
    assert sight is not None and not any(finding.drifted for finding in sight.findings)
    news = record(ledger, *(accepted() for _ in range(60)), text="my card is lost", at=week + timedelta(hours=7))
    sight = stream.look(week + timedelta(hours=12))
    drifted = {finding.signal: finding for finding in sight.findings if finding.drifted}
    assert "embedding" in drifted or "out_of_scope" in drifted
    shown = next(iter(drifted.values())).clusters[0]
    assert {sight.decisions[at] for at in shown.examples} <= {each.decision.id for each in news}


def test_the_reference_is_kept_for_the_next_start(tmp_path: Path, ledger: Ledger, small: None) -> None:
    of = workload(tmp_path)
    record(ledger, *(accepted() for _ in range(220)), text="a refund, please")
    week = NOON + timedelta(days=8)
    first = Stream(ledger, of, "r1", NOON, embed, tmp_path)
    first.look(week)
    again = Stream(ledger, of, "r1", NOON, lambda texts: pytest.fail("embedded again"), tmp_path)
    again.look(week + timedelta(days=1))
    assert np.array_equal(again.reference.embeddings, first.reference.embeddings)


def test_the_looks_go_on_while_the_server_runs(tmp_path: Path) -> None:
    from gateway_stage import staged

    with staged(tmp_path) as stage:
        reviewed(stage.ledger, 30, 60)
        ends = datetime.now(UTC) + timedelta(seconds=30)
        while not stage.ledger.alarms.list("support", ringing=True) and datetime.now(UTC) < ends:
            pass
        assert stage.ledger.alarms.list("support", ringing=True)


# Values that stand nowhere


def answers(ledger: Ledger, orders: list[str | None], release: str = RELEASE) -> None:
    """So many answers on one message, each with an order that it copied, or made up."""
    decisions = [accepted(release=release, answer={"intent": "refund", "order": order}) for order in orders]
    record(ledger, *decisions, text="please refund order AB1234")


def watched(tmp_path: Path, ledger: Ledger, limit: float | None) -> tuple[Watch, FakeLive]:
    looking, live = watch(tmp_path, ledger)
    live.workload = replace(live.workload, limits=replace(live.workload.limits, hallucinated=limit))
    return looking, live


def found(ledger: Ledger) -> list[Alarm]:
    return [alarm for alarm in ledger.alarms.list("support") if alarm.kind == "hallucinated"]


def test_values_that_stand_nowhere_ring_until_another_release_answers(tmp_path: Path, ledger: Ledger) -> None:
    looking, live = watched(tmp_path, ledger, 0.05)
    for _ in range(4):
        answers(ledger, ["AB1234", "ZX9876", None] * 20)
        asyncio.run(looking.look())
    (alarm,) = found(ledger)
    assert looking.ringing == [alarm] and "at most 5% may" in alarm.text and "ZX9876" not in alarm.text
    assert alarm.detail["found"] > 2 and alarm.detail["searched"] <= 4 * 50
    assert {ledger.find(one).decision.answer["order"] for one in alarm.detail["examples"]} == {"ZX9876"}
    again, same = watched(tmp_path, ledger, 0.05)  # another process
    asyncio.run(again.look())
    assert found(ledger)[0].cleared is None
    live.release = live.pointed = same.release = "beef" * 16
    asyncio.run(looking.look())
    assert found(ledger)[0].cleared and looking.ringing == []


@pytest.mark.parametrize(("limit", "invented"), [(0.05, 1), (None, 50), (1.0, 50)])
def test_few_values_that_stand_nowhere_or_no_limit_ring_nothing(
    tmp_path: Path, ledger: Ledger, limit: float | None, invented: int
) -> None:
    looking, _ = watched(tmp_path, ledger, limit)
    for _ in range(4):
        answers(ledger, ["ZX9876"] * invented + ["AB1234"] * (50 - invented))
        asyncio.run(looking.look())
    assert found(ledger) == [] and looking.nowhere == (4 * invented, 200)


def test_a_limit_of_none_rings_after_a_few(tmp_path: Path, ledger: Ledger) -> None:
    looking, _ = watched(tmp_path, ledger, 0.0)
    answers(ledger, ["AB1234"] * 40)
    asyncio.run(looking.look())
    assert found(ledger) == []
    answers(ledger, ["ZX9876"] * 5)
    asyncio.run(looking.look())
    assert found(ledger)
