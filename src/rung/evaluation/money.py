"""Turns what a bake-off measured and what machines and people cost into bills. Knows nothing about what is decided by them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10

from rung.evaluation.candidates import Candidate
from rung.monitor import money
from rung.monitor.money import HOURS, LOAD, Crossover, by_person
from rung.statistics.binomial import interval
from rung.workload import Costs

__all__ = ["HOURS", "LOAD", "Bill", "Crossover", "alone", "bill", "by_person", "capacity", "crossover", "dollars", "machines"]


@dataclass(frozen=True, slots=True)
class Bill:
    """What a way to do the work costs, in US dollars a case: what endpoints ask, machines of one's own, and the people who decide
    what is left. `total_interval` is the total at both ends of the 95 % interval of the share that is left to people."""

    endpoints: float
    machine: float
    people: float
    total_interval: tuple[float, float]

    @property
    def running(self) -> float:
        """US dollars a case without people."""
        return self.endpoints + self.machine

    @property
    def total(self) -> float:
        """US dollars a case."""
        return self.running + self.people


def bill(candidate: Candidate, costs: Costs, volume: int | None) -> Bill:
    """The bill at so many cases a month, machines rented round the clock; at an unknown volume they cost what is used of them."""
    cases = len(candidate.answered)
    left = candidate.answered.count(False)
    machine = machines(candidate, costs, volume) / volume if volume else candidate.busy / LOAD / 3600 * costs.machine_hour
    low, high = (candidate.cost + machine + share * by_person(costs) for share in interval(left, cases))
    return Bill(candidate.cost, machine, left / cases * by_person(costs), (low, high))


def alone(costs: Costs) -> Bill:
    """The bill where people decide every case."""
    return Bill(0.0, 0.0, by_person(costs), (by_person(costs), by_person(costs)))


def capacity(candidate: Candidate) -> float:
    """Cases that one machine takes in a month, `LOAD` of its time being planned for; infinite for what needs none."""
    return HOURS * 3600 * LOAD / candidate.busy if candidate.busy else float("inf")


def machines(candidate: Candidate, costs: Costs, volume: float) -> float:
    """US dollars a month for as many machines as this volume needs."""
    return ceil(volume / capacity(candidate)) * HOURS * costs.machine_hour


def crossover(own: Candidate, paid: Candidate, costs: Costs, people: bool = False) -> Crossover:
    """Where a candidate on own hardware becomes cheaper than one that is paid by the case; `people` counts those that each leaves
    cases to. The reckoning is `rung.monitor.money`'s, so that production is priced as the bake-off was."""
    saved = paid.cost - own.cost
    if people:
        saved += (_left(paid) - _left(own)) * by_person(costs)
    return money.crossover(saved, own.busy, costs.machine_hour)


def dollars(amount: float) -> str:
    """US dollars to three digits at least, and whole ones from a hundred on: `$0.000073`, `$0.50`, `$12.30`, `$4,810`."""
    if amount < 0:
        return f"-{dollars(-amount)}"
    if amount == 0 or amount >= 1:
        return f"${amount:,.{0 if amount == 0 or amount >= 99.995 else 2}f}"
    digits = 2 - floor(log10(amount))
    whole, _, part = f"{amount:.{digits}f}".partition(".")
    return f"${whole}.{part.rstrip('0').ljust(2, '0')}"


def _left(candidate: Candidate) -> float:
    return candidate.answered.count(False) / len(candidate.answered)
