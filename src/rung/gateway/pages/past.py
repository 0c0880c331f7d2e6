"""Turns a workload's ledger into what Overview, Money and Report show of its past, and keeps what takes long to read.

Knows nothing about how it is shown. Every method blocks for its queries: it is for a thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import TypeVar, cast

from rung.core import Outcome
from rung.ledger import Effort, Latency, Ledger, Reviewed, Tally
from rung.monitor.history import by_step, steps
from rung.monitor.money import Money, Tokens, assume, measure, price, revise, tokens
from rung.monitor.promise import Standing
from rung.monitor.standings import standing
from rung.workload import Workload

FRESH = 60.0  # seconds that what takes long to read is kept; what people settle meanwhile is read at once
ASKED = 200  # escalated decisions, the latest, over which the large model's tokens are counted
HOUR = timedelta(hours=1)

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

    def __init__(self, workload: Workload, ledger: Ledger) -> None:
        """Nothing is read yet."""
        self._workload = workload
        self._ledger = ledger
        self._kept: dict[object, tuple[float, object]] = {}
        self._reading = Lock()
        self._reviewed: list[Reviewed] = []
        self._read_at = -FRESH

    def period(self, since: datetime, until: datetime, step: timedelta) -> Period:
        """What happened in a time that begins with a step."""
        name, ledger, size = self._workload.name, self._ledger, round(step / HOUR)
        tallies = ledger.tallies(name, since, until, size)
        begun = ledger.tallies(name, tallies[0].hour, min(tallies[0].hour + step, until)) if tallies else ()
        return Period(
            since,
            until,
            step,
            steps(since, until, step),
            max(begun[0].hour, since) if begun else until,
            tallies,
            ledger.latencies(name, since, until, size),
            [each for each in self.reviewed() if since <= each.at < until],
        )

    def reviewed(self) -> Sequence[Reviewed]:
        """The answers from the random sample that people have settled: those that came since the last look at once, what has
        changed about others, such as a verdict taken back, within `FRESH` seconds."""
        with self._reading:
            last = self._reviewed[-1].at if self._reviewed and time.monotonic() - self._read_at < FRESH else None
            found = self._ledger.queue.reviewed(self._workload.name, last)
            if last is None:
                self._reviewed, self._read_at = list(found), time.monotonic()
            elif len(found) > 1 or found[:1] != self._reviewed[-1:]:
                self._reviewed = [*(each for each in self._reviewed if each.at < last), *found]
            return self._reviewed

    def standing(self, release: str) -> Standing:
        """What is known of the promise of a release."""
        mine = [each for each in self.reviewed() if each.release == release]
        mark = release, len(mine), mine[-1].seq if mine else 0, sum(each.wrong for each in mine)
        if self._kept.get("mark", (0.0, None))[1] != mark:
            self._kept["standing"] = 0.0, standing(mine, self._workload.promise)
            self._kept["mark"] = 0.0, mark
        return cast(Standing, self._kept["standing"][1])

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
        at, value = self._kept.get(key, (-FRESH, None))
        if time.monotonic() - at < FRESH:
            return cast(Kept, value)
        found = read()
        if len(self._kept) > 100:  # times that were asked for once
            self._kept.clear()
        self._kept[key] = time.monotonic(), found
        return found
