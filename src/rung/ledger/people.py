"""Turns who may sign in, who has, and what they did into rows. Knows nothing about passwords: only what is kept of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from rung.ledger.nouns import OF_KEYS, Action, LedgerError, Person, PersonRefused, Role
from rung.ledger.queue import Transaction
from rung.ledger.rows import micros, moment, plain
from rung.ledger.schema import actions, people, sessions

OTHERS = ("anonymous", "rung", "rung watch")  # who does something, and is nobody

_here = people.c.removed_at.is_(None)


class People:
    """Who may sign in to a ledger's pages: `Ledger.people`. All raise LedgerError as the ledger does."""

    def __init__(self, transaction: Transaction) -> None:
        """Work in transactions such as these."""
        self._transaction = transaction

    def add(self, name: str, role: Role, secret: str, at: datetime) -> None:
        """Let somebody in. `secret` is what is kept of the password. Raises PersonRefused for a name that is taken, or that would
        let what they do look like what a key or Rung itself does."""
        read = unicodedata.normalize("NFKC", name).strip().casefold()
        if read.startswith(OF_KEYS) or read in OTHERS:
            raise PersonRefused(f"{name} is how what programs do is recorded, and nobody's name. Next: choose another one.")
        try:
            with self._transaction() as connection:
                row = {"name": plain(name), "role": role, "secret": secret, "at": micros(at)}
                connection.execute(insert(people), row)
        except LedgerError as error:
            if isinstance(error.__cause__, IntegrityError):
                raise PersonRefused(f"There is already somebody named {name}. Next: choose another name.") from error
            raise

    def change(self, name: str, role: Role | None = None, secret: str | None = None) -> None:
        """Another role or password; a new password ends every session. Raises PersonRefused."""
        values = {key: value for key, value in (("role", role), ("secret", secret)) if value is not None}
        with self._transaction() as connection:
            if connection.execute(update(people).where(people.c.name == plain(name), _here).values(**values)).rowcount == 0:
                raise _nobody(name)
            if secret is not None:
                mine = select(people.c.seq).where(people.c.name == plain(name), _here)
                connection.execute(update(sessions).where(sessions.c.person.in_(mine)).values(until=0))

    def remove(self, name: str, at: datetime) -> None:
        """Shut somebody out from now on. Raises PersonRefused."""
        with self._transaction() as connection:
            gone = update(people).where(people.c.name == plain(name), _here).values(removed_at=micros(at))
            if connection.execute(gone).rowcount == 0:
                raise _nobody(name)

    def list(self) -> Sequence[Person]:
        """Everybody who may sign in, in the order they were added."""
        query = select(people.c.name, people.c.role, people.c.at).where(_here).order_by(people.c.seq)
        with self._transaction() as connection:
            return [Person(name, role, moment(at)) for name, role, at in connection.execute(query)]

    def ever(self) -> bool:
        """Whether anybody was ever let in, even if nobody is now."""
        with self._transaction() as connection:
            return connection.execute(select(people.c.seq).limit(1)).scalar() is not None

    def secret(self, name: str) -> str | None:
        """What is kept of somebody's password."""
        with self._transaction() as connection:
            return connection.execute(select(people.c.secret).where(people.c.name == plain(name), _here)).scalar()

    def begin_session(self, name: str, digest: bytes, at: datetime, until: datetime) -> None:
        """Somebody signed in; `digest` is what is kept of the session's token. Raises PersonRefused."""
        with self._transaction() as connection:
            person = connection.execute(select(people.c.seq).where(people.c.name == plain(name), _here)).scalar()
            if person is None:
                raise _nobody(name)
            row = {"digest": digest, "person": person, "at": micros(at), "until": micros(until)}
            connection.execute(insert(sessions), row)

    def whose(self, digest: bytes, now: datetime) -> Person | None:
        """Who this session is of, if it goes on."""
        query = select(people.c.name, people.c.role, people.c.at).join(sessions, sessions.c.person == people.c.seq)
        query = query.where(sessions.c.digest == digest, sessions.c.until > micros(now), sessions.c.ended_at.is_(None), _here)
        with self._transaction() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Person(row[0], row[1], moment(row[2]))

    def end_session(self, digest: bytes, at: datetime) -> None:
        """Somebody signed out."""
        with self._transaction() as connection:
            connection.execute(update(sessions).where(sessions.c.digest == digest).values(ended_at=micros(at)))

    def note(self, action: Action) -> None:
        """Keep what somebody did."""
        said = {name: plain(getattr(action, name)) for name in ("by", "what", "subject", "detail")}
        with self._transaction() as connection:
            connection.execute(insert(actions), {**said, "at": micros(action.at)})

    def actions(self, limit: int = 200, by: str | None = None) -> Sequence[Action]:
        """What was done, by somebody or by anybody, newest first."""
        c = actions.c
        query = select(c.at, c.by, c.what, c.subject, c.detail).order_by(c.seq.desc()).limit(limit)
        query = query if by is None else query.where(c.by == plain(by))
        with self._transaction() as connection:
            return [Action(moment(at), *said) for at, *said in connection.execute(query)]


def _nobody(name: str) -> PersonRefused:
    return PersonRefused(f"There is nobody named {name}. Next: rung people list names everybody.")
