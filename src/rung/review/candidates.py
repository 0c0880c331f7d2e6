"""Turns what people settled into lines that may become gold, each with where it comes from. Knows no other gold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rung.ledger import Ledger, Settled
from rung.workload import Workload


def gold_lines(ledger: Ledger, workload: Workload) -> Iterator[dict[str, Any]]:
    """The settled cases as lines of the gold file, oldest first: what the verdict that counts says, without template fields.

    An optional field that the answer leaves out is null: gold has every field. `source` says which decision it was, who settled
    it when, why they looked (`unsure`, `sample`, or `feedback` that came unasked), and the chance (0..1) with which it was drawn,
    if it was: what people look at is no fair sample of the traffic, and this is what tells how unfair.
    """
    for each in ledger.queue.settled(workload.name):
        case = each.record.case
        expected = {name: each.verdict.answer.get(name) for name in workload.asked}
        yield {"input": case.text, "context": dict(case.context), "expected": expected, "source": _source(each)}


def _source(each: Settled) -> dict[str, Any]:
    drawn = {} if each.record.drawn is None else {"drawn": each.record.drawn}
    said = {"decision": each.verdict.decision, "by": each.verdict.by, "at": each.at.isoformat()}
    return {**said, "look": each.look or "feedback", **drawn}
