"""A workload with a past: thirty days of decisions, verdicts and reviews that wait, the same each time."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta

from records import run, settle
from rung.core import Answer, Attempt, Case, Decision, Outcome, Problem, Verdict
from rung.ledger import Ledger, Record

INTENTS = ("refund", "card_lost", "fee_question", "other")
TEXTS = {
    "refund": "Please send my money back for order AB{n:06d}, the parcel never came.",
    "card_lost": "I lost my card on the train this morning, case {n}. Can you block it?",
    "fee_question": "Why was I charged a fee of {n} on my last statement?",
    "other": "Just wanted to say hello, number {n}.",
}


def populate(
    ledger: Ledger, workload: str, until: datetime, decisions: int = 600, days: int = 30, release: str = "5eed" * 16
) -> None:
    """Record decisions spread over the days before `until`; settle some of those that people were to look at."""
    chance = random.Random(7)
    records = [
        _record(chance, workload, until - timedelta(days=days * (1 - n / decisions)), n, release) for n in range(decisions)
    ]

    async def write() -> None:
        await asyncio.gather(*map(ledger.record, records))

    run(write())
    for record in records:
        waits = record.drawn is not None or record.decision.outcome is Outcome.REVIEW
        if waits and (record.drawn or chance.random() < 0.7):
            right = dict(record.decision.attempts[-1].answer.fields)
            if chance.random() < 0.03:
                right["intent"] = chance.choice(INTENTS)
            by = chance.choice(("ann", "ben", "cleo"))
            settle(ledger, Verdict(record.decision.id, right, by), record.at + timedelta(hours=chance.random()))


def _record(chance: random.Random, workload: str, at: datetime, n: int, release: str) -> Record:
    intent = chance.choices(INTENTS, (5, 3, 3, 1))[0]
    case = Case(TEXTS[intent].format(n=n), {"channel": chance.choice(("chat", "mail"))}, "key:web", id=f"{n:028x}")
    fields = {"intent": intent, "order": f"AB{n % 10000:04d}" if intent == "refund" else None}
    sure = chance.betavariate(8, 1)
    answer = Answer(fields, {"intent": sure, "order": min(1.0, sure + 0.02)}, cost=0.0, seconds=0.003)
    small = Attempt("specialist", answer, () if sure > 0.6 else (Problem("schema", "order: is missing"),), sure, 0.004, 0.0)
    if sure > 0.8:
        trusted = _trusted(small)
        decision = Decision(
            case.id, Outcome.ACCEPTED, fields, sure, "specialist", release, 0.0, chance.lognormvariate(-5, 0.5), (trusted,)
        )
    elif sure > 0.7:
        large = Attempt("large", Answer(fields, cost=0.002, seconds=0.8), (), 0.97, 0.9, 0.002, True)
        decision = Decision(
            case.id, Outcome.ESCALATED, fields, 0.97, "large", release, 0.002, chance.lognormvariate(0, 0.4), (small, large)
        )
    else:
        decision = Decision(case.id, Outcome.REVIEW, None, sure, "person", release, 0.0, 0.006, (small,))
    drawn = 0.02 if decision.answer is not None and chance.random() < 0.1 else None
    return Record(workload, case, decision, at, drawn=drawn)


def _trusted(attempt: Attempt) -> Attempt:
    return Attempt(
        attempt.tier, attempt.answer, attempt.problems, attempt.confidence, attempt.seconds, attempt.cost, trusted=True
    )
