"""What the ledger is asked to keep, what it answers, and how it fails. Knows nothing about SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rung.core import Case, Decision, Outcome, RungError


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
class Record:
    """One case, the decision on it, the workload they belong to, and when it was decided (timezone-aware).

    The case and the decision have the same id, or the ledger refuses the record.
    """

    workload: str
    case: Case
    decision: Decision
    at: datetime


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
    """An API key as the ledger knows it: never the key, only its name and when it was added and revoked."""

    name: str
    added: datetime
    revoked: datetime | None
