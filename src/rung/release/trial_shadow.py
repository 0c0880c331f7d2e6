"""Turns cases that were answered into what a challenger would have decided about them. Nobody waits for it or sees it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from rung.core import Case, Decision, same
from rung.ledger import Ledger, Shadow

PATIENCE = 2.0  # seconds that a case waits for a moment in which nobody does
BREATH = 0.01  # seconds between two looks for one
KEPT = 1_000  # cases that may wait to be decided, and decisions to be recorded, together

_log = logging.getLogger("rung.release")


class Shadows:
    """What one trial's challenger decides unseen, one after another, in the order in which they came. A case that comes while
    too many wait is left out: in the ledger the live release's decision then has no shadow."""

    def __init__(self, trial: str, ask: Callable[[Case], Awaitable[Decision]], busy: Callable[[], object]) -> None:
        """Ask the challenger by `ask`, while `busy` says that somebody waits only after some patience: they share the machine."""
        self._trial = trial
        self._ask = ask
        self._busy = busy
        self._waiting: deque[tuple[Case, Decision, float]] = deque()  # each with until when, of the loop's clock, it is patient
        self._at_work: asyncio.Task[None] | None = None
        self._kept: list[Shadow] = []
        self._stopped = False

    def cast(self, case: Case, decision: Decision) -> None:
        """Let the challenger decide a case too, after its decision was recorded; returns at once."""
        if self._stopped or len(self._waiting) + len(self._kept) >= KEPT:
            return
        self._waiting.append((case, decision, asyncio.get_running_loop().time() + PATIENCE))
        if self._at_work is None or self._at_work.done():
            self._at_work = asyncio.create_task(self._work())

    async def record(self, ledger: Ledger) -> None:
        """Record what was decided since the last time, in one transaction. What cannot be recorded is lost."""
        kept, self._kept = self._kept, []
        if kept:
            await asyncio.to_thread(ledger.add_shadows, kept)

    def stop(self) -> list[asyncio.Task[None]]:
        """Take no more cases and give up those that wait or are in hand; the tasks are done once that is so."""
        self._stopped = True
        self._waiting.clear()
        if self._at_work is None:
            return []
        self._at_work.cancel()
        return [self._at_work]

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            case, decision, until = self._waiting.popleft()
            while self._busy() and loop.time() < until:
                await asyncio.sleep(BREATH)
            try:
                unseen = await self._ask(case)
            except Exception as error:  # noqa: BLE001  # whatever is wrong with one case, the others are decided
                _log.error("a challenger could not decide a case: %s", type(error).__name__)
                continue
            self._kept.append(Shadow(self._trial, unseen, same(decision.answer, unseen.answer), datetime.now(UTC)))
