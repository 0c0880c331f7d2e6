"""Turns a decision into what people said of it, and into what whoever asked is to be told. Knows nothing about who is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, func, or_, select, update

from rung.core import Verdict
from rung.ledger.nouns import Conclusion, Record
from rung.ledger.queries import locate
from rung.ledger.rows import decode, moment, plain
from rung.ledger.schema import decisions, reviews, verdicts

_SAID = select(verdicts.c.body, verdicts.c.at, verdicts.c.withdrawn_at, verdicts.c.discarded)


@dataclass(frozen=True, slots=True)
class Said:
    """A verdict and when it was given. `withdrawn` is when its author took it back; `second` says that it is a blind second look,
    which only tells how far people agree. Both times are timezone-aware.

    If it is `discarded`, somebody put the case aside instead: the verdict's `by` and `note` say who and why, its answer is empty.
    """

    verdict: Verdict
    at: datetime
    withdrawn: datetime | None = None
    second: bool = False
    discarded: bool = False


def history(connection: Connection, decision_id: str) -> Sequence[Said]:
    """Everything said of a decision, in that order. Raises UnknownDecision."""
    seq = locate(connection, decision_id)["seq"]
    again = reviews.c
    said = [_said(*row) for row in connection.execute(_SAID.where(verdicts.c.decision == seq))]
    seconds = select(again.body, again.settled_at).where(again.decision == seq, again.look == "second")
    blind = connection.execute(seconds.where(again.body.is_not(None), again.settled_at.is_not(None)))
    said += [Said(decode(body, Verdict), moment(at), second=True) for body, at in blind]
    return sorted(said, key=lambda one: one.at)


def conclusion(connection: Connection, decision_id: str) -> Said | None:
    """What came of a decision for whoever asked: the verdict that counts, or else that the case was put aside."""
    c = verdicts.c
    mine = decisions.c.id == plain(decision_id), c.withdrawn_at.is_(None), or_(c.discarded.is_(None), c.discarded == "unsure")
    query = _SAID.join(decisions).where(*mine).order_by(c.discarded.is_not(None), c.seq.desc())
    row = connection.execute(query.limit(1)).one_or_none()
    return None if row is None else _said(*row)


def pass_over(connection: Connection, workload: str, since: int) -> int:
    """Let what came about before then (microseconds) be due no more; how many that were."""
    c = verdicts.c
    late = update(verdicts).where(c.workload == plain(workload), c.due > 0, func.coalesce(c.withdrawn_at, c.at) < since)
    return connection.execute(late.values(due=0)).rowcount


def untold(connection: Connection, workload: str, before: int, until: int, limit: int) -> list[Conclusion]:
    """What became due before then, and is due again at `until`. Both in microseconds."""
    c = verdicts.c
    due = and_(c.workload == plain(workload), c.due > 0, c.due < before)
    first = select(c.seq).where(due).order_by(c.due, c.seq).limit(limit).with_for_update(skip_locked=True)
    free = connection.execute(first).scalars().all()  # on its own: within an update, PostgreSQL may look more than once
    claim = update(verdicts).where(c.seq.in_(free), due).values(due=until).returning(c.seq)
    mine = connection.execute(claim).scalars().all()
    query = _SAID.add_columns(c.seq, decisions.c.body).join(decisions).where(c.seq.in_(mine)).order_by(c.seq)
    found = connection.execute(query).all()
    return [_conclusion(connection, row[4], decode(row[5], Record), _said(*row[:4])) for row in found]


def tell(connection: Connection, numbers: Sequence[int], until: int) -> None:
    """Let these be due no more, but for what was taken back, or claimed by another, since it was claimed until then."""
    claimed = verdicts.c.seq.in_(numbers), verdicts.c.due == until
    connection.execute(update(verdicts).where(*claimed).values(due=0))


def _conclusion(connection: Connection, number: int, record: Record, said: Said) -> Conclusion:
    if not said.withdrawn:
        state = "discarded" if said.discarded else "settled"
        return Conclusion(number, record, state, None if said.discarded else said.verdict.answer, said.at)
    now = conclusion(connection, record.decision.id)
    answer = record.decision.answer if now is None or now.discarded else now.verdict.answer
    return Conclusion(number, record, "reopened", answer, said.withdrawn)


def _said(body: bytes, at: int, withdrawn: int | None, discarded: str | None) -> Said:
    back = None if withdrawn is None else moment(withdrawn)
    return Said(decode(body, Verdict), moment(at), back, discarded == "second", discarded is not None)
