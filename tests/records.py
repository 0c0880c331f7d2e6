"""Decisions to record, and recording many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar

from rung.core import Answer, Attempt, Case, Decision, Outcome, Problem, Verdict
from rung.ledger import Ledger, Record

Result = TypeVar("Result")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
_ids = count(1)


def accepted(**changes: object) -> Decision:
    answer = Answer({"intent": "refund"}, {"intent": 0.93}, {"margin": 1.5}, cost=0.001, seconds=0.004)
    attempt = Attempt("specialist", answer, (Problem("amount", "no amount in the text"),), 0.93, 0.005, 0.001, True)
    decision = Decision(
        f"d{next(_ids)}", Outcome.ACCEPTED, {"intent": "refund"}, 0.93, "specialist", "r1", 0.001, 0.005, (attempt,)
    )
    return replace(decision, **changes)


def for_review(**changes: object) -> Decision:
    return accepted(**{"outcome": Outcome.REVIEW, "answer": None, "tier": "person", **changes})


def record(
    ledger: Ledger,
    *decisions: Decision,
    workload: str = "support",
    at: datetime = NOON,
    text: str = "hello",
    drawn: float | None = None,
) -> list[Record]:
    """Record the decisions at the same time; each is a second later than the one before."""
    times = [at + timedelta(seconds=n) for n in range(len(decisions))]
    records = [Record(workload, Case(text, id=d.id), d, time, drawn=drawn) for d, time in zip(decisions, times, strict=True)]

    async def all_at_once() -> None:
        await asyncio.gather(*map(ledger.record, records))

    run(all_at_once())
    return records


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run something to its end in a thread of its own: while a test has a page open, this one is the browser's."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def settle(ledger: Ledger, verdict: Verdict, at: datetime) -> None:
    """Settle a decision from the queue, as its reviewer."""
    review = ledger.queue.open_on(verdict.decision, verdict.by)
    assert review
    ledger.queue.settle(review.seq, verdict, at, None, False)


def ids(records: object) -> list[str]:
    return [each.decision.id for each in records]  # type: ignore[attr-defined]
