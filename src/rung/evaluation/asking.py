"""Turns a cascade and agreed answers into what every tier said, through `decide`: what is judged is what will be served.

Knows nothing about metrics, limits or files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from rung.cascade import Cascade, decide
from rung.cascade.promise import Judged
from rung.core import Case, Decision, Fields, same

AT_ONCE = 32  # cases under way at a time, as on a busy server

Tick = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Agreed:
    """One case and the answer people agreed on, without template fields."""

    case: Case
    expected: Fields


def spread(cases: int, most: int) -> list[int]:
    """The positions of `most` of so many cases at most, evenly over all: the gold may be sorted."""
    return np.linspace(0, cases - 1, min(cases, most)).astype(int).tolist()


def right(answer: Fields, expected: Fields) -> bool:
    """Whether an answer agrees with the expected one in every field that gold speaks of; 1 and 1.0 agree, 1 and true do not."""
    return all(same(answer.get(name), value) for name, value in expected.items())


async def ask_all(cascade: Cascade, cases: Sequence[Case], tick: Tick | None = None) -> list[Decision]:
    """Decide many cases, `AT_ONCE` at a time, in order."""
    places = asyncio.Semaphore(AT_ONCE)

    async def ask(case: Case) -> Decision:
        async with places:
            decision = await decide(case, cascade)
        if tick is not None:
            tick(1)
        return decision

    return list(await asyncio.gather(*map(ask, cases)))


async def climb(cascade: Cascade, cases: Sequence[Case], tick: Tick | None = None) -> list[Decision]:
    """Decide many cases with no tier trusted, so that every tier's answer to every case is seen."""
    return await ask_all(replace(cascade, level=inf), cases, tick)


def judge(cascade: Cascade, climbed: Sequence[Decision], agreed: Sequence[Agreed]) -> Judged:
    """What every tier said, from decisions that climbed to the top."""
    tiers = [tier.name for tier in cascade.tiers]
    confidence = np.full((len(climbed), len(tiers)), -1.0)
    correct = np.zeros((len(climbed), len(tiers)), np.bool_)
    for row, (decision, case) in enumerate(zip(climbed, agreed, strict=True)):
        for attempt in decision.attempts:  # of two attempts by one tier the second counts, as in `decide`
            column = tiers.index(attempt.tier)
            usable = attempt.answer is not None and not attempt.problems
            confidence[row, column] = attempt.confidence if usable else -1.0
            correct[row, column] = attempt.answer is not None and right(attempt.answer.fields, case.expected)
    return Judged(confidence, correct)
