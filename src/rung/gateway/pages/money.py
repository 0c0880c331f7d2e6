"""What a case costs with everything in it, and what that rests on: each assumption is shown, and may be typed over."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rung.cascade import PERSON
from rung.charts import Axis, Figure, Reference, Series, Table, lines, spell
from rung.gateway.pages.figures import RANGES, USUAL, costs_over_time, ordered
from rung.gateway.pages.past import Period
from rung.gateway.pages.site import Site, fragment
from rung.monitor.money import HOURS, Assumption, Cost, Money, sentences
from rung.workload import Workload

VOLUMES = 60  # at which the bills are drawn


@dataclass(frozen=True, slots=True)
class Typed:
    """What somebody typed in: the values that are numbers, and what is wrong with the others."""

    values: Mapping[str, float]
    wrong: Mapping[str, str]


def routes(site: Site) -> list[Route]:
    """The money of a workload."""

    async def show(request: Request) -> Response:
        live = site.live(request)
        given = dict(request.query_params)
        chosen = given["range"] if given.get("range") in RANGES else USUAL
        past, span = site.past(request), RANGES[chosen]
        now = datetime.now(UTC)
        period = await asyncio.to_thread(past.period, span.since(now), now, span.step)
        stated, _ = await asyncio.to_thread(past.money, period)
        typed = read(given, stated.assumed)
        money, each = await asyncio.to_thread(past.money, period, typed.values)
        decided = period.decisions > 0
        return site.render(
            request,
            "money.html",
            title="Money",
            tab="overview",
            ranges=RANGES,
            chosen=chosen,
            decided=decided,
            money=money,
            said=sentences(money),
            stated=stated.assumed,
            given={name: text[:40] for name, text in given.items()},
            typed=typed,
            tiers=fragment([by_tier(live.workload, money)]) if decided else "",
            charts=[fragment([figure]) for figure in _charts(period, money, each)] if decided else [],
        )

    return [site.page("/w/{workload}/money", show)]


def read(given: Mapping[str, str], assumed: Mapping[str, Assumption]) -> Typed:
    """The assumptions among what an address says. An empty one is as it was stated."""
    values: dict[str, float] = {}
    wrong: dict[str, str] = {}
    for name, assumption in assumed.items():
        text = given.get(name, "").strip().replace(",", "")
        if not text:
            continue
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if 0 <= value <= assumption.most:
            values[name] = value
        else:
            wrong[name] = f"Type a number from 0 to {assumption.most:,.0f}."
    return Typed(values, wrong)


def by_tier(workload: Workload, money: Money) -> Table:
    """What was paid for the cases that ended at each tier."""
    counts = {name: cost.decisions for name, cost in money.tiers.items()}
    rows = [_row("people" if name == PERSON else name, money.tiers[name]) for name in ordered(workload, counts)]
    header = "ended at", "cases", "endpoints", "machines", "people", "in all", "a case"
    return Table(header, [*rows, _row("all", money.cost)])


def _row(name: str, cost: Cost) -> tuple[str, ...]:
    parts = cost.endpoints, cost.machine, cost.people, cost.total
    each = "\u2013" if cost.each is None else spell(cost.each, "USD")
    return name, f"{cost.decisions:,}", *(spell(part, "USD") for part in parts), each


def _charts(period: Period, money: Money, each: Sequence[Money | None]) -> list[Figure]:
    """The cost over time, and the bills by volume."""
    return [costs_over_time(period, each), *crossing(money)]


def crossing(money: Money) -> list[Figure]:
    """What the same work costs a month by its volume, on own machines and by the large model's bill; without people."""
    turn, value = money.crossover, {name: each.value for name, each in money.assumed.items()}
    if not turn.month or not money.cost.decisions:
        return []
    own = money.cost.endpoints / money.cost.decisions
    paid = own + turn.saved
    marks = [each for each in (turn.volume, money.volume) if each]
    low, high = max(1.0, min(marks) / 30), max(marks) * 30.0
    at = [low * (high / low) ** (step / VOLUMES) for step in range(VOLUMES + 1)]
    machines = value["machine_hour"] * HOURS
    references = [Reference(f"crossover: {turn.volume:,}", turn.volume, "x")] if turn.volume else []
    references.append(Reference(f"now: {money.volume:,.0f}", money.volume, "x"))
    series: list[tuple[str, list[tuple[float, float]]]] = [
        ("own machines, and what is escalated", [(n, n * own + math.ceil(n / turn.capacity) * machines) for n in at]),
        ("the large model alone", [(n, n * paid) for n in at]),
    ]
    return [
        lines(
            "From which volume own hardware pays",
            [Series(name, points) for name, points in series],
            Axis("cases a month", "count", log=True),
            Axis("US dollars a month", "USD", log=True),
            references,
            "Without people, who cost the same on both sides. Both axes are logarithmic; a machine is paid round the clock, so "
            "that its line is flat until a second one is needed.",
        )
    ]
