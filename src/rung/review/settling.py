"""Turns what a person says about a case into a verdict that is complete and fits the schema, or into what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rung.cascade.checks import open_checks
from rung.cascade.templates import open_templates
from rung.core import Case, Fields, Problem, RungError, Verdict, same
from rung.ledger import Ledger, Record, Review
from rung.review.drawing import looks_again
from rung.review.questions import best_attempt
from rung.workload import Workload

UNDO = timedelta(hours=1)  # in which a person may take back what they settled or discarded


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
    """The cases whose callers wait for a person, oldest first."""
    return [_waiting(record) for record in ledger.waiting(workload.name, limit)]


def settle(ledger: Ledger, workload: Workload, verdict: Verdict, at: datetime) -> Verdict:
    """Complete a verdict that came from anywhere, record it, and give it back as recorded. Raises `ReviewError`.

    A field that its answer leaves out is taken from the suggestion, a template field is written here. The answer must have
    every field, as gold does, and fit the schema; the workload's own checks a person may overrule.
    """
    record = ledger.find(verdict.decision)
    if record is None:
        raise ReviewError(f"There is no decision {verdict.decision} in the ledger. Next: `rung review` lists those that wait.")
    settled = _complete(workload, record, verdict)
    ledger.settle(settled, at)
    return settled


def settle_review(
    ledger: Ledger, workload: Workload, review: Review, verdict: Verdict, at: datetime, seconds: float | None
) -> Verdict:
    """The same for a review from the queue, which `verdict.by` holds or finds free, and which took them so many seconds. Raises
    `ReviewError`, and `ReviewTaken` where somebody else was faster. A share of what is settled somebody else looks at too."""
    settled = _complete(workload, review.record, replace(verdict, decision=review.record.decision.id))
    ledger.queue.settle(review.seq, settled, at, seconds, looks_again(settled.decision, workload.review))
    return settled


def undo(ledger: Ledger, workload: Workload, review: int, by: str, at: datetime) -> Review:
    """Take back what the same person settled or discarded in the queue: it is open again, held by them, their answer the draft.
    Raises `ReviewTaken`, also where that was longer than `UNDO` ago: then it is settled anew, as by anybody."""
    return ledger.queue.reopen(review, by, at, at + workload.review.lease, at - UNDO)


def _complete(workload: Workload, record: Record, verdict: Verdict) -> Verdict:
    if record.workload != workload.name:
        raise ReviewError(
            f"Decision {record.decision.id} belongs to the workload {record.workload}, not to {workload.name}. "
            f"Next: settle it with the file of {record.workload}."
        )
    templates = {field.name for field in workload.fields} - {*workload.asked}
    suggestion = _waiting(record).suggestion or {}
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
    return replace(verdict, answer=written)


def _waiting(record: Record) -> Waiting:
    best = best_attempt(record.decision)
    suggestion = None if best.answer is None else best.answer.fields
    return Waiting(record.case.id, record.at, record.case.text, suggestion, best.confidence, best.problems)


def _objections(workload: Workload, case: Case, filled: Fields) -> tuple[Problem, ...]:
    strict = {**workload.schema, "required": [*workload.asked], "additionalProperties": False}
    return open_checks(replace(workload, schema=strict, checks=()))(case, filled)


def _rewritten(answer: Fields, written: Fields, templates: set[str]) -> Iterator[Problem]:
    for name in answer:
        if name in templates and answer[name] != written[name]:
            yield Problem("template", f"{name}: follows from the other fields: leave it out")


def _agrees(workload: Workload, given: Fields, filled: Fields) -> bool:
    return all(same(given.get(name), filled.get(name)) for name in workload.asked)
