"""What a person is shown of a case: the suggestion, where it was copied from, who tried, and nothing of why they are asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from records import NOON, for_review
from rung.core import Answer, Attempt, Case, Outcome, Problem, Verdict
from rung.ledger import Ledger, Record, Review
from rung.review import (
    agreement,
    guidelines,
    lookalikes,
    open_finder,
    open_questions,
    question,
    settle_review,
    similar,
    undo,
)
from rung.workload import Workload, load

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)

LATER = NOON + timedelta(minutes=1)
TEXT = "Lampen-Nr. LF 204-981 kam kaputt an, bitte 49,90 EUR zurück.\n2 Lampe rot 12,50\n1 Tisch 37,40\nLF204981, 49,90"
LINES = [{"item": "Lampe rot", "count": 2, "amount": 12.5}, {"item": "Tisch", "count": 1, "amount": 37.4}]
SAID = {"intent": "refund", "order": "LF204981", "amount": 49.9, "lines": LINES, "reply": "written then"}


@pytest.fixture
def workload(tmp_path: Path) -> Workload:
    item = {"type": "string"}
    line = {"type": "object", "properties": {"item": item, "count": {"type": "number"}, "amount": {"type": "number"}}}
    content: dict[str, Any] = {
        "workload": "support",
        "task": "Name the intent and copy what is there.",
        "answer": {
            "type": "object",
            "properties": {
                "intent": {"enum": ["refund", "fee", "other"]},
                "order": {"type": ["string", "null"], "pattern": "^LF[0-9]{6}$", "find": ["LF ?[0-9]{3}-?[0-9]{3}"]},
                "amount": {"type": ["number", "null"]},
                "lines": {"type": "array", "items": line},
                "reply": {"type": "string", "template": "reply.md"},
            },
            "required": ["intent", "order", "amount", "lines", "reply"],
        },
        "gold": "gold.jsonl",
        "promise": {"error": 0.02, "confidence": 0.95},
        "review": {"second": 0},
    }
    (tmp_path / "workload.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    (tmp_path / "gold.jsonl").touch()
    (tmp_path / "reply.md").write_text("{intent}: {amount}")
    return load(tmp_path)


def tried(confidence: float, *objections: str, tier: str = "small", trusted: bool = False, **fields: object) -> Attempt:
    answer = Answer({**SAID, **fields}, {"intent": confidence, "order": 0.99})
    return Attempt(tier, answer, tuple(Problem("sums", each) for each in objections), confidence, trusted=trusted)


def put(ledger: Ledger, *attempts: Attempt, text: str = TEXT, drawn: float | None = None) -> Review:
    """Queue a case, as one of the sample where it was drawn."""
    decision = for_review(attempts=attempts)
    if drawn:
        fields = attempts[-1].answer.fields if attempts[-1].answer else {}
        decision = replace(decision, outcome=Outcome.ESCALATED, answer=fields, tier=attempts[-1].tier)
    asyncio.run(ledger.record(Record("support", Case(text, {"channel": "chat"}, id=decision.id), decision, NOON, drawn=drawn)))
    found = ledger.queue.open_on(decision.id, "ann")
    assert found is not None
    return found


HUNG = Attempt("small", None, (Problem("model", "no answer within 2 s"),))


def test_a_question_holds_what_a_person_needs(ledger: Ledger, workload: Workload) -> None:
    review = put(ledger, HUNG, tried(0.4, "they do not add up", tier="large", amount=50))
    asked = question(workload, review)
    assert (asked.review, asked.decision) == (review.seq, review.record.decision.id)
    assert (asked.text, asked.context, asked.waiting_since, asked.confidence) == (TEXT, {"channel": "chat"}, NOON, 0.4)
    assert [(field.name, field.fill, field.value, field.confidence) for field in asked.fields] == [
        ("intent", "label", "refund", 0.4),
        ("order", "copy", "LF204981", 0.99),
        ("amount", "copy", 50, None),
        ("lines", "copy", LINES, None),
        ("reply", "template", "refund: 50", None),  # as it would be written now
    ]
    assert asked.fields[0].labels == ("refund", "fee", "other") and asked.fields[2].kinds == ("number", "null")
    assert [(each.tier, each.confidence, each.error) for each in asked.tries] == [
        ("small", 0.0, "no answer within 2 s"),
        ("large", 0.4, None),
    ]
    assert asked.tries[0].problems == () and asked.tries[1].problems == (Problem("sums", "they do not add up"),)


def test_where_values_were_copied_from_is_shown(ledger: Ledger, workload: Workload) -> None:
    fields = {field.name: field for field in question(workload, put(ledger, tried(0.4))).fields}

    def shown(name: str) -> list[tuple[str, object]]:
        return [(TEXT[one.start : one.end], one.path) for one in fields[name].copied]

    assert shown("order") == [("LF 204-981", ()), ("LF204981", ())]
    assert shown("amount") == [("49,90", ()), ("49,90", ())]
    assert shown("lines") == [
        ("2", (0, "count")),
        ("Lampe rot", (0, "item")),
        ("12,50", (0, "amount")),
        ("1", (1, "count")),
        ("Tisch", (1, "item")),
        ("37,40", (1, "amount")),
    ]
    assert fields["intent"].copied == ()


@pytest.mark.parametrize(
    "answer",
    [
        {"amount": "49,90", "lines": None},
        {"amount": [49.9], "order": {"a": 1}, "lines": "Tisch"},
        {"amount": float("nan"), "lines": [None, 3, {"item": {"a": 1}, "count": [2], "amount": True}]},
        {"order": "\ud83d", "lines": [{"item": "\ud83d"}] * 5_000},
    ],
)
def test_an_answer_that_fits_nothing_has_no_places(ledger: Ledger, workload: Workload, answer: dict[str, Any]) -> None:
    found = open_finder(workload)("Tisch \ud83d\x00 49,90", answer)
    assert found.keys() == {"order", "amount", "lines"}
    asked = question(workload, put(ledger, tried(0.4, **answer)))
    assert len(asked.fields) == 5


def test_a_drawn_answer_is_asked_about_as_an_unsure_one_is(ledger: Ledger, workload: Workload) -> None:
    unsure = question(workload, put(ledger, tried(0.7), tried(0.9, tier="large")))
    drawn = question(workload, put(ledger, tried(0.7), tried(0.9, tier="large", trusted=True), drawn=0.02))
    assert replace(drawn, review=unsure.review, decision=unsure.decision) == unsure


def test_where_no_tier_had_an_answer_there_is_no_suggestion(ledger: Ledger, workload: Workload) -> None:
    asked = question(workload, put(ledger, HUNG))
    assert asked.suggestion is None and {field.value for field in asked.fields[:4]} == {None}


def test_a_draft_is_shown_with_the_text_that_follows_from_it(ledger: Ledger, workload: Workload) -> None:
    review = put(ledger, tried(0.4))
    ledger.queue.draft(review.seq, "ann", {"intent": "fee"}, LATER, LATER + timedelta(minutes=1))
    drafted = ledger.queue.open_on(review.record.decision.id, "ann")
    assert drafted is not None
    asked = open_questions(workload)(drafted)
    assert asked.draft == {"intent": "fee"} and asked.fields[0].value == "refund" and asked.fields[4].value == "fee: 49.9"


def test_the_guidelines_are_read_as_they_stand_now(ledger: Ledger, workload: Workload) -> None:
    assert guidelines(workload) is None
    (workload.folder / "GUIDE.md").write_bytes(b"# How\xff")
    assert guidelines(workload) == "# How\ufffd"


# Settling from the queue


def test_a_review_is_settled_and_taken_back(ledger: Ledger, workload: Workload) -> None:
    review = put(ledger, tried(0.4))
    verdict = Verdict(review.record.decision.id, {"intent": "fee"}, "ann")
    settled = settle_review(ledger, workload, review, verdict, LATER, 3.5)
    assert settled.answer == {**SAID, "intent": "fee", "reply": "fee: 49.9"}
    assert ledger.verdict(settled.decision) == settled and ledger.queue.effort("support").seconds == 3.5
    again = undo(ledger, workload, review.seq, "ann", LATER)
    assert again.draft == settled.answer and again.until == LATER + timedelta(minutes=10)
    assert ledger.verdict(settled.decision) is None


def test_a_share_of_what_is_settled_is_looked_at_by_somebody_else(ledger: Ledger, workload: Workload) -> None:
    always = replace(workload, review=replace(workload.review, second=1.0))
    for first, second in (("fee", "fee"), ("refund", "refund"), ("other", "refund")):
        review = put(ledger, tried(0.4))
        settle_review(ledger, always, review, Verdict("", {"intent": first}, "ann"), LATER, 1.0)
        blind = ledger.queue.take("support", "ben", LATER, LATER)
        assert blind is not None and blind.look == "second" and question(workload, blind).draft is None
        settle_review(ledger, always, blind, Verdict("", {"intent": second}, "ben"), LATER, 1.0)
    found = agreement(ledger, workload)
    assert [*found] == ["intent", "order", "amount", "lines"]
    assert (found["intent"].n, found["intent"].agreed) == (3, 2) and found["intent"].kappa == pytest.approx(0.5)
    assert found["lines"].agreed == 3 and found["lines"].kappa is None


# Likeness


def test_the_cases_that_were_settled_alike_are_shown(ledger: Ledger, workload: Workload) -> None:
    texts = ["the lamp is broken, money back", "broken lamp, I want my money back", "what does delivery cost", "lamp"]
    for text in texts[:3]:
        review = put(ledger, tried(0.4), text=text)
        settle_review(ledger, workload, review, Verdict("", {"intent": "fee"}, "ann"), LATER, 1.0)
    open_one = put(ledger, tried(0.4), text="my lamp is broken and I want money back")
    found = similar(ledger, workload, question(workload, open_one), "ann")
    assert sorted(each.settled.record.case.text for each in found) == sorted(texts[:2])
    assert found[0].settled.verdict.answer["intent"] == "fee" and 1 >= found[0].likeness >= found[1].likeness > 0
    second = review.record  # somebody who looks again must not see what was settled about the very case
    itself = replace(question(workload, open_one), decision=second.decision.id, text=second.case.text)
    assert second.decision.id not in [each.settled.record.decision.id for each in similar(ledger, workload, itself, "ann")]
    assert similar(ledger, workload, replace(question(workload, open_one), text=""), "ann") == []


def test_open_cases_that_one_answer_settles_are_grouped(ledger: Ledger, workload: Workload) -> None:
    ask = open_questions(workload)
    late = [f"My parcel LF{n:06} has not arrived yet, it was due on Monday. Where is it?" for n in range(4)]
    same = [put(ledger, tried(0.4, order=None), text=text) for text in late]
    put(ledger, tried(0.4, intent="fee", order=None), text=late[0])  # another suggestion
    put(ledger, HUNG, text=late[0])
    put(ledger, tried(0.4, order=None), text="I was charged twice for the same lamp")
    (group,) = lookalikes([ask(review) for review in ledger.queue.list("support")])
    assert [each.review for each in group] == [review.seq for review in same]
    assert lookalikes([]) == []
