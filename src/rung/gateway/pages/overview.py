"""The first page: what was decided and by whom, what it cost, how sure one can be of it, and what needs somebody."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rung.cascade import PERSON
from rung.charts import Figure
from rung.gateway.pages.figures import (
    RANGES,
    USUAL,
    Range,
    costs_over_time,
    error_over_time,
    ordered,
    split_over_time,
    times_over_time,
)
from rung.gateway.pages.past import Period
from rung.gateway.pages.site import Site, fragment
from rung.ledger import Alarm, Promotion
from rung.monitor.history import quantile, split
from rung.monitor.money import Money
from rung.monitor.promise import Standing
from rung.monitor.standings import WHOLE
from rung.workload import Workload


@dataclass(frozen=True, slots=True)
class Watched:
    """What the ledger says of a workload now."""

    period: Period
    standing: Standing
    money: Money
    each: Sequence[Money | None]
    waiting: int
    oldest: datetime | None
    alarms: Sequence[Alarm]
    promotion: Promotion | None
    last: datetime | None


def routes(site: Site) -> list[Route]:
    """The overview."""

    async def show(request: Request) -> Response:
        live = site.live(request)
        chosen = request.query_params.get("range", "")
        chosen = chosen if chosen in RANGES else USUAL
        now = datetime.now(UTC)
        watched = await asyncio.to_thread(_watch, site, request, RANGES[chosen].since(now), chosen)
        return site.render(
            request,
            "overview.html",
            title="Overview",
            tab="overview",
            ranges=RANGES,
            chosen=chosen,
            seen=watched,
            base=str(request.base_url).rstrip("/"),
            **_shown(live.workload, watched, RANGES[chosen]),
        )

    return [site.page("/w/{workload}/overview", show)]


def _watch(site: Site, request: Request, since: datetime, chosen: str) -> Watched:
    live, past, ledger = site.live(request), site.past(request), site.ledger
    name = live.workload.name
    period = past.period(since, datetime.now(UTC), RANGES[chosen].step)
    money, each = past.money(period)
    first = ledger.queue.list(name, limit=1)
    promotions = [one for one in ledger.promotions(name) if one.release == live.release]
    last = None if period.decisions else ledger.list(name, limit=1)
    return Watched(
        period,
        site.watches[name].know()[WHOLE],
        money,
        each,
        sum(ledger.queue.count(name).values()),
        first[0].at if first else None,
        ledger.alarms.list(name, ringing=True, limit=20),
        promotions[-1] if promotions else None,
        last[0].at if last else None,
    )


def _shown(workload: Workload, seen: Watched, chosen: Range) -> dict[str, Any]:
    """What the template shows besides."""
    period = seen.period
    if not period.decisions:
        return {"empty": True}
    counts = split(period.tallies)
    names = ordered(workload, counts)
    return {
        "empty": False,
        "split": [("people" if name == PERSON else name, counts[name] / period.decisions) for name in names],
        "p50": quantile(period.latencies, 0.50),
        "p99": quantile(period.latencies, 0.99),
        "gauge": gauge(seen.standing),
        "charts": [fragment([each]) for each in _charts(workload, seen, chosen)],
    }


def _charts(workload: Workload, seen: Watched, chosen: Range) -> list[Figure]:
    period = seen.period
    drawn = [split_over_time(workload, period), times_over_time(workload, period), costs_over_time(period, seen.each)]
    wrong = error_over_time(workload, period, chosen.rarer)
    return [*drawn[:1], *([wrong] if wrong else []), *drawn[1:]]


def gauge(standing: Standing) -> dict[str, float | None]:
    """Where the ends of the interval, the estimate and the promise lie on a scale of 0 to 100."""
    promised = standing.promise.error
    top = min(1.0, max(2.5 * promised, min(standing.at_most, 5 * promised) * 1.1, (standing.share or 0.0) * 1.3))

    def place(share: float) -> float:
        return round(100 * min(share / top, 1.0), 2)

    share = None if standing.share is None else place(standing.share)
    return {
        "low": place(standing.at_least),
        "high": place(standing.at_most),
        "share": share,
        "promised": place(promised),
        "top": top,
    }
