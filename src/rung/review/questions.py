"""Turns a review into what a person is shown of it: the same for a case that no tier was sure of and for one drawn at random.

Knows nothing about pages, and tells nothing of whether an answer was given: who knows that looks less closely.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from rung.cascade.templates import open_templates
from rung.core import Attempt, Decision, Fields, Problem
from rung.ledger import Review
from rung.review.copied import Copied, open_finder
from rung.workload import Field, Workload


@dataclass(frozen=True, slots=True)
class Asked:
    """One field of the answer as a person sees it.

    `value` is the suggestion, None also where there is none, with the tier's own probability (0..1) that it is right, if it gave
    one; of a template what would be written. `labels` are those it may have, in the file's order; `copied` is where in the text
    the value stands.
    """

    name: str
    fill: Literal["label", "copy", "template"]
    value: Any
    confidence: float | None
    labels: tuple[Any, ...]
    schema: Mapping[str, Any]
    copied: tuple[Copied, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The JSON types that it may have, such as ("string", "null"); none where the schema does not say."""
        kinds: str | list[str] = self.schema.get("type", [])
        return (kinds,) if isinstance(kinds, str) else tuple(kinds)


@dataclass(frozen=True, slots=True)
class Try:
    """What one tier made of the case: the probability (0..1) that its answer is right, what checks object to, and, in words, why
    it had no answer, if it had none."""

    tier: str
    confidence: float
    problems: tuple[Problem, ...]
    error: str | None


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked. `review` names it in the queue, `decision` what it is about.

    `fields` are in the file's order; `suggestion` is the best attempt's answer to those that are asked, None where no tier had
    one, `confidence` that attempt's. `tries` are in the order in which the tiers were asked. `draft` is what was left unfinished.
    """

    review: int
    decision: str
    text: str
    context: Mapping[str, Any]
    fields: tuple[Asked, ...]
    suggestion: Fields | None
    confidence: float
    tries: tuple[Try, ...]
    draft: Fields | None
    waiting_since: datetime


def open_questions(workload: Workload) -> Callable[[Review], Question]:
    """A function that makes the question of a review of this workload: of many at once, as `question` reads its files anew."""
    write, find, asked = open_templates(workload), open_finder(workload), {*workload.asked}

    def ask(review: Review) -> Question:
        record = review.record
        best = best_attempt(record.decision)
        said: Fields = {} if best.answer is None else best.answer.fields
        suggestion = {name: said[name] for name in workload.asked if name in said}
        written = write({**suggestion, **(review.draft or {})})
        sure: Mapping[str, float] = {} if best.answer is None else best.answer.field_confidence
        copied = find(record.case.text, suggestion)

        def show(field: Field) -> Asked:
            name = field.name
            value = suggestion.get(name) if name in asked else written.get(name)
            return Asked(name, field.fill, value, sure.get(name), field.labels, field.schema, copied.get(name, ()))

        return Question(
            review.seq,
            record.decision.id,
            record.case.text,
            record.case.context,
            tuple(map(show, workload.fields)),
            None if best.answer is None else suggestion,
            best.confidence,
            tuple(map(_told, record.decision.attempts)),
            review.draft,
            review.at,
        )

    return ask


def question(workload: Workload, review: Review) -> Question:
    """What a person is shown of one review."""
    return open_questions(workload)(review)


def best_attempt(decision: Decision) -> Attempt:
    """The attempt that was trusted, then the surest of those that no check objects to, then the surest that has an answer."""
    return max(decision.attempts, key=_rank, default=Attempt(decision.tier, None))


def guidelines(workload: Workload) -> str | None:
    """What the workload's people are told about settling cases, as it stands in the file now; None where there is none."""
    try:
        file = workload.review.guidelines
        return file.read_text(encoding="utf-8", errors="replace") if file else None
    except OSError:
        return None


def _rank(attempt: Attempt) -> tuple[bool, bool, bool, float]:
    return attempt.trusted, attempt.answer is not None, not attempt.problems, attempt.confidence


def _told(attempt: Attempt) -> Try:
    if attempt.answer is not None:
        return Try(attempt.tier, attempt.confidence, attempt.problems, None)
    said = "; ".join(problem.message for problem in attempt.problems)
    return Try(attempt.tier, attempt.confidence, (), said or "no answer")
