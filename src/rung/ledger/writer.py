"""Turns many concurrent records into few durable commits, each with the reviews and the sums that follow from its decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Lock

from sqlalchemy import Engine, insert
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from rung.batching import Batcher
from rung.ledger import queue, tallies
from rung.ledger.connection import explain
from rung.ledger.nouns import LedgerError, RecordRefused
from rung.ledger.rows import Row
from rung.ledger.schema import decisions

LARGEST = 64  # rows a commit; beyond it the disk's sync no longer dominates
PATIENCE = 5.0  # seconds a caller waits at most, whatever the database does

_INSERT = insert(decisions)


class Writer:
    """Group commit into `decisions`. Owns its engine, so that no reader can keep it from a connection."""

    def __init__(self, engine: Engine, turn: Lock) -> None:
        """Connect on the first write. Each commit waits for its `turn`."""
        self._engine = engine
        self._turn = turn
        self._commits: Batcher[tuple[Row, float | None], RecordRefused | None] = Batcher(self._commit, LARGEST, "rung-ledger")

    async def write(self, row: Row, drawn: float | None) -> None:
        """Return once the row is durable, and the review that it was drawn for; raise LedgerError within `PATIENCE` seconds if it
        cannot be."""
        try:
            async with asyncio.timeout(PATIENCE):
                refusal = await self._commits.submit((row, drawn))
        except TimeoutError as error:
            raise explain(self._engine, LedgerError(f"no commit within {PATIENCE:.0f} s")) from error
        if refusal is not None:
            raise refusal

    async def close(self) -> None:
        """Finish what has been submitted and end the connection."""
        await self._commits.close()
        self._engine.dispose()

    def _commit(self, submitted: list[tuple[Row, float | None]]) -> Sequence[RecordRefused | None]:
        rows = [row for row, _ in submitted]
        try:
            with self._turn, self._engine.begin() as connection:
                connection.execute(_INSERT, rows)
                queue.add(connection, submitted)
                tallies.add(connection, rows)
        except (IntegrityError, DataError) as error:
            if len(submitted) > 1:  # one row the database refuses must not take the others with it
                return [answer for each in submitted for answer in self._commit([each])]
            return [
                RecordRefused(
                    f"Decision {rows[0]['id']} is not recorded: {error.orig}. Next: give each decision an id of its own."
                )
            ]
        except SQLAlchemyError as error:
            raise explain(self._engine, error) from error
        return [None] * len(rows)
