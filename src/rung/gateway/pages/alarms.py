"""What rings and rang, what is known of the promise part by part, and what has drifted, with the cases that are new."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rung.gateway.pages.site import Site
from rung.gateway.refusal import Refusal
from rung.ledger import Alarm
from rung.monitor.standings import WHOLE
from rung.statistics.binomial import interval

LISTED = 100
LONGEST = 400  # characters of an example


def routes(site: Site) -> list[Route]:
    """The alarms of a workload, and one of them."""

    async def show(request: Request) -> Response:
        live = site.live(request)
        watch = site.watches[live.workload.name]

        def look() -> dict[str, Any]:
            return {"known": watch.know(), "alarms": site.ledger.alarms.list(live.workload.name, limit=LISTED)}

        data = await asyncio.to_thread(look)
        return site.render(
            request,
            "alarms.html",
            title="Alarms",
            tab="overview",
            whole=WHOLE,
            sight=watch.sight,
            gathered=watch.progress,
            nowhere=watch.nowhere,
            between=interval(*watch.nowhere),
            **data,
        )

    async def show_one(request: Request) -> Response:
        live, number = site.live(request), request.path_params["number"]
        named = re.fullmatch("[0-9]{1,18}", number)
        alarm = await asyncio.to_thread(site.ledger.alarms.find, int(number)) if named else None
        if alarm is None or alarm.workload != live.workload.name:
            raise Refusal(404, "alarm_not_found", "There is no such alarm.")
        texts = await asyncio.to_thread(_texts, site, alarm)
        return site.render(request, "alarm.html", title="Alarm", tab="overview", alarm=alarm, texts=texts)

    return [
        site.page("/w/{workload}/alarms", show),
        site.page("/w/{workload}/alarms/{number}", show_one),
    ]


def _texts(site: Site, alarm: Alarm) -> Mapping[str, str]:
    """The beginnings of the texts that an alarm shows as examples, by decision."""
    clusters: list[Mapping[str, Any]] = alarm.detail.get("clusters", [])
    named: list[str] = [example for cluster in clusters for example in cluster["examples"]]
    found = site.ledger.find_all(named)
    return {name: record.case.text[:LONGEST] for name, record in found.items()}
