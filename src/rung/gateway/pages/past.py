"""Turns a workload's ledger into what Overview, Money and Report show of its past, and keeps what takes long to read.

Knows nothing about how it is shown. Every method but `agreement` blocks for its queries: it is for a thread.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock, Thread
from typing import TYPE_CHECKING, TypeVar, cast

from rung.core import Outcome
from rung.ledger import Effort, Latency, Ledger, LedgerError, Reviewed, Tally
from rung.monitor.history import by_step, steps
from rung.monitor.money import Money, Tokens, assume, measure, price, revise, tokens
from rung.review import agreement
from rung.statistics.agreement import Agreement
from rung.workload import Workload

if TYPE_CHECKING:
    from rung.release.live import Live

FRESH = 60.0  # seconds after which what takes long to read is read anew, while what was read is shown
ASKED = 200  # escalated decisions, the latest, over which the large model's tokens are counted
MOST = 100  # of what is kept
HOUR = timedelta(hours=1)
COUNTED = 300.0  # seconds until agreement is counted anew
PATIENCE = 0.03  # seconds that a page waits for that

Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class Period:
    """What was decided and reviewed from `since` to before `until`, cut into steps that began at `starts`; the first decision was
    made in the hour of `first`."""

    since: datetime
    until: datetime
    step: timedelta
    starts: Sequence[datetime]
    first: datetime
    tallies: Sequence[Tally]
    latencies: Sequence[Latency]
    reviewed: Sequence[Reviewed]

    @property
    def decisions(self) -> int:
        """In all."""
        return sum(each.decisions for each in self.tallies)

    @property
    def hours(self) -> float:
        """From the first decision on: machines are paid from then."""
        return (self.until - self.first) / HOUR


class Past:
    """The past of one workload."""

    def __init__(self, live: Live, ledger: Ledger) -> None:
        """Nothing is read yet."""
        self._live = live
        self._ledger = ledger
        self._kept: dict[object, tuple[float, object]] = {}
        self._renewing: set[object] = set()
        self._first = Lock()
        self._agreement: tuple[float, Mapping[str, Agreement] | None] = (-COUNTED, None)
        self._counting: asyncio.Task[None] | None = None

    @property
    def _workload(self) -> Workload:
        """As the release at work has it: with the next one its promise, costs and tiers may be others."""
        return self._live.workload

    def period(self, since: datetime, until: datetime, step: timedelta) -> Period:
        """What happened in a time that begins with a step; what its former steps hold is kept."""
        starts = steps(since, until, step)
        former = self._keep(("sums", since, starts[-1], step), lambda: self._sums(since, starts[-1], step))
        latter = self._sums(starts[-1], until, step)
        return Period(
            since,
            until,
            step,
            starts,
            max(former[0] or latter[0] or until, since),
            [*former[1], *latter[1]],
            [*former[2], *latter[2]],
            _between(self.reviewed(), since, until),
        )

    def _sums(
        self, since: datetime, until: datetime, step: timedelta
    ) -> tuple[datetime | None, Sequence[Tally], Sequence[Latency]]:
        """The first hour in which anything was decided, the tallies and the latencies."""
        name, ledger, size = self._workload.name, self._ledger, round(step / HOUR)
        tallies = ledger.tallies(name, since, until, size)
        begun = ledger.tallies(name, tallies[0].hour, min(tallies[0].hour + step, until)) if tallies else ()
        return (begun[0].hour if begun else None), tallies, ledger.latencies(name, since, until, size)

    def reviewed(self) -> Sequence[Reviewed]:
        """The answers from the random sample that people have settled: those that came since the last look at once, what has
        changed about others, such as a verdict taken back, after a minute or two."""
        name, queue = self._workload.name, self._ledger.queue
        known = self._keep("reviewed", lambda: queue.reviewed(name))
        last = known[-1].at if known else None
        return [*(_between(known, known[0].at, last) if last else ()), *queue.reviewed(name, last)]

    async def agreement(self) -> Mapping[str, Agreement] | None:
        """How far reviewers agree, as it was counted last; None while it is counted for the first time."""
        counting = self._counting
        if time.monotonic() - self._agreement[0] >= COUNTED and (counting is None or counting.done()):
            counting = self._counting = asyncio.create_task(self._count_agreement())
        if self._agreement[1] is None and counting:
            await asyncio.wait({counting}, timeout=PATIENCE)
        return self._agreement[1]

    async def _count_agreement(self) -> None:
        found = await asyncio.to_thread(agreement, self._ledger, self._workload)
        self._agreement = time.monotonic(), found

    def effort(self, since: datetime, until: datetime | None = None) -> Effort:
        """What people did from a time on, until another or now."""
        name, queue = self._workload.name, self._ledger.queue
        done = self._keep(("effort", since), lambda: queue.effort(name, since))
        if until is None:
            return done
        later = self._keep(("effort", until), lambda: queue.effort(name, until))
        return Effort(done.settled - later.settled, done.timed - later.timed, done.seconds - later.seconds)

    def tokens(self) -> Tokens | None:
        """What the large model used lately."""
        latest = self._ledger.list
        return self._keep("tokens", lambda: tokens(self._workload, latest(self._workload.name, Outcome.ESCALATED, None, ASKED)))

    def money(self, period: Period, typed: Mapping[str, float] | None = None) -> tuple[Money, Sequence[Money | None]]:
        """The whole cost of a period, and of each of its steps in which anything was decided, under the same assumptions."""
        workload = self._workload
        usage = measure(workload, period.tallies, period.reviewed, period.hours)
        assumed = revise(assume(workload, usage, self.effort(period.since), self.tokens()), typed or {})
        tallies = by_step(period.tallies, lambda each: each.hour, period.step)
        reviewed = by_step(period.reviewed, lambda each: each.at, period.step)
        each = [
            price(measure(workload, tallies[at], reviewed.get(at, []), self._hours(period, at)), assumed)
            if at in tallies
            else None
            for at in period.starts
        ]
        return price(usage, assumed), each

    def _hours(self, period: Period, at: datetime) -> float:
        """How long machines ran in a step: it may not be over, or only have begun with the first decision."""
        start = max(at, period.until - timedelta(hours=period.hours))
        return max((min(at + period.step, period.until) - start) / HOUR, 1e-9)

    def _keep(self, key: object, read: Callable[[], Kept]) -> Kept:
        """What was read, which nobody waits for but who asks first."""
        found = self._kept.get(key)
        if found is None:
            with self._first:
                found = self._kept.get(key) or (time.monotonic(), read())
                if len(self._kept) > MOST:  # times that were asked for once
                    self._kept.clear()
                self._kept[key] = found
        at, value = found
        if time.monotonic() - at >= FRESH and key not in self._renewing:
            self._renewing.add(key)
            Thread(target=self._renew, args=(key, read), daemon=True).start()
        return cast(Kept, value)

    def _renew(self, key: object, read: Callable[[], object]) -> None:
        try:
            self._kept[key] = time.monotonic(), read()
        except LedgerError:
            pass  # whoever asks next is told why, or it goes well again
        finally:
            self._renewing.discard(key)


def _between(reviewed: Sequence[Reviewed], since: datetime, until: datetime) -> Sequence[Reviewed]:
    """Those settled from a time to before another; they are in that order."""
    first = bisect_left(reviewed, since, key=lambda each: each.at)
    return reviewed[first : bisect_left(reviewed, until, key=lambda each: each.at)]
