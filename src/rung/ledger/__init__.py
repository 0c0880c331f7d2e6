"""Turns decisions, verdicts, promotions, trials and API keys into an append-only record in a database: the only SQL in Rung.

Knows nothing about models, HTTP or what a workload means.
"""

from rung.ledger.book import Ledger, open_ledger
from rung.ledger.nouns import (
    Arm,
    Assignment,
    Compared,
    End,
    Judged,
    Key,
    KeyRefused,
    Kind,
    LedgerError,
    Marks,
    Observed,
    PointerMoved,
    Promotion,
    Record,
    RecordRefused,
    Seen,
    Shadow,
    Summary,
    TierSummary,
    Trial,
    TrialRefused,
    UnknownDecision,
)

__all__ = [
    "Arm",
    "Assignment",
    "Compared",
    "End",
    "Judged",
    "Key",
    "KeyRefused",
    "Kind",
    "Ledger",
    "LedgerError",
    "Marks",
    "Observed",
    "PointerMoved",
    "Promotion",
    "Record",
    "RecordRefused",
    "Seen",
    "Shadow",
    "Summary",
    "TierSummary",
    "Trial",
    "TrialRefused",
    "UnknownDecision",
    "open_ledger",
]
