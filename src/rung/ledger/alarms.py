"""Turns what the watch found into alarms that ring once, until they are cleared. Knows nothing about why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, case, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from rung.ledger.nouns import Alarm, LedgerError
from rung.ledger.queue import Transaction
from rung.ledger.rows import decode, encode, micros, moment, plain
from rung.ledger.schema import alarms

_c = alarms.c
_ringing = _c.cleared_at.is_(None)


class Alarms:
    """The alarms of a ledger: `Ledger.alarms`. All raise LedgerError as the ledger does."""

    def __init__(self, transaction: Transaction) -> None:
        """Work in transactions such as these."""
        self._transaction = transaction

    def ring(self, alarm: Alarm) -> bool:
        """Keep an alarm, unless one of its kind and subject rings. Says whether that did it: of all who try, one does."""
        row = {name: plain(getattr(alarm, name)) for name in ("workload", "kind", "subject")}
        body = encode({"text": alarm.text, "detail": alarm.detail})
        try:
            with self._transaction() as connection:
                connection.execute(insert(alarms), {**row, "at": micros(alarm.at), "body": body})
        except LedgerError as error:
            if isinstance(error.__cause__, IntegrityError):
                return False
            raise
        return True

    def clear(self, workload: str, kind: str, subject: str, at: datetime) -> bool:
        """It rings no more. Says whether it did."""
        meant = _ringing, _c.workload == plain(workload), _c.kind == plain(kind), _c.subject == plain(subject)
        with self._transaction() as connection:
            return connection.execute(update(alarms).where(*meant).values(cleared_at=micros(at))).rowcount > 0

    def list(self, workload: str, ringing: bool = False, limit: int = 100) -> Sequence[Alarm]:
        """The workload's alarms, newest first; with `ringing`, only those that are not cleared."""
        query = select(alarms).where(_c.workload == plain(workload)).order_by(_c.seq.desc()).limit(limit)
        with self._transaction() as connection:
            found = connection.execute(query.where(_ringing) if ringing else query).mappings().all()
        return [_alarm(row) for row in found]

    def find(self, seq: int) -> Alarm | None:
        """The alarm of this number."""
        with self._transaction() as connection:
            row = connection.execute(select(alarms).where(_c.seq == seq)).mappings().one_or_none()
        return None if row is None else _alarm(row)

    def untold(self, workload: str) -> Sequence[Alarm]:
        """What nobody was told of yet, now the caller's to tell: of all who ask, one is given it. Oldest first."""
        due = or_(_c.told == 0, and_(_c.told == 1, _c.cleared_at.is_not(None)))
        told = case((_c.cleared_at.is_(None), 1), else_=2)
        claim = update(alarms).where(_c.workload == plain(workload), due).values(told=told).returning(*alarms.c)
        with self._transaction() as connection:
            found = connection.execute(claim).mappings().all()
        return sorted((_alarm(row) for row in found), key=lambda alarm: alarm.seq)

    def untell(self, alarm: Alarm) -> None:
        """Telling it failed: somebody is to try again."""
        with self._transaction() as connection:
            connection.execute(update(alarms).where(_c.seq == alarm.seq).values(told=1 if alarm.cleared else 0))


def _alarm(row: Mapping[Any, Any]) -> Alarm:
    said, cleared = decode(row["body"], dict[str, Any]), row["cleared_at"]
    named = row["workload"], row["kind"], row["subject"], said["text"], moment(row["at"]), said["detail"]
    return Alarm(*named, None if cleared is None else moment(cleared), row["seq"])
