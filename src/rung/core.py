"""The nouns every part of Rung speaks in, and the one exception base. It knows nothing about models, files or servers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Protocol, cast

Fields = Mapping[str, Any]
Role = Literal["viewer", "reviewer", "operator", "admin"]  # of a person: each may do what those before it may
KeyRole = Literal["viewer", "caller", "reviewer"]  # of a program: likewise


class RungError(Exception):
    """Something a user can fix. The text says what is wrong, where, and what to do next.

    `code` is a stable word for programs; `exit_status` is what the command line ends with
    (1: a gate or a promise fails, 2: the input is wrong).
    """

    code = "error"
    exit_status = 2


class CostlyFailure(RungError):
    """A model's failure that was paid for all the same: `cost` is in US dollars."""

    cost: float = 0.0


class Outcome(StrEnum):
    """How a case ended."""

    ACCEPTED = "accepted"  # the first tier's answer was trusted
    CORRECTED = "corrected"  # a tier was told what a check objected to, and its second answer was trusted
    ESCALATED = "escalated"  # a later tier's answer was trusted
    REVIEW = "review"  # no tier may be trusted with it: a person decides


def same(one: object, other: object) -> bool:
    """Whether two JSON values are equal: at every depth 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        mine, theirs = cast(Fields, one), cast(Fields, other)
        return mine.keys() == theirs.keys() and all(same(value, theirs[name]) for name, value in mine.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        pairs = cast("Sequence[object]", one), cast("Sequence[object]", other)
        return len(pairs[0]) == len(pairs[1]) and all(map(same, *pairs))
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def new_id() -> str:
    """A new identifier, 28 hexadecimal digits, ascending in time: databases keep neighbours together."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to decide. `context` is what the caller knows besides the text; `asked_by` names the caller, `user` the person
    it is asked for, where the caller says so: no model is told.

    `id` is also the id of its decision.
    """

    text: str
    context: Mapping[str, Any] = field(default_factory=dict[str, Any])
    asked_by: str = "anonymous"
    id: str = field(default_factory=new_id)
    user: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """What a check has against an answer: the check's name and its objection in words."""

    check: str
    message: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What one model said.

    `fields` is the answer object; `field_confidence` gives each field's own probability (0..1) where the model has one;
    `signals` are the raw numbers a confidence is computed from. `cost` is in US dollars, `seconds` is the model's own time,
    `tokens` are those of prompt and completion where a model is paid by them.
    """

    fields: Fields
    field_confidence: Mapping[str, float] = field(default_factory=dict[str, float])
    signals: Mapping[str, float] = field(default_factory=dict[str, float])
    cost: float = 0.0
    seconds: float = 0.0
    tokens: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One tier's try at a case: its answer or why there is none, what objected, and the calibrated probability (0..1) that
    the whole answer is right. `trusted` says whether the cascade stopped here."""

    tier: str
    answer: Answer | None
    problems: tuple[Problem, ...] = ()
    confidence: float = 0.0
    seconds: float = 0.0
    cost: float = 0.0
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of one case and every attempt that led there. `answer` is None when a person has to decide.

    `cost` is in US dollars, `seconds` is the time its attempts took, `tier` is the one whose answer was trusted ("person" if
    none).
    """

    id: str
    outcome: Outcome
    answer: Fields | None
    confidence: float
    tier: str
    release: str
    cost: float
    seconds: float
    attempts: tuple[Attempt, ...]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What the last attempt's checks objected to: the reason a person is asked, if any."""
        return self.attempts[-1].problems if self.attempts else ()

    def document(self) -> dict[str, Any]:
        """The decision as JSON shows it, the same on every interface."""
        return {
            "id": self.id,
            "outcome": self.outcome.value,
            "answer": None if self.answer is None else dict(self.answer),
            "confidence": round(self.confidence, 6),
            "tier": self.tier,
            "release": self.release,
            "cost": self.cost,
            "seconds": round(self.seconds, 6),
            "problems": [{"check": problem.check, "message": problem.message} for problem in self.problems],
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person settled about a decision: the right answer, who said so, a note, and how relevant its answer was (0..1)."""

    decision: str
    answer: Fields
    by: str
    note: str = ""
    score: float | None = None


class Model(Protocol):
    """Whatever can answer a case: an encoder with heads, an OpenAI-compatible server, a fake in a test.

    `answer` may raise anything, hang or return nonsense: the cascade turns that into an untrusted attempt.
    `objections` carries what checks had against this model's previous answer to the same case (empty the first time).
    """

    async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
        """Answer the case."""
        ...

    async def close(self) -> None:
        """Release connections, threads and memory."""
        ...


class Specialist(Model, Protocol):
    """A model that Rung trains itself, and keeps in a folder."""

    def save(self, folder: Path, /) -> None:
        """Write everything it needs into `folder`, as safetensors, ONNX and JSON."""
        ...
