"""One case in, one decision out. Pure: no database, no clock of its own, no HTTP; the models bring what they need.

The cascade climbs from the smallest tier. A case stops at the first tier whose answer no check objects to and whose calibrated
probability of being right reaches the acceptance level; what no tier may be trusted with goes to a person.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from time import perf_counter
from traceback import format_exception_only

from rung.core import Answer, Attempt, Case, CostlyFailure, Decision, Fields, Model, Outcome, Problem

PERSON = "person"
LONGEST = 1000  # characters of what a model's failure says; some repeat the whole request


@dataclass(frozen=True, slots=True)
class Tier:
    """One rung: a model, how its signals become a probability, how long it may take (seconds), and whether it is asked a
    second time when a check objects to its first answer."""

    name: str
    model: Model
    confidence: Callable[[Mapping[str, float]], float]
    timeout: float = 20.0
    repairs: bool = False


@dataclass(frozen=True, slots=True)
class Cascade:
    """Tiers from small to large, the acceptance level they share (0..1), what completes an answer and what checks it."""

    tiers: tuple[Tier, ...]
    level: float
    release: str
    complete: Callable[[Fields], Fields]
    check: Callable[[Case, Fields], tuple[Problem, ...]]


async def decide(case: Case, cascade: Cascade) -> Decision:
    """Decide one case. Never raises because of a model: one that fails, hangs or talks nonsense is an untrusted attempt."""
    attempts: list[Attempt] = []
    for tier in cascade.tiers:
        attempts.append(await _attempt(tier, case, cascade, attempts))
        if tier.repairs and attempts[-1].answer is not None and attempts[-1].problems:
            attempts.append(await _attempt(tier, case, cascade, attempts, attempts[-1].problems))
        if attempts[-1].trusted:
            break
    last = attempts[-1]
    answer = last.answer.fields if last.trusted and last.answer is not None else None
    return Decision(
        id=case.id,
        outcome=_outcome(attempts, cascade),
        answer=answer,
        confidence=last.confidence,
        tier=PERSON if answer is None else last.tier,
        release=cascade.release,
        cost=sum(attempt.cost for attempt in attempts),
        seconds=sum(attempt.seconds for attempt in attempts),
        attempts=tuple(attempts),
    )


def _outcome(attempts: Sequence[Attempt], cascade: Cascade) -> Outcome:
    last = attempts[-1]
    if not last.trusted:
        return Outcome.REVIEW
    if sum(attempt.tier == last.tier for attempt in attempts) > 1:
        return Outcome.CORRECTED
    return Outcome.ACCEPTED if last.tier == cascade.tiers[0].name else Outcome.ESCALATED


async def _attempt(
    tier: Tier, case: Case, cascade: Cascade, earlier: Sequence[Attempt], objections: tuple[Problem, ...] = ()
) -> Attempt:
    began = perf_counter()
    limit = asyncio.timeout(tier.timeout)
    try:
        async with limit:
            answer = await tier.model.answer(case, objections)
        if not (0 <= answer.cost < inf and 0 <= answer.seconds < inf):
            raise ValueError(f"it says that it cost {answer.cost} US dollars and took {answer.seconds} s")
        answer = replace(
            answer, fields=cascade.complete({**answer.fields}), signals={**answer.signals, **_agreement(tier, answer, earlier)}
        )
        problems = cascade.check(case, answer.fields)
        confidence = tier.confidence(answer.signals)
        return Attempt(
            tier=tier.name,
            answer=answer,
            problems=problems,
            confidence=confidence,
            seconds=answer.seconds or perf_counter() - began,
            cost=answer.cost,
            trusted=not problems and confidence >= cascade.level,
        )
    except BaseException as error:  # a model is foreign code: whatever it raises must cost one attempt, not the case
        if _ends_the_task(error):
            raise
        reason = f"no answer within {tier.timeout:g} s" if limit.expired() else _words(error)
        return Attempt(
            tier=tier.name,
            answer=None,
            problems=(Problem("model", reason),),
            seconds=perf_counter() - began,
            cost=error.cost if isinstance(error, CostlyFailure) else 0.0,
        )


def _ends_the_task(error: BaseException) -> bool:
    """Whether somebody wants this to end, as against a model that raises what only looks like it."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    return isinstance(error, KeyboardInterrupt | GeneratorExit)


def _words(error: BaseException) -> str:
    """What an exception says, even where saying it fails, in characters that every record can hold."""
    said = "".join(format_exception_only(error)).strip().removeprefix(f"{type(error).__module__}.")
    said = said.encode(errors="backslashreplace").decode()
    return said if len(said) <= LONGEST else said[:LONGEST] + " ..."


def _agreement(tier: Tier, answer: Answer, earlier: Sequence[Attempt]) -> dict[str, float]:
    """What the last earlier tier that answered adds as evidence: the share of fields it filled alike, and how sure it was."""
    before = next((attempt for attempt in reversed(earlier) if attempt.answer is not None and attempt.tier != tier.name), None)
    if before is None or before.answer is None:
        return {"agrees": 0.0, "before": 0.0}
    alike = [before.answer.fields.get(name) == value for name, value in answer.fields.items()]
    return {"agrees": sum(alike) / max(len(alike), 1), "before": before.confidence}
