"""What the cascade would not decide alone is put to people, and their verdicts become gold."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from records import NOON, accepted, for_review, record
from rung.core import Answer, Attempt, Case, Problem, Verdict
from rung.gold import read_gold
from rung.ledger import Ledger, Record
from rung.review import ReviewError, gold_lines, settle, settle_review, undo, waiting
from rung.workload import Workload, load

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)

FILE = """
workload: support
task: Name the intent of a customer's message.
answer:
  type: object
  properties:
    intent: {enum: [refund, fee]}
    urgent: {type: boolean}
    order: {type: [string, "null"], pattern: "^[A-Z]{2}[0-9]{4}$"}
    reply: {type: string, template: "replies/{intent}.md"}
  required: [intent, reply]
checks: ["checks.py:never"]
gold: gold.jsonl
promise: {error: 0.02, confidence: 0.95}
"""
REPLY = "About {order}: you get your money back."
REFUND = {"intent": "refund", "urgent": False, "order": "AB1234"}
COMPLETE = {**REFUND, "reply": "About AB1234: you get your money back."}


@pytest.fixture
def workload(tmp_path: Path) -> Workload:
    (tmp_path / "workload.yaml").write_text(FILE)
    (tmp_path / "gold.jsonl").touch()
    (tmp_path / "checks.py").write_text("def never(case, answer):\n    return 'no answer is good enough'\n")
    (tmp_path / "replies").mkdir()
    (tmp_path / "replies" / "refund.md").write_text(REPLY)
    (tmp_path / "replies" / "fee.md").write_text("Here are our fees.")
    return load(tmp_path)


def attempt(confidence: float, *objections: str, tier: str = "specialist", trusted: bool = False, **fields: object) -> Attempt:
    answer = Answer({**COMPLETE, **fields})
    return Attempt(tier, answer, tuple(Problem("schema", each) for each in objections), confidence, trusted=trusted)


def put(ledger: Ledger, *attempts: Attempt) -> str:
    (written,) = record(ledger, for_review(attempts=attempts), text="money for AB1234")
    return written.decision.id


def say(decision_id: str, **answer: object) -> Verdict:
    return Verdict(decision_id, answer, "ann", "as on the phone")


# Waiting


def test_the_best_attempt_is_the_suggestion(ledger: Ledger, workload: Workload) -> None:
    frontier = attempt(0.6, tier="frontier", intent="fee")
    decision_id = put(ledger, attempt(0.9, "order: too long"), frontier, Attempt("last", None, (Problem("model", "hung"),)))
    (found,) = waiting(ledger, workload, 10)
    assert (found.id, found.at, found.text) == (decision_id, NOON, "money for AB1234")
    assert (found.suggestion, found.confidence, found.problems) == ({**COMPLETE, "intent": "fee"}, 0.6, ())


def test_where_no_tier_had_an_answer_the_reason_is_shown(ledger: Ledger, workload: Workload) -> None:
    hung = Problem("model", "no answer within 2 s")
    put(ledger, Attempt("specialist", None, (hung,)))
    (found,) = waiting(ledger, workload, 10)
    assert (found.suggestion, found.confidence, found.problems) == (None, 0.0, (hung,))


def test_the_oldest_case_is_asked_first_and_a_settled_one_no_more(ledger: Ledger, workload: Workload) -> None:
    records = record(ledger, for_review(), accepted(), for_review(), for_review())
    settle(ledger, workload, say(records[0].decision.id, **REFUND), NOON)
    assert [each.id for each in waiting(ledger, workload, 10)] == [each.decision.id for each in records[2:]]
    assert [each.id for each in waiting(ledger, workload, 1)] == [records[2].decision.id]


# Settling


def test_a_verdict_is_completed_and_kept(ledger: Ledger, workload: Workload) -> None:
    decision_id = put(ledger, Attempt("specialist", None))
    settled = settle(ledger, workload, say(decision_id, **REFUND), NOON)
    assert settled == Verdict(decision_id, COMPLETE, "ann", "as on the phone")
    assert ledger.verdict(decision_id) == settled


def test_what_the_answer_leaves_out_is_taken_from_the_suggestion(ledger: Ledger, workload: Workload) -> None:
    decision_id = put(ledger, attempt(0.4, invented=1))
    settled = settle(ledger, workload, say(decision_id, intent="fee"), NOON)
    assert settled.answer == {**REFUND, "intent": "fee", "reply": "Here are our fees."}


def test_a_whole_answer_may_be_given_back(ledger: Ledger, workload: Workload) -> None:
    assert settle(ledger, workload, say(put(ledger, attempt(0.4)), **COMPLETE), NOON).answer == COMPLETE


def test_every_problem_is_named_and_nothing_is_kept(ledger: Ledger, workload: Workload) -> None:
    decision_id = put(ledger, Attempt("specialist", None))
    with pytest.raises(ReviewError) as refused:
        settle(ledger, workload, say(decision_id, intent="rebate", order="1", ordr=None, reply="Dear all"), NOON)
    told = str(refused.value)
    assert f"decision {decision_id} has 5 problems" in told
    for part in ("intent: ", "order: ", '"urgent" is a required property', "'ordr' was unexpected", "reply: follows from"):
        assert part in told
    assert len(refused.value.problems) == 5
    assert "settle it again" in told
    assert ledger.verdict(decision_id) is None


def test_an_answer_that_is_no_json_is_refused(ledger: Ledger, workload: Workload) -> None:
    with pytest.raises(ReviewError, match="has 1 problem:\n  answer: is not JSON"):
        settle(ledger, workload, say(put(ledger, attempt(0.4)), order=object()), NOON)


def test_an_unknown_decision_is_refused(ledger: Ledger, workload: Workload) -> None:
    with pytest.raises(ReviewError, match="no decision nope in the ledger"):
        settle(ledger, workload, say("nope", **REFUND), NOON)


def test_the_decision_of_another_workload_is_refused(ledger: Ledger, workload: Workload) -> None:
    (foreign,) = record(ledger, for_review(), workload="sales")
    with pytest.raises(ReviewError, match="belongs to the workload sales, not to support"):
        settle(ledger, workload, say(foreign.decision.id, **REFUND), NOON)


def test_an_edited_template_does_not_overturn_a_confirmed_answer(ledger: Ledger, workload: Workload) -> None:
    decision = accepted(answer=COMPLETE, attempts=(attempt(0.99, tier="specialist", trusted=True),))
    record(ledger, decision)
    (workload.folder / "replies" / "refund.md").write_text("Sorry! " + REPLY)
    assert settle(ledger, workload, say(decision.id), NOON).answer == COMPLETE
    assert ledger.summary("support").tiers["specialist"].overturned == 0
    settle(ledger, workload, say(decision.id, urgent=True), NOON)
    assert ledger.summary("support").tiers["specialist"].overturned == 1


# Gold


def test_verdicts_become_gold_that_can_be_read(ledger: Ledger, workload: Workload) -> None:
    answers: list[Mapping[str, Any]] = [REFUND, {**REFUND, "urgent": True}, {**REFUND, "intent": "fee"}]
    answers.append({"intent": "fee", "urgent": True, "order": None})
    for n, answer in enumerate(answers):
        (written,) = record(ledger, for_review(), at=NOON + timedelta(hours=n), text=f"message number {n}")
        settle(ledger, workload, say(written.decision.id, **answer), NOON)
    record(ledger, for_review())
    workload.gold.write_text("".join(json.dumps(line) + "\n" for line in gold_lines(ledger, workload)))
    assert [example.expected for example in read_gold(workload).examples] == answers


def test_the_newest_verdict_is_the_gold(ledger: Ledger, workload: Workload) -> None:
    decision = for_review()
    case = Case("AB1234!", {"channel": "chat"}, id=decision.id)
    asyncio.run(ledger.record(Record("support", case, decision, NOON)))
    settle(ledger, workload, say(decision.id, **{**REFUND, "intent": "fee"}), NOON)
    settle(ledger, workload, say(decision.id, **REFUND), NOON)
    (line,) = gold_lines(ledger, workload)
    assert (line["input"], line["context"], line["expected"]) == ("AB1234!", {"channel": "chat"}, REFUND)


def test_gold_says_where_it_comes_from_and_forgets_what_was_taken_back(ledger: Ledger, workload: Workload) -> None:
    (unasked,) = record(ledger, accepted())
    settle(ledger, workload, say(unasked.decision.id, **REFUND), NOON)
    (drawn,) = record(ledger, accepted(), drawn=0.25)
    review = ledger.queue.take("support", "ben", NOON, NOON)
    assert review is not None
    settle_review(ledger, workload, review, Verdict(drawn.decision.id, REFUND, "ben"), NOON, 2.0)
    sources = {line["source"]["decision"]: line["source"] for line in gold_lines(ledger, workload)}
    at = NOON.isoformat()
    assert sources[unasked.decision.id] == {"decision": unasked.decision.id, "by": "ann", "at": at, "look": "feedback"}
    assert sources[drawn.decision.id] == {
        "decision": drawn.decision.id,
        "by": "ben",
        "at": at,
        "look": "sample",
        "drawn": 0.25,
    }
    undo(ledger, workload, review.seq, "ben", NOON)
    assert [line["source"]["by"] for line in gold_lines(ledger, workload)] == ["ann"]


def test_an_optional_field_left_out_is_null_in_gold(ledger: Ledger, workload: Workload) -> None:
    (written,) = record(ledger, for_review())
    ledger.settle(Verdict(written.decision.id, {"intent": "fee", "urgent": True}, "bob"), NOON)
    (line,) = gold_lines(ledger, workload)
    assert line["expected"] == {"intent": "fee", "urgent": True, "order": None}
