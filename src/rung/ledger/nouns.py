"""What the ledger is asked to keep, what it answers, and how it fails. Knows nothing about SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from rung.core import Case, Decision, Fields, KeyRole, Outcome, Role, RungError, Verdict

Kind = Literal["shadow", "canary", "ab"]
Look = Literal["unsure", "sample", "second"]
Arm = Literal["live", "challenger"]
OF_KEYS = "key:"  # begins what a key's doings are recorded under, and no person's name


class LedgerError(RungError):
    """The ledger cannot be opened, read or written now; nothing was half written."""

    code = "ledger_unavailable"


class RecordRefused(LedgerError):
    """This record can never be kept: its id is taken or not its case's, or it holds what JSON or the database cannot."""

    code = "record_refused"


class UnknownDecision(LedgerError):
    """No decision was recorded under this id."""

    code = "unknown_decision"


class KeyRefused(LedgerError):
    """An API key's name or digest is taken, or there is no such key to revoke."""

    code = "key_refused"


class PointerMoved(LedgerError):
    """Somebody else promoted or rolled back in between; nothing was changed."""

    code = "pointer_moved"
    exit_status = 1


class TrialRefused(LedgerError):
    """A trial cannot begin or end: another one runs, none does, or its challenger must not be asked."""

    code = "trial_refused"
    exit_status = 1


class ReviewTaken(LedgerError):
    """Somebody else holds this review, or it is settled already; nothing was changed."""

    code = "review_taken"
    exit_status = 1


class PersonRefused(LedgerError):
    """There is already somebody of that name, or nobody, or nobody may have it."""

    code = "person_refused"


@dataclass(frozen=True, slots=True)
class Promotion:
    """From `at` (timezone-aware) on, `release` answers for a workload: who said so, why, and whether it was a rollback."""

    workload: str
    release: str
    at: datetime
    by: str
    why: str
    back: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """When a trial ended (timezone-aware), by whom, and with what result."""

    at: datetime
    by: str
    result: str


@dataclass(frozen=True, slots=True)
class Trial:
    """From `at` (timezone-aware) until its `end`, `release` is tried beside `against`, the one that answered when it began.

    shadow: both decide, and only the live release's answers are seen; canary: the challenger decides a `share` (0..1) of the
    cases until its bad events exceed the live release's by more than the `margins` (0..1) or its mean cost the limit `dear`; ab:
    the same, and at the latest until it is proven to be worse by `metric`. Cases are drawn by the `unit` that they are about, an
    attribute of their context, or each by itself if that is empty; a decision is slow beyond so many seconds, the releases are
    dear beyond so many US dollars a case, None if that is not watched.
    """

    id: str
    workload: str
    kind: Kind
    release: str
    against: str
    share: float
    unit: str
    metric: str
    slow: float | None
    margins: Mapping[str, float]
    at: datetime
    by: str
    why: str
    end: End | None = None
    dear: float | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which trial a case was part of and which release decided it. `unit` is a digest of the unit it was drawn by, which differs
    from trial to trial; empty where that was the case itself."""

    trial: str
    arm: Arm
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One case, the decision on it, the workload they belong to, when it was decided (timezone-aware), and its part in a trial.

    The case and the decision have the same id, or the ledger refuses the record. `drawn` is the probability (0..1] with which its
    answer was drawn for a person to look at, None if it was not; a decision that is left to people always is looked at.
    """

    workload: str
    case: Case
    decision: Decision
    at: datetime
    assignment: Assignment | None = None
    drawn: float | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """A decision that a person is to look at: because no tier was sure, as one of a random sample, or as a blind second look.

    `seq` names it, `at` says since when it waits. `holder` has it until `until` (timezone-aware), or it is free; `draft` is what
    whoever asks for the review has left of it, and is shown to nobody else.
    """

    seq: int
    record: Record
    look: Look
    at: datetime
    holder: str | None
    until: datetime | None
    draft: Fields | None


@dataclass(frozen=True, slots=True)
class Reviewed:
    """An answer from the random sample that a person has settled: drawn with probability `share`, and `wrong` or not.

    `seq` names the review, `confidence` (0..1) is what the answer had, `at` is when it was settled.
    """

    seq: int
    release: str
    tier: str
    share: float
    confidence: float
    wrong: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Drawn:
    """An answer from the random sample, given at `at` (timezone-aware) with `confidence` (0..1), drawn with probability `share`.

    `wrong` or not, as a person settled; None where nobody has, and if it is `closed` nobody will: it was put aside. `seq` names
    the review.
    """

    seq: int
    release: str
    tier: str
    share: float
    confidence: float
    at: datetime
    wrong: bool | None
    closed: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """Two people's verdicts on one decision, the second blind to the first."""

    first: Verdict
    second: Verdict


@dataclass(frozen=True, slots=True)
class Settled:
    """A decision, the verdict on it that counts, when that was given (timezone-aware), and why a person looked, None where nobody
    was asked to."""

    record: Record
    verdict: Verdict
    at: datetime
    look: Look | None


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What whoever asked about a case is to be told: that it was settled, put aside, or that this was taken back, at `at`
    (timezone-aware), and the answer that holds from then on, if any. `number` is that of the verdict, or of what stands for one.
    """

    number: int
    record: Record
    state: Literal["settled", "discarded", "reopened"]
    answer: Fields | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Effort:
    """What people did in some time: cases settled, and of those whose time is known, how many and how many seconds."""

    settled: int
    timed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Tally:
    """The decisions of one release, tier and outcome in the hour that begins at `hour`: how many, US dollars, seconds in all."""

    hour: datetime
    release: str
    tier: str
    outcome: Outcome
    decisions: int
    cost: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """A decision's number, in the order of recording, its id, and when it was made (timezone-aware)."""

    seq: int
    id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Latency:
    """How many decisions of the hour that begins at `hour` took about so many `seconds` (5 % off at most)."""

    hour: datetime
    seconds: float
    decisions: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something about `subject` of a workload that its owners must know, since `at`; until `cleared`, both timezone-aware.

    `text` says it in words that may leave the house; `detail` holds numbers, and the ids of decisions, for programs and pages.
    `seq` names it once it is kept.
    """

    workload: str
    kind: str
    subject: str
    text: str
    at: datetime
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])
    cleared: datetime | None = None
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may sign in, and what they may do."""

    name: str
    role: Role
    added: datetime


@dataclass(frozen=True, slots=True)
class Action:
    """What somebody did to what, and when (timezone-aware)."""

    at: datetime
    by: str
    what: str
    subject: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TierSummary:
    """What one tier did: decisions, US dollars, how many of them a person settled, and how many of those found it wrong."""

    decisions: int = 0
    cost: float = 0.0
    settled: int = 0
    overturned: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """A workload in numbers. `cost` is in US dollars.

    `p50` and `p99` are nearest-rank quantiles of the seconds per decision, exact over the latest 100,000, None without any.
    `settled` counts decisions with a verdict, `waiting` those under review without one.
    """

    decisions: int
    tiers: Mapping[str, TierSummary]
    outcomes: Mapping[Outcome, int]
    p50: float | None
    p99: float | None
    cost: float
    settled: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as the ledger knows it: never the key, only its name, when it was added and revoked, and what it may do."""

    name: str
    added: datetime
    revoked: datetime | None
    role: KeyRole = "caller"

    @property
    def by(self) -> str:
        """What it does is recorded under this name, which no person has."""
        return OF_KEYS + self.name
