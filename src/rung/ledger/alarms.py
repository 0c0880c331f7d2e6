"""Turns what the watch found into alarms that ring once, until they are cleared. Knows nothing about why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import insert, select, update
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
        try:
            with self._transaction() as connection:
                connection.execute(insert(alarms), {**row, "at": micros(alarm.at), "body": encode(alarm.text)})
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
        query = select(_c.workload, _c.kind, _c.subject, _c.body, _c.at, _c.cleared_at).where(_c.workload == plain(workload))
        query = query.where(_ringing) if ringing else query
        with self._transaction() as connection:
            found = connection.execute(query.order_by(_c.seq.desc()).limit(limit)).all()
        return [
            Alarm(name, kind, subject, decode(body, str), moment(at), None if cleared is None else moment(cleared))
            for name, kind, subject, body, at, cleared in found
        ]
