"""Turns cases that were answered into what a challenger would have decided about them. Nobody waits for it or sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from rung.core import Case, Decision, same
from rung.ledger import Ledger, Shadow

ABREAST = 4  # cases that a challenger decides at once: it leaves the machine to those who wait for an answer
KEPT = 1_000  # decisions that may wait to be recorded


class Shadows:
    """What one trial's challenger decides unseen. A case that comes while it has enough to do is left out: in the ledger the live
    release's decision then has no shadow."""

    def __init__(self, trial: str, ask: Callable[[Case], Awaitable[Decision]]) -> None:
        """Ask the challenger by `ask`."""
        self._trial = trial
        self._ask = ask
        self._asking: set[asyncio.Task[None]] = set()
        self._kept: list[Shadow] = []
        self._stopped = False

    def cast(self, case: Case, decision: Decision) -> None:
        """Let the challenger decide a case too, after its decision was recorded; returns at once."""
        if not self._stopped and len(self._asking) < ABREAST and len(self._kept) < KEPT:
            task = asyncio.create_task(self._decide(case, decision))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def record(self, ledger: Ledger) -> None:
        """Record what was decided since the last time, in one transaction. What cannot be recorded is lost."""
        kept, self._kept = self._kept, []
        if kept:
            await asyncio.to_thread(ledger.add_shadows, kept)

    def stop(self) -> list[asyncio.Task[None]]:
        """Take no more cases and give up those in hand; the tasks are done once that is so."""
        self._stopped = True
        asking = list(self._asking)
        for task in asking:
            task.cancel()
        return asking

    async def _decide(self, case: Case, decision: Decision) -> None:
        unseen = await self._ask(case)
        self._kept.append(Shadow(self._trial, unseen, same(decision.answer, unseen.answer), datetime.now(UTC)))
