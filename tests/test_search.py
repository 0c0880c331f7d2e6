"""Looking for decisions: what fits is found, newest first, and it is said how far back anybody looked."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records import NOON, accepted, for_review, ids, record
from rung.core import Case, Outcome, Verdict
from rung.ledger import Ledger, Record, Search, UnknownDecision


def found(ledger: Ledger, limit: int = 50, **wanted: object) -> list[str]:
    """Every decision that fits, page after page."""
    everything: list[str] = []
    onward: str | None = None
    while True:
        page = ledger.search("support", Search(**wanted), limit, onward)  # type: ignore[arg-type]
        everything += ids(page.records)
        onward = page.onward
        if onward is None:
            return everything


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({}, ["third", "second", "first"]),
        ({"outcome": Outcome.REVIEW}, ["third"]),
        ({"tier": "large"}, ["second"]),
        ({"release": "r2"}, ["second"]),
        ({"least": 0.5}, ["second", "first"]),
        ({"most": 0.5}, ["third"]),
        ({"least": 0.93, "most": 0.93}, ["first"]),
        ({"since": NOON + timedelta(seconds=1)}, ["third", "second"]),
        ({"until": NOON + timedelta(seconds=1)}, ["first"]),
        ({"asked_by": "anonymous"}, ["third", "second", "first"]),
        ({"asked_by": "key:web"}, []),
        ({"tier": "large", "release": "r1"}, []),
    ],
)
def test_whatever_is_given_must_hold(ledger: Ledger, wanted: dict[str, object], names: list[str]) -> None:
    second = accepted(id="second", tier="large", release="r2", confidence=0.99, outcome=Outcome.ESCALATED)
    record(ledger, accepted(id="first"), second, for_review(id="third", confidence=0.4))
    record(ledger, accepted(id="else"), workload="other")
    assert found(ledger, **wanted) == names
    assert found(ledger, limit=1, **wanted) == names


@settings(max_examples=40)
@given(st.text(st.characters(), max_size=40), st.data())
def test_a_text_is_found_by_any_of_its_parts(ledger: Ledger, text: str, data: st.DataObject) -> None:
    decision = accepted(id=str(len(found(ledger))))
    asyncio.run(ledger.record(Record("support", Case(text, {"text": "zebra"}, id=decision.id), decision, NOON)))
    start = data.draw(st.integers(0, len(text)))
    part = text[start : data.draw(st.integers(start, len(text)))]
    assert decision.id in found(ledger, words=(part, part.upper() if part.isascii() else part))


def test_words_are_looked_for_in_texts_alone(ledger: Ledger) -> None:
    (kept,) = record(ledger, accepted(), text='Please send my "MONEY" back,\nTHANKS')
    for words in (("money", "THANKS"), ('"money"',), ("back,\nthanks",), ()):
        assert found(ledger, words=words) == [kept.decision.id]
    for words in (("money", "zebra"), ("intent",), ("text",), ("specialist",), ("money_",), ("mon%ey",)):
        assert found(ledger, words=words) == []


def test_it_is_said_how_far_anybody_looked(ledger: Ledger) -> None:
    records = record(ledger, *(accepted() for _ in range(5)))
    page = ledger.search("support", Search(), limit=2)
    assert (ids(page.records), page.looked, page.back) == (ids(records[:2:-1]), 2, records[3].at)
    page = ledger.search("support", Search(tier="none"), limit=2)
    assert (page.records, page.looked, page.back, page.onward) == ([], 5, NOON, None)
    page = ledger.search("nothing", Search())
    assert (page.records, page.looked, page.back, page.onward) == ([], 0, None, None)


def test_looking_on_from_nowhere_is_refused(ledger: Ledger) -> None:
    with pytest.raises(UnknownDecision):
        ledger.search("support", Search(), before="never-recorded")


def test_all_that_people_said_of_a_decision_is_kept(ledger: Ledger) -> None:
    (asked,) = record(ledger, for_review())
    later = NOON + timedelta(hours=1)
    review = ledger.queue.take("support", "ann", NOON, later)
    assert review is not None
    verdict = Verdict(asked.decision.id, {"intent": "other"}, "ann", "as she says")
    ledger.queue.settle(review.seq, verdict, NOON, 3.0, again=True)
    ledger.queue.reopen(review.seq, "ann", NOON, later, NOON)
    ledger.queue.settle(review.seq, verdict, later, 3.0, again=True)
    again = ledger.queue.take("support", "ben", NOON, later)
    assert again is not None and again.look == "second"
    ledger.queue.settle(again.seq, Verdict(asked.decision.id, {"intent": "refund"}, "ben"), later, None, again=False)
    told = [(said.verdict.by, said.at, said.withdrawn, said.second) for said in ledger.history(asked.decision.id)]
    assert told == [("ann", NOON, NOON, False), ("ann", later, None, False), ("ben", later, None, True)]
    with pytest.raises(UnknownDecision):
        ledger.history("never-recorded")
