"""Many people share one queue of reviews, in SQLite and PostgreSQL alike: nothing is settled twice, nothing is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, text

from records import NOON, accepted, for_review, ids, record
from rung.core import Outcome, Verdict
from rung.ledger import Alarm, Ledger, PersonRefused, ReviewTaken, open_ledger

LATER = NOON + timedelta(minutes=1)
LEASE = timedelta(minutes=10)


def take(ledger: Ledger, by: str, now=LATER):
    return ledger.queue.take("support", by, now, now + LEASE)


def settle(ledger: Ledger, review, by: str, intent: str = "refund", now=LATER, again: bool = False) -> None:
    verdict = Verdict(review.record.decision.id, {"intent": intent}, by)
    ledger.queue.settle(review.seq, verdict, now, 4.5, again)


# What waits


def test_what_no_tier_was_sure_of_and_what_was_drawn_wait_in_the_order_they_came(ledger: Ledger) -> None:
    unsure = record(ledger, for_review())
    record(ledger, accepted())
    drawn = record(ledger, accepted(), at=LATER, drawn=0.02)
    assert ids(each.record for each in ledger.queue.list("support")) == ids([*unsure, *drawn])
    assert ledger.queue.count("support") == {"unsure": 1, "sample": 1}
    assert ledger.count_waiting("support") == 1  # the drawn one's caller has its answer already
    assert ledger.queue.list("another") == []


def test_a_verdict_from_the_caller_ends_the_waiting_but_not_the_sample(ledger: Ledger) -> None:
    waiting, drawn = (*record(ledger, for_review()), *record(ledger, accepted(), drawn=0.5))
    for one in (waiting, drawn):
        ledger.settle(Verdict(one.decision.id, {"intent": "fee"}, "key:web"), LATER)
    assert ledger.queue.reviewed("support") == []  # who complains is no fair sample
    review = take(ledger, "ann")
    assert review.record.decision.id == drawn.decision.id
    settle(ledger, review, "ann", "fee")
    (reviewed,) = ledger.queue.reviewed("support")
    assert (reviewed.share, reviewed.wrong, reviewed.tier) == (0.5, True, "specialist")


# Who has it


def test_a_review_is_held_by_one_and_comes_back_when_its_time_is_over(ledger: Ledger) -> None:
    record(ledger, for_review())
    held = take(ledger, "ann")
    assert held is not None and held.holder == "ann" and held.until == LATER + LEASE
    assert take(ledger, "ben") is None
    with pytest.raises(ReviewTaken, match="ann is looking at this one"):
        ledger.queue.hold(held.seq, "ben", LATER, LATER + LEASE)
    much_later = LATER + 2 * LEASE
    assert take(ledger, "ben", much_later).seq == held.seq
    with pytest.raises(ReviewTaken, match="ben is looking"):
        settle(ledger, held, "ann", now=much_later)


def test_a_draft_is_there_for_nobody_but_its_author(ledger: Ledger) -> None:
    record(ledger, for_review())
    held = take(ledger, "ann")
    ledger.queue.draft(held.seq, "ann", {"intent": "fee"}, LATER, LATER + LEASE)
    ledger.queue.release(held.seq, "ben")
    assert take(ledger, "ben") is None  # it was not his to give back
    ledger.queue.release(held.seq, "ann")
    assert take(ledger, "ben").draft is None
    assert [[each.draft for each in ledger.queue.list("support", by)] for by in ("ann", "ben")] == [[{"intent": "fee"}], [None]]
    ledger.queue.release(held.seq, "ben")
    assert take(ledger, "ann").draft == {"intent": "fee"}


def test_many_reviewers_settle_every_case_once(ledger: Ledger) -> None:
    written = record(ledger, *(for_review() for _ in range(60)))
    done: Counter[str] = Counter()

    def work(name: str) -> None:
        while review := take(ledger, name):
            settle(ledger, review, name)
            done[review.record.decision.id] += 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [f"reviewer {n}" for n in range(8)]))
    assert done == Counter(ids(written))
    assert len(ledger.settled("support")) == 60
    assert ledger.queue.count("support") == {}
    assert ledger.queue.effort("support").timed == 60


def test_what_is_settled_cannot_be_settled_again_from_the_queue(ledger: Ledger) -> None:
    record(ledger, for_review())
    review = take(ledger, "ann")
    settle(ledger, review, "ann")
    with pytest.raises(ReviewTaken, match="ann has settled this already"):
        settle(ledger, review, "ben")
    with pytest.raises(ReviewTaken, match="There is no review"):
        ledger.queue.hold(review.seq + 100, "ben", LATER, LATER + LEASE)


def test_what_was_taken_back_counts_no_more(ledger: Ledger) -> None:
    (drawn,) = record(ledger, accepted(), drawn=0.1)
    review = take(ledger, "ann")
    settle(ledger, review, "ann", "fee")
    assert ledger.summary("support").tiers["specialist"].overturned == 1
    with pytest.raises(ReviewTaken, match="ann has settled"):
        ledger.queue.reopen(review.seq, "ben", LATER, LATER + LEASE, NOON)
    again = ledger.queue.reopen(review.seq, "ann", LATER, LATER + LEASE, NOON)
    assert (again.holder, again.draft) == ("ann", {"intent": "fee"})
    assert ledger.verdict(drawn.decision.id) is None
    assert ledger.summary("support").tiers["specialist"].overturned == 0
    assert ledger.queue.reviewed("support") == []
    settle(ledger, again, "ann")
    assert [each.wrong for each in ledger.queue.reviewed("support")] == [False]


def test_a_second_look_is_blind_and_for_somebody_else(ledger: Ledger) -> None:
    (waiting,) = record(ledger, for_review())
    settle(ledger, take(ledger, "ann"), "ann", "fee", again=True)
    assert take(ledger, "ann") is None and ledger.queue.list("support", "ann") == []
    second = take(ledger, "ben")
    assert second.look == "second" and second.draft is None
    with pytest.raises(ReviewTaken, match="ben is looking"):
        ledger.queue.hold(second.seq, "ann", LATER, LATER + LEASE)
    settle(ledger, second, "ben", "refund")
    (pair,) = ledger.queue.pairs("support")
    assert (pair.first.by, pair.first.answer, pair.second.by, pair.second.answer) == (
        "ann",
        {"intent": "fee"},
        "ben",
        {"intent": "refund"},
    )
    assert ledger.verdict(waiting.decision.id).by == "ann"  # the first one counts
    ledger.queue.reopen(second.seq, "ben", LATER, LATER + LEASE, NOON)
    assert ledger.queue.pairs("support") == []


def test_what_was_settled_is_there_with_when_and_why(ledger: Ledger) -> None:
    unsure, drawn, unasked = [*record(ledger, for_review()), *record(ledger, accepted(), drawn=0.1), *record(ledger, accepted())]
    settle(ledger, take(ledger, "ann"), "ann", now=LATER, again=True)
    ledger.settle(Verdict(unasked.decision.id, {"intent": "fee"}, "key:web"), LATER)
    settle(ledger, take(ledger, "ann"), "ann", "fee", now=LATER + timedelta(seconds=1))
    settle(ledger, take(ledger, "ben"), "ben", now=LATER + timedelta(seconds=2))  # the second look is none of these
    latest = ledger.queue.latest("support")
    assert [(*ids([each.record]), each.look, each.verdict.by) for each in latest] == [
        (drawn.decision.id, "sample", "ann"),
        (unsure.decision.id, "unsure", "ann"),
    ]
    assert latest[0].at == LATER + timedelta(seconds=1) and ledger.queue.latest("support", 1) == latest[:1]
    looks = {each.record.decision.id: each.look for each in ledger.queue.settled("support")}
    assert looks == {unsure.decision.id: "unsure", drawn.decision.id: "sample", unasked.decision.id: None}
    ledger.queue.reopen(1, "ann", LATER, LATER + LEASE, NOON)
    assert ids(each.record for each in ledger.queue.latest("support")) == [drawn.decision.id]


def test_a_decision_leads_to_the_look_that_a_person_may_take(ledger: Ledger) -> None:
    (waiting,) = record(ledger, for_review())
    first = ledger.queue.open_on(waiting.decision.id, "ann")
    assert first.look == "unsure" and ledger.queue.open_on("nothing", "ann") is None
    settle(ledger, first, "ann", again=True)
    assert ledger.queue.open_on(waiting.decision.id, "ann") is None
    assert ledger.queue.open_on(waiting.decision.id, "ben").look == "second"
    assert (ledger.queue.count("support", "ann"), ledger.queue.count("support", "ben")) == ({}, {"second": 1})


UNTIL = NOON + 99 * LEASE


def told(ledger: Ledger, heard: bool = True, before=NOON + 9 * LEASE):
    found = ledger.queue.untold("support", before, UNTIL)
    if heard:
        ledger.queue.tell([each.number for each in found], UNTIL)
    return [(each.state, each.answer and each.answer["intent"], each.record.decision.id) for each in found], found


def test_who_asked_is_told_of_every_verdict_whoever_gave_it_and_of_what_is_taken_back(ledger: Ledger) -> None:
    unsure, right, wrong, unseen = (one.decision.id for one in record(ledger, for_review(), accepted(), accepted(), accepted()))
    for id_, intent in ((unsure, "fee"), (right, "refund"), (wrong, "fee")):
        ledger.settle(Verdict(id_, {"intent": intent}, "key:web"), LATER)
    first, found = told(ledger, heard=False)
    assert first == [("settled", "fee", unsure), ("settled", "fee", wrong)] and told(ledger)[0] == []
    over = UNTIL + LEASE  # whoever was to tell it has stopped
    assert told(ledger, before=over)[1] == found and told(ledger, before=over)[0] == []  # the same again, and once
    ledger.settle(Verdict(wrong, {"intent": "refund"}, "ann"), LATER)  # it was right after all
    ledger.settle(Verdict(unsure, {"intent": "refund"}, "ann"), LATER)
    assert told(ledger)[0] == [("settled", "refund", wrong), ("settled", "refund", unsure)]
    assert ledger.queue.untold("another", NOON + LEASE, UNTIL) == [] and unseen


def test_what_came_about_long_ago_is_passed_over(ledger: Ledger) -> None:
    one, two, three = ids(record(ledger, for_review(), for_review(), for_review()))
    number = ledger.queue.open_on(two, "ann").seq
    for id_, at in ((one, NOON), (two, NOON), (three, LATER)):
        ledger.settle(Verdict(id_, {"intent": "fee"}, "ann"), at)
    told(ledger, heard=False, before=NOON + timedelta(seconds=1))
    ledger.queue.reopen(number, "ann", LATER, LATER + LEASE, NOON)
    assert [ledger.queue.pass_over(name, LATER) for name in ("another", "support", "support")] == [0, 1, 0]
    assert told(ledger)[0] == [("reopened", None, two), ("settled", "fee", three)]


def test_what_was_told_and_is_taken_back_is_told_too(ledger: Ledger) -> None:
    (waiting,) = record(ledger, for_review())
    id_, review = waiting.decision.id, take(ledger, "ann")
    settle(ledger, review, "ann")
    ledger.queue.reopen(review.seq, "ann", LATER, LATER + LEASE, NOON)
    assert told(ledger)[0] == []  # nobody had heard of it
    settle(ledger, review, "ann")
    told(ledger)
    ledger.queue.reopen(review.seq, "ann", LATER, LATER + LEASE, NOON)
    assert told(ledger)[0] == [("reopened", None, id_)]
    settle(ledger, review, "ann", "fee")
    ((state, _, _),), (one,) = told(ledger, heard=False)
    ledger.queue.reopen(review.seq, "ann", LATER, LATER + LEASE, NOON)
    ledger.queue.tell([one.number], UNTIL)  # it was posted meanwhile
    assert told(ledger)[0] == [("reopened", None, id_)]
    settle(ledger, review, "ann", "fee")
    ((state, _, _),), (one,) = told(ledger)
    assert (state, one.answer, one.record) == ("settled", {"intent": "fee"}, waiting)
    with pytest.raises(ReviewTaken, match=r"too long ago to take it back.*--settle"):
        ledger.queue.reopen(review.seq, "ann", LATER, LATER + LEASE, LATER + LEASE)
    ledger.settle(Verdict(id_, {"intent": "refund"}, "ben"), LATER)
    with pytest.raises(ReviewTaken, match="ben has settled it anew"):
        ledger.queue.reopen(review.seq, "ann", LATER, LATER + LEASE, NOON)
    assert ledger.verdict(id_).by == "ben" and ledger.queue.count("support") == {}


def test_who_takes_a_case_back_takes_back_all_they_said_since(ledger: Ledger) -> None:
    (drawn,) = record(ledger, accepted(), drawn=0.1)
    id_, review = drawn.decision.id, take(ledger, "ann")
    for by in ("ann", "key:web"):
        ledger.settle(Verdict(id_, {"intent": "other"}, by), NOON)
    settle(ledger, review, "ann")
    ledger.settle(Verdict(id_, {"intent": "fee"}, "ann"), LATER + LEASE)
    again = ledger.queue.reopen(review.seq, "ann", LATER + LEASE, LATER + 2 * LEASE, NOON)
    assert again.draft == {"intent": "fee"} and [bool(each.withdrawn) for each in ledger.history(id_)] == [
        False,
        False,
        True,
        True,
    ]
    assert ledger.verdict(id_).by == "key:web" and ledger.queue.reviewed("support") == []  # what was said before counts again
    settle(ledger, again, "ann", now=LATER + LEASE)
    for by in ("ben", "ann"):
        ledger.settle(Verdict(id_, {"intent": "fee"}, by), LATER + LEASE)
    with pytest.raises(ReviewTaken, match="ben has settled it anew"):
        ledger.queue.reopen(review.seq, "ann", LATER + LEASE, LATER + 2 * LEASE, NOON)


def test_who_took_a_case_back_gets_no_second_look_at_it(ledger: Ledger) -> None:
    record(ledger, for_review())
    first = take(ledger, "ann")
    settle(ledger, first, "ann", again=True)
    second = take(ledger, "ben")
    ledger.queue.reopen(first.seq, "ann", LATER, LATER + LEASE, NOON)
    assert ledger.queue.count("support", "ben") == {"unsure": 1, "second": 1}  # ben is at it
    late = LATER + 2 * LEASE
    with pytest.raises(ReviewTaken, match="somebody who has said nothing"):
        ledger.queue.hold(second.seq, "ann", late, late + LEASE)
    settle(ledger, take(ledger, "ann", late), "ann", now=late, again=True)
    assert ledger.queue.count("support", "ann") == {} and ledger.queue.count("support", "ben") == {"second": 1}
    ledger.queue.reopen(first.seq, "ann", late, late + LEASE, NOON)  # ben's time is over
    assert ledger.queue.count("support", "ben") == {"unsure": 1}


def test_a_discard_is_kept_told_and_can_be_taken_back(ledger: Ledger) -> None:
    unsure, drawn = (*record(ledger, for_review()), *record(ledger, accepted(), drawn=0.1))
    for _ in range(2):
        ledger.queue.discard(take(ledger, "ann").seq, "ann", LATER, "an empty page", {"intent": "fee"})
    id_ = unsure.decision.id
    assert told(ledger)[0] == [("discarded", None, id_)]  # the other's caller has an answer
    for one in (unsure, drawn):
        (said,) = ledger.history(one.decision.id)
        assert (said.discarded, said.verdict.by, said.verdict.note, said.at) == (True, "ann", "an empty page", LATER)
    assert ledger.verdict(id_) is None and ledger.conclusion(id_).discarded and ledger.conclusion(drawn.decision.id) is None
    assert ledger.summary("support").waiting == 0 and ledger.summary("support").settled == 0 and ledger.settled("support") == []
    assert [(each.what, each.by, each.subject, each.detail) for each in ledger.people.actions()][1] == (
        "case discarded",
        "ann",
        id_,
        "an empty page",
    )
    again = ledger.queue.reopen(1, "ann", LATER, LATER + LEASE, NOON)
    assert again.draft == {"intent": "fee"} and ledger.summary("support").waiting == 1
    assert told(ledger)[0] == [("reopened", None, id_)] and ledger.history(id_)[0].withdrawn == LATER
    assert ledger.people.actions()[0].what == "review reopened"
    ledger.queue.discard(1, "ann", LATER)
    ledger.settle(Verdict(id_, {"intent": "refund"}, "key:web"), LATER)  # a later verdict counts
    assert ledger.verdict(id_) == ledger.conclusion(id_).verdict == Verdict(id_, {"intent": "refund"}, "key:web")


def test_a_second_look_is_told_nobody_and_shows_its_person_nothing(ledger: Ledger) -> None:
    (waiting,) = record(ledger, for_review())
    settle(ledger, take(ledger, "ann"), "ann", again=True)
    told(ledger)
    id_ = waiting.decision.id
    assert [ledger.queue.blind(id_, by) for by in ("ann", "ben")] == [False, True]
    assert [len(ledger.queue.latest("support", by=by)) for by in ("ann", "ben", "")] == [1, 0, 0]
    second = take(ledger, "ben")
    ledger.queue.discard(second.seq, "ben", LATER, "not mine")
    assert not ledger.queue.blind(id_, "ben") and len(ledger.queue.latest("support", by="ben")) == 1
    assert [(each.second, each.discarded) for each in ledger.history(id_)] == [(False, False), (True, True)]
    ledger.queue.reopen(second.seq, "ben", LATER, LATER + LEASE, NOON)
    settle(ledger, second, "ben", "fee")
    assert told(ledger)[0] == [] and len(ledger.queue.pairs("support")) == 1


def test_who_settled_a_drawn_answer_corrects_it_and_others_do_not(ledger: Ledger) -> None:
    (drawn,) = record(ledger, accepted(), drawn=0.1)
    settle(ledger, take(ledger, "ann"), "ann")
    for by, wrong in (("key:web", False), ("ann", True)):
        ledger.settle(Verdict(drawn.decision.id, {"intent": "fee"}, by), LATER)
        assert [each.wrong for each in ledger.queue.reviewed("support")] == [wrong]


# Sums


def test_the_sums_by_the_hour_are_those_of_the_decisions(ledger: Ledger) -> None:
    record(ledger, *(accepted(seconds=0.001 * n, cost=0.5) for n in range(1, 101)))
    record(ledger, for_review(), accepted(tier="large", outcome=Outcome.ESCALATED, release="r2"), at=NOON + timedelta(hours=2))
    sums = ledger.tallies("support", NOON, NOON + timedelta(days=1))
    assert {(each.hour, each.release, each.tier, each.outcome): each.decisions for each in sums} == {
        (NOON, "r1", "specialist", Outcome.ACCEPTED): 100,
        (NOON + timedelta(hours=2), "r1", "person", Outcome.REVIEW): 1,
        (NOON + timedelta(hours=2), "r2", "large", Outcome.ESCALATED): 1,
    }
    assert sums[0].cost == 50 and sums[0].seconds == pytest.approx(5.05)
    times = ledger.latencies("support", NOON, NOON + timedelta(hours=1))
    assert sum(each.decisions for each in times) == 100
    median, reached = 0.0, 0
    for each in times:
        reached += each.decisions
        if reached >= 50:
            median = each.seconds
            break
    assert median == pytest.approx(0.050, rel=0.05)
    assert ledger.tallies("support", NOON + timedelta(hours=1), NOON + timedelta(hours=2)) == []


def test_a_ledger_from_before_is_queued_and_counted(ledger: Ledger, ledger_url: str) -> None:
    waiting, settled, _ = record(ledger, for_review(), for_review(), accepted())
    ledger.settle(Verdict(settled.decision.id, {"intent": "fee"}, "ann"), LATER)
    before = ledger.tallies("support", NOON, LATER), ledger.latencies("support", NOON, LATER)
    engine = create_engine(ledger_url)
    with engine.begin() as connection:  # as it was before there were queues
        for name in ("reviews", "hours", "latencies", "alarms", "sessions", "people", "actions"):
            connection.execute(text(f"DROP TABLE {name}"))
        connection.execute(text("DROP INDEX verdicts_due"))
        for name in ("verdicts DROP COLUMN withdrawn_at", "verdicts DROP COLUMN workload", "verdicts DROP COLUMN discarded"):
            connection.execute(text(f"ALTER TABLE {name}"))
        for name in ("due", '"by"'):
            connection.execute(text(f"ALTER TABLE verdicts DROP COLUMN {name}"))
        connection.execute(text("ALTER TABLE keys DROP COLUMN role"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0003'"))
    engine.dispose()
    opened = open_ledger(ledger_url)
    assert ids(each.record for each in opened.queue.list("support")) == ids([waiting])
    assert (opened.tallies("support", NOON, LATER), opened.latencies("support", NOON, LATER)) == before
    assert told(opened)[0] == [("settled", "fee", settled.decision.id)]
    asyncio.run(opened.close())


def test_a_ledger_from_before_knows_what_was_put_aside_and_whom_to_tell(ledger: Ledger, ledger_url: str) -> None:
    heard, unheard, torn, drafted, left = ids(record(ledger, *(for_review() for _ in range(5))))
    for again in (False, True):
        settle(ledger, take(ledger, "ann"), "ann", again=again)
    ledger.queue.discard(take(ledger, "ann").seq, "ann", LATER)
    for id_ in (drafted, left):
        ledger.queue.draft(ledger.queue.open_on(id_, "ann").seq, "ann", {"intent": "fee"}, LATER, LATER + LEASE)
    ledger.queue.release(ledger.queue.open_on(left, "ann").seq, "ann")
    engine = create_engine(ledger_url)
    with engine.begin() as connection:  # as it was when reviews knew who was told
        connection.execute(text("DELETE FROM verdicts WHERE discarded IS NOT NULL"))
        connection.execute(text("DROP INDEX verdicts_due"))
        for name in ("workload", "discarded", "due", '"by"'):
            connection.execute(text(f"ALTER TABLE verdicts DROP COLUMN {name}"))
        connection.execute(text("ALTER TABLE reviews DROP COLUMN drafted_by"))
        connection.execute(text("ALTER TABLE reviews ADD COLUMN told BOOLEAN NOT NULL DEFAULT false"))
        connection.execute(text("CREATE INDEX reviews_untold ON reviews (workload, settled_at)"))
        connection.execute(text("UPDATE reviews SET told = true WHERE seq = 1"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0005'"))
    engine.dispose()
    opened = open_ledger(ledger_url)
    assert told(opened)[0] == [("settled", "refund", unheard)]
    assert [opened.conclusion(id_).discarded for id_ in (heard, unheard, torn)] == [False, False, True]
    shown = [[opened.queue.open_on(id_, by).draft is not None for id_ in (drafted, left)] for by in ("ann", "ben")]
    assert shown == [[True, True], [False, True]]  # nobody knows whose one is that was given back
    assert opened.queue.open_on(unheard, "ann") is None and opened.queue.open_on(unheard, "ben").look == "second"
    asyncio.run(opened.close())


# Alarms and people


def test_an_alarm_rings_once_until_it_is_cleared(ledger: Ledger) -> None:
    alarm = Alarm("support", "promise", "r1", "The promise is broken.", NOON)
    assert [ledger.alarms.ring(alarm), ledger.alarms.ring(alarm)] == [True, False]
    (kept,) = ledger.alarms.list("support", ringing=True)
    assert replace(kept, seq=0) == alarm and ledger.alarms.find(kept.seq) == kept
    assert ledger.alarms.clear("support", "promise", "r1", LATER) and not ledger.alarms.clear("support", "promise", "r1", LATER)
    assert ledger.alarms.list("support", ringing=True) == []
    assert ledger.alarms.ring(alarm)
    assert [each.cleared for each in ledger.alarms.list("support")] == [None, LATER]


def test_of_all_who_would_tell_of_an_alarm_one_does_until_it_is_told(ledger: Ledger) -> None:
    ledger.alarms.ring(Alarm("support", "promise", "r1", "Broken.", NOON, {"wrong": 9}))
    (alarm,) = ledger.alarms.untold("support")
    assert alarm.detail == {"wrong": 9} and ledger.alarms.untold("support") == []
    ledger.alarms.untell(alarm)
    assert ledger.alarms.untold("support") == [alarm]
    ledger.alarms.clear("support", "promise", "r1", LATER)
    (cleared,) = ledger.alarms.untold("support")
    assert cleared.cleared == LATER and ledger.alarms.untold("support") == []
    ledger.alarms.untell(cleared)
    assert ledger.alarms.untold("support") == [cleared]


def test_a_session_lasts_until_it_ends_its_time_is_over_or_its_person_goes(ledger: Ledger) -> None:
    people = ledger.people
    people.add("ann", "operator", "kept", NOON)
    with pytest.raises(PersonRefused, match="already somebody named ann"):
        people.add("ann", "viewer", "kept", NOON)
    for token in (b"1", b"2", b"3", b"4"):
        people.begin_session("ann", token, NOON, LATER)
    assert people.whose(b"1", NOON).role == "operator"
    assert people.whose(b"1", LATER) is None and people.whose(b"5", NOON) is None
    people.end_session(b"1", NOON)
    assert people.whose(b"1", NOON) is None
    people.change("ann", role="viewer")
    assert people.whose(b"2", NOON).role == "viewer"
    people.change("ann", secret="new")
    assert people.whose(b"2", NOON) is None and people.secret("ann") == "new"
    people.begin_session("ann", b"6", NOON, LATER)
    people.remove("ann", LATER)
    assert people.whose(b"6", NOON) is None and people.list() == [] and people.secret("ann") is None
    with pytest.raises(PersonRefused, match="nobody named ann"):
        people.remove("ann", LATER)
