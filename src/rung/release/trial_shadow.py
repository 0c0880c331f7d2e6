"""Turns cases that were answered into what a challenger would have decided about them. Nobody waits for it or sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from rung.core import Case, Decision, same
from rung.ledger import Ledger, Shadow

ABREAST = 4  # cases that a challenger has in hand at once
PATIENCE = 2.0  # seconds that a case waits for a moment in which nobody does
BREATH = 0.01  # seconds between two looks for one
KEPT = 1_000  # decisions that may wait to be recorded


class Shadows:
    """What one trial's challenger decides unseen. A case that comes while it has enough to do is left out: in the ledger the live
    release's decision then has no shadow."""

    def __init__(self, trial: str, ask: Callable[[Case], Awaitable[Decision]], busy: Callable[[], object]) -> None:
        """Ask the challenger by `ask`, while `busy` says that somebody waits only after some patience: they share the machine."""
        self._trial = trial
        self._ask = ask
        self._busy = busy
        self._at_work = 0
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
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        while (self._busy() or self._at_work) and loop.time() < until:
            await asyncio.sleep(BREATH)
        self._at_work += 1
        try:
            unseen = await self._ask(case)
        finally:
            self._at_work -= 1
        self._kept.append(Shadow(self._trial, unseen, same(decision.answer, unseen.answer), datetime.now(UTC)))
