"""What the ledger tells of a trial, to be counted. Knows nothing about SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rung.core import Decision
from rung.ledger.nouns import Arm


@dataclass(frozen=True, slots=True)
class Shadow:
    """What a trial's challenger decided, unseen, about a case that the live release answered; `agrees` says whether alike."""

    trial: str
    decision: Decision
    agrees: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Observed:
    """A decision as a trial counts it: whether it had an answer, whether some attempt had none, US dollars, seconds, in which
    hour (since 1970) it was made, and its id."""

    seq: int
    arm: Arm
    unit: str
    answered: bool
    failed: bool
    cost: float
    seconds: float
    hour: int
    decision: str


@dataclass(frozen=True, slots=True)
class Judged:
    """The first verdict on an answer given in a trial: whether it overturned the answer, how relevant it found it (0..1), in
    which hour (since 1970) it was given, on which decision, and the answer that it holds to be right."""

    seq: int
    arm: Arm
    unit: str
    overturned: bool
    score: float | None
    hour: int
    decision: str
    answer: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Compared:
    """A case of a shadow trial: what the live release and the challenger did, and whether their answers are alike."""

    live: Observed
    challenger: Observed
    agrees: bool
    decision: str


@dataclass(frozen=True, slots=True)
class Marks:
    """How far a trial has been read: the last decision, verdict and shadow."""

    decision: int = 0
    verdict: int = 0
    shadow: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """Some of what a trial has brought, in the order in which it came; `until` is how far that goes."""

    observed: Sequence[Observed]
    judged: Sequence[Judged]
    compared: Sequence[Compared]
    until: Marks
