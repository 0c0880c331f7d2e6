"""Turns decisions, verdicts, promotions and API keys into an append-only record in SQLite or PostgreSQL: the only SQL in Rung.

Knows nothing about models, HTTP or what a workload means.
"""

from rung.ledger.book import Ledger, open_ledger
from rung.ledger.nouns import (
    Key,
    KeyRefused,
    LedgerError,
    PointerMoved,
    Promotion,
    Record,
    RecordRefused,
    Summary,
    TierSummary,
    UnknownDecision,
)

__all__ = [
    "Key",
    "KeyRefused",
    "Ledger",
    "LedgerError",
    "PointerMoved",
    "Promotion",
    "Record",
    "RecordRefused",
    "Summary",
    "TierSummary",
    "UnknownDecision",
    "open_ledger",
]
