"""Turns many concurrent records into few durable commits. Knows nothing about what the rows mean."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import Engine, insert
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from rung.batching import Batcher
from rung.ledger.connection import explain
from rung.ledger.nouns import LedgerError, RecordRefused
from rung.ledger.rows import Row
from rung.ledger.schema import decisions

LARGEST = 64  # rows a commit; beyond it the disk's sync no longer dominates
PATIENCE = 5.0  # seconds a caller waits at most, whatever the database does

_INSERT = insert(decisions)


class Writer:
    """Group commit into `decisions`. Owns its engine, so that no reader can keep it from a connection."""

    def __init__(self, engine: Engine) -> None:
        """Connect on the first write."""
        self._engine = engine
        self._commits: Batcher[Row, RecordRefused | None] = Batcher(self._commit, LARGEST, "rung-ledger")

    async def write(self, row: Row) -> None:
        """Return once the row is durable; raise LedgerError within `PATIENCE` seconds if it cannot be."""
        try:
            async with asyncio.timeout(PATIENCE):
                refusal = await self._commits.submit(row)
        except TimeoutError as error:
            raise explain(self._engine, LedgerError(f"no commit within {PATIENCE:.0f} s")) from error
        if refusal is not None:
            raise refusal

    async def close(self) -> None:
        """Finish what has been submitted and end the connection."""
        await self._commits.close()
        self._engine.dispose()

    def _commit(self, rows: list[Row]) -> Sequence[RecordRefused | None]:
        try:
            with self._engine.begin() as connection:
                connection.execute(_INSERT, rows)
        except (IntegrityError, DataError) as error:
            if len(rows) > 1:  # one row the database refuses must not take the others with it
                return [answer for row in rows for answer in self._commit([row])]
            return [
                RecordRefused(
                    f"Decision {rows[0]['id']} is not recorded: {error.orig}. Next: give each decision an id of its own."
                )
            ]
        except SQLAlchemyError as error:
            raise explain(self._engine, error) from error
        return [None] * len(rows)
