"""Turns what was decided and what machines, people and tokens cost into the whole cost of a case, and what it would be elsewhere.

Knows nothing about how the numbers were recorded. Every number that is not measured is an `Assumption`: named, with its source,
and for a person to replace. Everything is in US dollars and seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

from rung.cascade import PERSON
from rung.charts import spell
from rung.ledger import Effort, Record, Reviewed, Tally
from rung.workload import Costs, EndpointTier, SpecialistTier, Workload

HOURS = 730  # in a month
LOAD = 0.5  # of a machine's time that is planned for: cases do not come evenly
WATTS = 15.0  # of a core that is busy, with its share of memory and cooling: assumed, not metered
TYPICAL = {
    "price_in": 2.50,
    "price_out": 10.0,
    "tokens_in": 500.0,
    "tokens_out": 100.0,
}  # of a large model, where nothing is known
TIMED = 30  # reviews: the mean of fewer says little of what a review takes
SIZES = ("tiny", "core", "upper", "frontier")


@dataclass(frozen=True, slots=True)
class Crossover:
    """Own hardware against a bill by the case. `volume` is the number of cases a month from which on own hardware stays cheaper,
    None where it never is; `month` is what a machine costs a month and `capacity` how many cases it takes in one, `saved` what a
    case costs less there, in US dollars, the machine left out."""

    volume: int | None
    month: float
    capacity: float
    saved: float


@dataclass(frozen=True, slots=True)
class Assumption:
    """A number that the money rests on, with its unit and where it is from; a person may type in another up to `most`."""

    label: str
    unit: str
    value: float
    source: str
    most: float = 1e6


@dataclass(frozen=True, slots=True)
class Use:
    """What ended at one tier: decisions, US dollars asked by endpoints, seconds on machines of one's own (as if one case came
    after the other), and how many of its answers a person has checked."""

    decisions: int = 0
    asked: float = 0.0
    busy: float = 0.0
    checked: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used over some `hours`, by tier from the smallest to the person; `own`: whether a machine of one's own is."""

    tiers: Mapping[str, Use]
    hours: float
    own: bool

    @property
    def decisions(self) -> int:
        """In all."""
        return sum(use.decisions for use in self.tiers.values())

    @property
    def busy(self) -> float:
        """Seconds on machines of one's own, in all."""
        return sum(use.busy for use in self.tiers.values())

    @property
    def left(self) -> int:
        """Decisions left to people."""
        return self.tiers.get(PERSON, Use()).decisions


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the large model was asked and said, on average over `n` recorded answers, and the seconds that took."""

    prompt: float
    completion: float
    seconds: float
    n: int


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars for some `decisions`: what endpoints ask, machines of one's own, people."""

    decisions: int
    endpoints: float
    machine: float
    people: float

    @property
    def total(self) -> float:
        """In all."""
        return self.endpoints + self.machine + self.people

    @property
    def each(self) -> float | None:
        """A case, None of none."""
        return self.total / self.decisions if self.decisions else None

    def document(self) -> dict[str, Any]:
        """As JSON, in US dollars."""
        parts = {"endpoints_usd": self.endpoints, "machine_usd": self.machine, "people_usd": self.people}
        return {"cases": self.decisions, **parts, "total_usd": self.total, "usd_per_case": self.each}


@dataclass(frozen=True, slots=True)
class Money:
    """The whole cost of what was decided, by tier and in all; `alone` is what the large model alone would have cost for the same
    cases, its share left to people included. `utilisation` (0..1) is the share of the machines' time that cases took at most;
    `joules` those of a case; `volume` the cases a month at this rate."""

    tiers: Mapping[str, Cost]
    cost: Cost
    alone: float
    crossover: Crossover
    utilisation: float
    joules: float
    volume: float
    assumed: Mapping[str, Assumption] = field(repr=False)

    @property
    def saved(self) -> float:
        """US dollars less than the large model alone; negative if more."""
        return self.alone - self.cost.total

    def document(self) -> dict[str, Any]:
        """As JSON; `assumptions` names every number that is not a sum of what was recorded."""
        return {
            **self.cost.document(),
            "tiers": {name: cost.document() for name, cost in self.tiers.items()},
            "large_model_alone_usd": self.alone,
            "saved_usd": self.saved,
            "own_hardware_pays_from_cases_per_month": self.crossover.volume,
            "cases_per_month": self.volume,
            "machine_utilisation_at_most": self.utilisation,
            "joules_per_case": self.joules,
            "assumptions": {
                name: {"value": each.value, "unit": each.unit, "source": each.source} for name, each in self.assumed.items()
            },
        }


def by_person(costs: Costs) -> float:
    """US dollars that a person's decision on one case costs."""
    return costs.person_hour * costs.review_seconds / 3600


def crossover(saved: float, busy: float, machine_hour: float, load: float = LOAD) -> Crossover:
    """Where own hardware that a case keeps `busy` for so many seconds becomes cheaper, if a case there costs so much less.

    Each further machine is a step up in the cost. With r the ratio of what a full machine saves to what it costs, the bill of
    k + 1 machines stays below the other from its first case on when k >= 1 / (r - 1); k machines get there within their range.
    """
    month = HOURS * machine_hour if busy else 0.0
    limit = HOURS * 3600 * load / busy if busy else float("inf")
    if saved <= 0 or (saved * limit <= month and month > 0):
        return Crossover(None, month, limit, saved)
    full = max(1, ceil(1 / (saved * limit / month - 1))) if month and limit != float("inf") else 1
    return Crossover(max(1, ceil(full * month / saved)), month, limit, saved)


def large(workload: Workload) -> EndpointTier | None:
    """The largest of the workload's endpoints, of equally large ones the last."""
    endpoints = [tier for tier in workload.tiers if isinstance(tier, EndpointTier)]
    return max(reversed(endpoints), key=lambda tier: SIZES.index(tier.endpoint.size), default=None)


def measure(workload: Workload, tallies: Sequence[Tally], checked: Sequence[Reviewed], hours: float) -> Usage:
    """What these sums and checked answers say was used in so many hours.

    A case that ended at an endpoint with a price, or at a person after one, kept one's own machine busy as long as those did, on
    average, that ended at the last tier of one's own: how long it waited for the endpoint is not the machine's time.
    """
    own = {tier.name: is_own(tier) for tier in workload.tiers}
    seen: dict[str, tuple[int, float, float]] = {}
    for tally in tallies:
        decisions, asked, seconds = seen.get(tally.tier, (0, 0.0, 0.0))
        seen[tally.tier] = decisions + tally.decisions, asked + tally.cost, seconds + tally.seconds
    looked = Counter(each.tier for each in checked)
    former = sorted(seen.keys() - {*own, PERSON})  # tiers that the file no longer has
    tiers: dict[str, Use] = {}
    mean, waits = 0.0, False  # seconds a case took so far, and whether an endpoint with a price has been asked
    for name in [*own, *former, PERSON]:
        decisions, asked, seconds = seen.get(name, (0, 0.0, 0.0))
        outside = not own.get(name, not asked) if name != PERSON else waits
        waits = waits or outside
        if not outside and decisions:
            mean = seconds / decisions
        tiers[name] = Use(decisions, asked, decisions * mean if outside else seconds, looked[name])
    return Usage(tiers, hours, any(own.values()))


def tokens(workload: Workload, records: Sequence[Record]) -> Tokens | None:
    """What the large model used in these records; None where it said nothing, or nobody counted."""
    tier = large(workload)
    answers = [
        attempt.answer
        for record in records
        for attempt in record.decision.attempts
        if tier and attempt.tier == tier.name and attempt.answer and any(attempt.answer.tokens)
    ]
    if not answers:
        return None
    sums = [sum(values) for values in zip(*((*answer.tokens, answer.seconds) for answer in answers), strict=True)]
    return Tokens(sums[0] / len(answers), sums[1] / len(answers), sums[2] / len(answers), len(answers))


def assume(workload: Workload, usage: Usage, effort: Effort, used: Tokens | None) -> dict[str, Assumption]:
    """Every number the money rests on, measured where it can be, else from the workload's file, else typical."""
    costs, file = workload.costs, "the workload file"
    enough = effort.timed >= TIMED
    timed = effort.seconds / effort.timed if enough else costs.review_seconds
    clock = f"measured, {effort.timed:,} reviews" if enough else file
    machines = max(1, ceil(usage.busy / (3600 * usage.hours * LOAD))) if usage.hours and usage.own else int(usage.own)
    share = usage.left / usage.decisions if usage.decisions else 0.0
    return {
        "machine_hour": Assumption("One machine of your own", "$ an hour", costs.machine_hour, file),
        "machines": Assumption("Machines, round the clock", "machines", machines, "as many as the load needs", 10_000),
        "load": Assumption("Of a machine's time planned for", "%", 100 * LOAD, "assumed: cases do not come evenly", 100),
        "person_hour": Assumption("A person", "$ an hour", costs.person_hour, file),
        "review_seconds": Assumption("A person's time for one case", "s", round(timed, 1), clock, 86_400),
        **_large(workload, used),
        "left": Assumption("Left to people by the large model alone", "%", round(100 * share, 3), "assumed: as many as now", 100),
        "watts": Assumption("Power of a busy core", "W", WATTS, "assumed, not metered", 100_000),
    }


def revise(assumed: Mapping[str, Assumption], typed: Mapping[str, float]) -> dict[str, Assumption]:
    """The assumptions with the values that a person typed in; names that are none are left out."""
    return {
        name: replace(each, value=typed[name], source="typed in") if name in typed and typed[name] != each.value else each
        for name, each in assumed.items()
    }


def price(usage: Usage, assumed: Mapping[str, Assumption]) -> Money:
    """What was used, in money, under these assumptions. Machines are paid round the clock; what they cost is divided among the
    tiers as they kept them busy."""
    value = {name: each.value for name, each in assumed.items()}
    decisions, busy = usage.decisions, usage.busy
    machine = value["machine_hour"] * value["machines"] * usage.hours
    person = value["person_hour"] * value["review_seconds"] / 3600
    tiers = {
        name: Cost(
            use.decisions,
            use.asked,
            machine * (use.busy / busy if busy else use.decisions / decisions if decisions else 0.0),
            person * (use.checked + (use.decisions if name == PERSON else 0)),
        )
        for name, use in usage.tiers.items()
    }
    costs = list(tiers.values())
    cost = Cost(
        decisions, sum(each.endpoints for each in costs), machine if decisions else 0.0, sum(each.people for each in costs)
    )
    by_tokens = (value["tokens_in"] * value["price_in"] + value["tokens_out"] * value["price_out"]) / 1e6
    by_tokens += value.get("large_hour", 0.0) * value.get("large_seconds", 0.0) / 3600
    checked = sum(use.checked for use in usage.tiers.values())
    saved = by_tokens - (cost.endpoints / decisions if decisions else 0.0)
    return Money(
        tiers,
        cost,
        decisions * by_tokens + person * (decisions * value["left"] / 100 + checked),
        crossover(saved, busy / decisions if decisions else 0.0, value["machine_hour"], max(value["load"], 1.0) / 100),
        min(1.0, busy / (3600 * usage.hours * value["machines"])) if usage.hours and value["machines"] else 0.0,
        busy / decisions * value["watts"] if decisions else 0.0,
        decisions / usage.hours * HOURS if usage.hours else 0.0,
        assumed,
    )


def is_own(tier: SpecialistTier | EndpointTier) -> bool:
    """Whether it runs on a machine that nobody sends a bill for."""
    if isinstance(tier, SpecialistTier):
        return True
    asked = tier.endpoint.price
    return tier.endpoint.boundary == "inside" and not (asked.input or asked.output or asked.hour)


def _large(workload: Workload, used: Tokens | None) -> dict[str, Assumption]:
    """What the large model costs: as its endpoint says and its answers show, or else a typical one."""
    tier = large(workload)
    asked = tier.endpoint.price if tier else None
    priced = asked is not None and (asked.input or asked.output or asked.hour)
    value = dict(TYPICAL)
    typical = "assumed: type in your provider's" if tier is None else f"assumed: {tier.endpoint.name} has no price"
    if asked and priced:
        value |= {"price_in": asked.input, "price_out": asked.output}
    if used:
        value |= {"tokens_in": round(used.prompt, 1), "tokens_out": round(used.completion, 1)}
    said = f"the price of {tier.endpoint.name}" if tier and priced else typical
    counted = f"measured, {used.n:,} answers" if used else "assumed: none of its answers is recorded"
    found = {
        "price_in": Assumption("Large model, tokens in", "$ a million", value["price_in"], said),
        "price_out": Assumption("Large model, tokens out", "$ a million", value["price_out"], said),
        "tokens_in": Assumption("Tokens in, a case", "tokens", value["tokens_in"], counted, 1e7),
        "tokens_out": Assumption("Tokens out, a case", "tokens", value["tokens_out"], counted, 1e7),
    }
    if asked and asked.hour:
        found["large_hour"] = Assumption("Large model, its machine", "$ an hour", asked.hour, said)
        seconds = round(used.seconds, 3) if used else 1.0
        found["large_seconds"] = Assumption("Its machine's time for one case", "s", seconds, counted, 86_400)
    return found


def sentences(money: Money) -> list[str]:
    """The money in words, for people."""
    cost, turn, value = money.cost, money.crossover, {name: each.value for name, each in money.assumed.items()}
    if not cost.decisions:
        return []
    each = [spell(part / cost.decisions, "USD") for part in (cost.total, cost.endpoints, cost.machine, cost.people)]
    said = ["A case cost {} with everything in it: {} asked by endpoints, {} for machines, {} for people.".format(*each)]
    more = "less" if money.saved >= 0 else "more"
    alone = f"The large model alone would have cost {spell(money.alone, 'USD')} for the same cases"
    said.append(f"{alone}, with {value['left']:.3g} % of them left to people; this cost {spell(abs(money.saved), 'USD')} {more}.")
    if turn.month:
        full = f"a full machine costs {spell(turn.month / turn.capacity, 'USD')} a case"
        never = f"Own hardware does not pay: {full}, and saves {spell(max(turn.saved, 0), 'USD')} of the large model's bill."
        pays = f"Own hardware is cheaper than the large model's bill from {turn.volume or 0:,} cases a month on"
        said.append(never if turn.volume is None else f"{pays}; these came at {money.volume:,.0f} a month.")
        joules = f"{money.joules:.3g}"
        busy = f"Cases kept the machines busy for at most {spell(money.utilisation, 'share')} of the time"
        said.append(f"{busy}, and took about {joules} J each: their seconds there at {value['watts']:g} W, not metered.")
    return said
