"""Turns what the cascade would not decide alone into questions for people, and their verdicts into gold.

Knows nothing about models, thresholds or how people are asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from rung.cascade.checks import open_checks
from rung.cascade.templates import open_templates
from rung.core import Attempt, Case, Fields, Problem, RungError, Verdict
from rung.ledger import Ledger, Record
from rung.workload import Workload


class ReviewError(RungError):
    """A verdict cannot be taken. `problems` is everything there is against its answer, where that is the reason."""

    code = "verdict_refused"

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        """Say what is wrong and what to do next."""
        self.problems = problems
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A case that a person has to decide. `id` is its decision's.

    `suggestion` is the answer of the best attempt, None where no tier had one; `confidence` (0..1) and `problems` are
    that attempt's.
    """

    id: str
    at: datetime
    text: str
    suggestion: Fields | None
    confidence: float
    problems: tuple[Problem, ...]


def waiting(ledger: Ledger, workload: Workload, limit: int = 50) -> list[Waiting]:
    """The cases that wait for a person, oldest first."""
    return [_question(record) for record in ledger.waiting(workload.name, limit)]


def settle(ledger: Ledger, workload: Workload, verdict: Verdict, at: datetime) -> Verdict:
    """Complete a verdict, record it, and give it back as recorded. Raises `ReviewError`.

    A field that its answer leaves out is taken from the suggestion, a template field is written here. The answer must have
    every field, as gold does, and fit the schema; the workload's own checks a person may overrule.
    """
    record = _find(ledger, workload, verdict.decision)
    templates = {field.name for field in workload.fields} - {*workload.asked}
    suggestion = _question(record).suggestion or {}
    filled = {name: suggestion[name] for name in workload.asked if name in suggestion}
    filled |= {name: value for name, value in verdict.answer.items() if name not in templates}
    written = open_templates(workload)(filled)
    problems = (*_objections(workload, record.case, filled), *_rewritten(verdict.answer, written, templates))
    if problems:
        lines = "".join(f"\n  {problem.message}" for problem in problems)
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        advice = "Correct the answer and settle it again; a copied field of which the text says nothing is null."
        raise ReviewError(f"The answer to decision {record.decision.id} has {count}:{lines}\n{advice}", problems)
    given = record.decision.answer
    if given is not None and _agrees(workload, given, filled):
        written = given  # word for word: a template that was edited since does not make the answer an error
    settled = replace(verdict, answer=written)
    ledger.settle(settled, at)
    return settled


def gold_lines(ledger: Ledger, workload: Workload) -> Iterator[dict[str, Any]]:
    """The settled cases as lines of the gold file, oldest first: what the newest verdict says, without template fields.

    An optional field that the answer leaves out is null: gold has every field.
    """
    for record, verdict in ledger.settled(workload.name):
        expected = {name: verdict.answer.get(name) for name in workload.asked}
        yield {"input": record.case.text, "context": dict(record.case.context), "expected": expected}


def _find(ledger: Ledger, workload: Workload, decision_id: str) -> Record:
    record = ledger.find(decision_id)
    if record is None:
        raise ReviewError(f"There is no decision {decision_id} in the ledger. Next: `rung review` lists those that wait.")
    if record.workload != workload.name:
        raise ReviewError(
            f"Decision {decision_id} belongs to the workload {record.workload}, not to {workload.name}. "
            f"Next: settle it with the file of {record.workload}."
        )
    return record


def _question(record: Record) -> Waiting:
    best = max(record.decision.attempts, key=_rank, default=Attempt(record.decision.tier, None))
    suggestion = None if best.answer is None else best.answer.fields
    return Waiting(record.case.id, record.at, record.case.text, suggestion, best.confidence, best.problems)


def _rank(attempt: Attempt) -> tuple[bool, bool, bool, float]:
    """The attempt that was trusted is best, then the surest of those that no check objects to, then the surest answer."""
    return attempt.trusted, attempt.answer is not None, not attempt.problems, attempt.confidence


def _objections(workload: Workload, case: Case, filled: Fields) -> tuple[Problem, ...]:
    strict = {**workload.schema, "required": [*workload.asked], "additionalProperties": False}
    return open_checks(replace(workload, schema=strict, checks=()))(case, filled)


def _rewritten(answer: Fields, written: Fields, templates: set[str]) -> Iterator[Problem]:
    for name in answer:
        if name in templates and answer[name] != written[name]:
            yield Problem("template", f"{name}: follows from the other fields: leave it out")


def _agrees(workload: Workload, given: Fields, filled: Fields) -> bool:
    return all(given.get(name) == filled.get(name) for name in workload.asked)
