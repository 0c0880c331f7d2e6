"""Turns a decision into all that people said of it, whether or not it counts. Knows nothing about who is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from rung.core import Verdict
from rung.ledger.queries import locate
from rung.ledger.rows import decode, moment
from rung.ledger.schema import reviews, verdicts


@dataclass(frozen=True, slots=True)
class Said:
    """A verdict and when it was given. `withdrawn` is when its author took it back; `second` says that it is a blind second look,
    which only tells how far people agree. Both times are timezone-aware."""

    verdict: Verdict
    at: datetime
    withdrawn: datetime | None = None
    second: bool = False


def history(connection: Connection, decision_id: str) -> Sequence[Said]:
    """Everything said of a decision, in that order. Raises UnknownDecision."""
    seq = locate(connection, decision_id)["seq"]
    first, again = verdicts.c, reviews.c
    given = connection.execute(select(first.body, first.at, first.withdrawn_at).where(first.decision == seq))
    said = [Said(decode(body, Verdict), moment(at), back and moment(back)) for body, at, back in given]
    seconds = select(again.body, again.settled_at).where(again.decision == seq, again.look == "second")
    blind = connection.execute(seconds.where(again.body.is_not(None), again.settled_at.is_not(None)))
    said += [Said(decode(body, Verdict), moment(at), second=True) for body, at in blind]
    return sorted(said, key=lambda one: one.at)
