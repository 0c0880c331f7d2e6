"""Turns what tiers said of a case into what pages show: each field with how sure the tier was, why the case stopped there or went
on, and the text with what was copied from it. Knows nothing about where attempts come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from rung.charts import spell
from rung.core import Attempt, Problem
from rung.review import Copied
from rung.workload import EndpointTier, SpecialistTier, Workload


@dataclass(frozen=True, slots=True)
class Value:
    """One field of an answer, and the tier's own probability (0..1) that it is right, if it gave one."""

    name: str
    value: Any
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Step:
    """One attempt as pages show it. `why` says what followed from it; `level` is the acceptance level it was held to, if that is
    known, `again` that it is the tier's second answer, to what checks had against its first."""

    tier: str
    kind: str
    values: Sequence[Value]
    problems: Sequence[Problem]
    confidence: float | None
    level: float | None
    seconds: float
    cost: float
    trusted: bool
    again: bool
    why: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Some characters of a text, and which fields were copied from there, if any was."""

    text: str
    of: str = ""


def steps(workload: Workload, attempts: Sequence[Attempt], level: float | None) -> list[Step]:
    """The attempts in their order. `level` is the acceptance level of the release that made them, None if that is not known."""
    return [_step(workload, attempt, attempts[:at], level) for at, attempt in enumerate(attempts)]


def describe(tier: SpecialistTier | EndpointTier) -> str:
    """What a tier is, in a few words."""
    if isinstance(tier, EndpointTier):
        return f"{tier.model} at {tier.endpoint.name}, {tier.endpoint.boundary} your walls"
    return {
        "heads": f"trained here: heads on the encoder as it is, {tier.precision}",
        "static": "trained here: token vectors without attention",
        "finetune": f"trained here: an encoder of its own, {tier.precision}",
        "lora": f"trained here: an encoder adapted by LoRA, {tier.precision}",
        "distil": f"trained here: an encoder distilled to {tier.layers} layers, {tier.precision}",
        "prune": f"trained here: an encoder pruned to {tier.keep:.0%} of its layers' weights, {tier.precision}",
    }[tier.recipe]


def pieces(text: str, copied: Mapping[str, Sequence[Copied]]) -> Iterator[Piece]:
    """The text in order, cut where a value may have been copied from; places that overlap are one."""
    begin = 0
    for start, end, names in _merged(copied):
        if begin < start:
            yield Piece(text[begin:start])
        yield Piece(text[start:end], ", ".join(names))
        begin = end
    if begin < len(text):
        yield Piece(text[begin:])


def _merged(copied: Mapping[str, Sequence[Copied]]) -> list[tuple[int, int, list[str]]]:
    places = ((one.start, one.end, ".".join([name, *map(str, one.path)])) for name in copied for one in copied[name])
    merged: list[tuple[int, int, list[str]]] = []
    for start, end, name in sorted(places):
        if merged and start < merged[-1][1]:
            first, last, names = merged[-1]
            merged[-1] = first, max(last, end), names if name in names else [*names, name]
        else:
            merged.append((start, end, [name]))
    return merged


def _step(workload: Workload, attempt: Attempt, earlier: Sequence[Attempt], level: float | None) -> Step:
    tier = next((tier for tier in workload.tiers if tier.name == attempt.tier), None)
    answer = attempt.answer
    return Step(
        tier=attempt.tier,
        kind=describe(tier) if tier else "",
        values=[]
        if answer is None
        else [Value(*each, _share(answer.field_confidence.get(each[0]))) for each in answer.fields.items()],
        problems=() if answer is None else attempt.problems,
        confidence=None if answer is None else _share(attempt.confidence),
        level=level,
        seconds=attempt.seconds,
        cost=attempt.cost,
        trusted=attempt.trusted,
        again=any(before.tier == attempt.tier for before in earlier),
        why=_why(attempt, level),
    )


def _why(attempt: Attempt, level: float | None) -> str:
    if attempt.answer is None:
        return f"It gave no answer: {'; '.join(problem.message for problem in attempt.problems) or 'nobody knows why'}."
    accepted = "the acceptance level" if level is None else f"the acceptance level of {spell(level, 'share')}"
    if attempt.trusted:
        return f"Nothing objects, and it is as sure as {accepted} asks for."
    if attempt.problems:
        return "A check objects, however sure the tier is."
    return f"Nothing objects, but it is less sure than {accepted} asks for."


def _share(confidence: float | None) -> float | None:
    return confidence if confidence is not None and isfinite(confidence) else None
