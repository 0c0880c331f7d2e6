"""Turns what a bake-off measured and what machines and people cost into bills. Knows nothing about what is decided by them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10

from rung.evaluation.candidates import Candidate
from rung.statistics.binomial import interval
from rung.workload import Costs

HOURS = 730  # in a month
LOAD = 0.5  # of a machine's time that is planned for: cases do not come evenly


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


@dataclass(frozen=True, slots=True)
class Crossover:
    """Own hardware against a bill by the case. `volume` is the number of cases a month from which on own hardware stays cheaper,
    None where it never is; `month` is what a machine costs a month and `capacity` how many cases it takes in one, `saved` what a
    case costs less there, in US dollars, the machine left out."""

    volume: int | None
    month: float
    capacity: float
    saved: float


def by_person(costs: Costs) -> float:
    """US dollars that a person's decision on one case costs."""
    return costs.person_hour * costs.review_seconds / 3600


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
    cases to.

    Each further machine is a step up in the cost. With r the ratio of what a full machine saves to what it costs, the bill of
    k + 1 machines stays below the other from its first case on when k >= 1 / (r - 1); k machines get there within their range.
    """
    month = HOURS * costs.machine_hour if own.busy else 0.0
    saved = paid.cost - own.cost
    if people:
        saved += (_left(paid) - _left(own)) * by_person(costs)
    limit = capacity(own)
    if saved <= 0 or (saved * limit <= month and month > 0):
        return Crossover(None, month, limit, saved)
    full = max(1, ceil(1 / (saved * limit / month - 1))) if month and limit != float("inf") else 1
    return Crossover(max(1, ceil(full * month / saved)), month, limit, saved)


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
