"""Turns the nouns into rows and back without losing a character. Knows nothing about statements."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from rung.core import Decision
from rung.ledger.nouns import Record, RecordRefused

Row = dict[str, Any]
Noun = TypeVar("Noun")
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def row(record: Record) -> Row:
    """The record as a row of `decisions`."""
    decision, part = record.decision, record.assignment
    if record.case.id != decision.id:
        raise RecordRefused(f"Decision {decision.id} is not recorded: its case is {record.case.id}. Next: give both the same id.")
    if not (math.isfinite(decision.confidence) and math.isfinite(decision.cost) and math.isfinite(decision.seconds)):
        raise RecordRefused(
            f"Decision {decision.id}: confidence, cost and seconds must be numbers. Next: correct the tier's model."
        )
    return {
        "id": plain(decision.id),
        "workload": plain(record.workload),
        "at": micros(record.at),
        "release": plain(decision.release),
        "tier": plain(decision.tier),
        "outcome": decision.outcome.value,
        "confidence": decision.confidence,
        "cost": decision.cost,
        "seconds": decision.seconds,
        "asked_by": plain(record.case.asked_by),
        "body": encode(record),
        "trial": part and plain(part.trial),
        "arm": part and part.arm,
        "unit": part and plain(part.unit),
        "failed": fails(decision),
    }


def fails(decision: Decision) -> bool:
    """Whether a model gave no answer on the way to the decision."""
    return any(attempt.answer is None for attempt in decision.attempts)


def encode(noun: object) -> bytes:
    """The noun as JSON. Python's own encoder, not msgspec's: that one refuses lone surrogates and integers beyond 64 bits and
    turns NaN into null, and a record must not be lost or changed because a customer or a model sent one.

    What is not JSON at all (a model may answer with any object) is kept as its `repr`.
    """
    try:
        return _JSON.encode(msgspec.to_builtins(noun, enc_hook=repr)).encode("utf-8", "surrogatepass")
    except (RecursionError, ValueError, TypeError) as error:
        raise RecordRefused(
            f"A record cannot be written as JSON: {error}. Next: correct the model or check that made it."
        ) from error


def decode(body: bytes, noun: type[Noun]) -> Noun:
    """The noun that `encode` was given; tuples inside an answer come back as lists."""
    return msgspec.convert(json.loads(body), noun)


def plain(text: str) -> str:
    """The text as a column may hold it; the body keeps the original."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def micros(at: datetime) -> int:
    """Microseconds since 1970 in UTC. `at` must know its timezone."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def moment(at: int) -> datetime:
    """The time that `micros` was given."""
    return _EPOCH + timedelta(microseconds=at)
