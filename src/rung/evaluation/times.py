"""Turns a workload's arrivals into the seconds that cases take, and these into quantiles and energy with 95 % intervals.

Arrivals are a Poisson process: they do not wait for answers, as callers who know nothing of each other (Schroeder, Wierman,
Harchol-Balter 2006, "Open versus closed"). Knows nothing about what is answered.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil
from time import perf_counter
from typing import Any

import numpy as np

from rung.cascade import Cascade, decide
from rung.core import Case
from rung.evaluation.asking import Tick
from rung.evaluation.rates import draw, estimate, over
from rung.statistics.binomial import quantile_cases, quantile_interval
from rung.workload import Workload

BUSY = 10  # times the mean rate of the stated volume: an hour's rush
MONTH = 30 * 24 * 3600
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
WATTS = 15.0  # of a core that is busy
BLOCKS = 50  # of consecutive cases, over which energy is resampled: neighbours share caches, clock rates and work begun
FEWEST = 10  # blocks that an interval is given from


@dataclass(frozen=True, slots=True)
class Quantile:
    """Seconds that a share of the cases takes at most, and the 95 % interval of that; an end is None where so few have none."""

    seconds: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds from arrival to answer, in ascending order, at `rate` arrivals a second, None where no volume is stated; `alone`
    where cases were decided one at a time, for nothing is stated or they would hardly ever meet.

    Intervals are distribution-free, from order statistics, and take the cases for independent. That they nearly are while few
    arrivals find an earlier one under way; where most do, neighbours are late together and the intervals too short.
    """

    seconds: Sequence[float]
    rate: float | None
    alone: bool

    def __len__(self) -> int:
        """How many cases were timed."""
        return len(self.seconds)

    def __getitem__(self, name: str) -> Quantile:
        """`p50`, `p95` or `p99`. There must be a case."""
        share = SHARES[name]
        return Quantile(self.seconds[ceil(share * (len(self) - 1))], *quantile_interval(self.seconds, share))

    def at_least(self, name: str, confidence: float) -> float:
        """The one-sided lower bound on a quantile; 0 where there is none."""
        return quantile_interval(self.seconds, SHARES[name], 2 * confidence - 1)[0] or 0.0

    def document(self) -> dict[str, Any]:
        """As JSON."""
        quantiles = {name: asdict(self[name]) for name in SHARES} if self.seconds else {}
        about = {"cases": len(self), "arrivals_per_second": self.rate, "one_at_a_time": self.alone}
        return about | quantiles

    @property
    def sentence(self) -> str:
        """`p50 4.2 ms (4.1 to 4.4), p95 ...`, with 95 % intervals in brackets; an open end is said to be one."""
        return ", ".join(f"{name} {milliseconds(self[name].seconds)} ({self.between(name)})" for name in SHARES)

    def between(self, name: str) -> str:
        """The interval of a quantile in words."""
        found = self[name]
        if found.high is None:
            return f"{milliseconds(found.low or 0.0)} or more: an upper end takes {quantile_cases(SHARES[name])} cases"
        return f"{(found.low or 0.0) * 1e3:.1f} to {milliseconds(found.high)}"

    @property
    def how(self) -> str:
        """By which arrivals."""
        if not self.alone:
            return f"arriving at {self.rate:.3g} a second, whether or not others are answered"
        return "one at a time" + (
            "" if self.rate is None else f", for at {self.rate:.3g} arrivals a second hardly any would meet"
        )


@dataclass(frozen=True, slots=True)
class Energy:
    """Seconds of a core that a case takes on average and so about how many `joules`: `WATTS` for each core that is busy, an
    assumption for a server's core with its share of memory and cooling; what endpoints use is theirs and not in it.

    The 95 % interval is the percentile bootstrap over `blocks` of consecutive cases (Künsch 1989), and of the measurement alone,
    not of the watts; an end is None of fewer than `FEWEST` blocks.
    """

    cpu: float
    low: float | None
    high: float | None
    cases: int
    blocks: int

    @property
    def joules(self) -> float:
        """Of a case."""
        return self.cpu * WATTS

    def document(self) -> dict[str, Any]:
        """As JSON."""
        low, high = (None if end is None else end * WATTS for end in (self.low, self.high))
        about = {"cases": self.cases, "blocks": self.blocks, "watts_per_core": WATTS}
        seconds = {"cpu_seconds": self.cpu, "cpu_seconds_low": self.low, "cpu_seconds_high": self.high}
        return {"joules": self.joules, "joules_low": low, "joules_high": high, **seconds, **about}

    @property
    def between(self) -> str:
        """The interval in words."""
        if self.low is None or self.high is None:
            return f"no interval: it takes {FEWEST} blocks of cases, and there are {self.blocks}"
        return f"{self.low * WATTS:.3g} to {self.high * WATTS:.3g} J"


def times_of(seconds: Sequence[float], rate: float | None = None, alone: bool = False) -> Times:
    """From the seconds of cases in any order."""
    return Times(tuple(sorted(seconds)), rate, alone or rate is None)


def energy_of(marks: Sequence[float]) -> Energy:
    """From the processor seconds that this process had taken when it began and as each case was answered."""
    cases = len(marks) - 1
    ends = np.unique(np.linspace(0, cases, min(cases, BLOCKS) + 1).astype(int))
    spent, counts = np.diff(np.asarray(marks)[ends]), np.diff(ends).astype(float)
    found = estimate(lambda drawn: over(drawn @ spent, drawn @ counts), draw(len(counts)), cases)
    if found is None or len(counts) < FEWEST:
        return Energy(float(spent.sum()) / max(cases, 1), None, None, cases, len(counts))
    return Energy(found.value, found.low, found.high, cases, len(counts))


def rush(workload: Workload) -> float | None:
    """Arrivals a second in a busy hour: `BUSY` times the mean of the stated volume, None where none is stated."""
    return BUSY * workload.volume / MONTH if workload.volume else None


async def arrive(cascade: Cascade, cases: Sequence[Case], rate: float, tick: Tick | None = None) -> list[float]:
    """Decide each case at its time in a Poisson stream of `rate` a second, the same one every time; seconds from arrival to
    answer, in their order.

    Time in which no case is under way is skipped, so that it takes no longer than one at a time, however rarely cases come. An
    answer that is remembered counts with the seconds it took when it was given.
    """
    stream, skipped = random.Random(0), 0.0

    def now() -> float:
        return perf_counter() + skipped

    async def ask(case: Case, at: float) -> float:
        late = max(now() - at, 0.0)
        decision = await decide(case, cascade)
        if tick is not None:
            tick(1)
        return max(late + decision.seconds, now() - at)

    at, asked = now(), list[asyncio.Task[float]]()
    under_way: set[asyncio.Task[float]] = set()
    for case in cases:
        at += stream.expovariate(rate)
        if under_way:
            _, under_way = await asyncio.wait(under_way, timeout=max(at - now(), 0.0))
        if not under_way:
            skipped += max(at - now(), 0.0)
        asked.append(task := asyncio.create_task(ask(case, at)))
        under_way.add(task)
    return await asyncio.gather(*asked)


def milliseconds(seconds: float) -> str:
    """`4.2 ms`."""
    return f"{seconds * 1e3:.1f} ms"
