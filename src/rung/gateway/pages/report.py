"""Turns seven days and the seven before them into a report to print: what was decided, how wrongly, what it cost, what rang."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rung.cascade import PERSON
from rung.charts import Table, spell
from rung.gateway.pages.figures import DAY, error_over_time, ordered, split_over_time
from rung.gateway.pages.past import Past, Period
from rung.gateway.pages.site import Site, fragment
from rung.gateway.refusal import Refusal
from rung.ledger import Alarm, Effort, Ledger, Promotion
from rung.monitor.history import Estimate, begin, error, quantile, split
from rung.monitor.money import Money, sentences
from rung.monitor.standings import WHOLE
from rung.workload import Workload

if TYPE_CHECKING:
    from rung.release.live import Live

WEEK = 7 * DAY
ALARMS = 500  # the latest, among which those of the week are looked for
DASH = "\u2013"


@dataclass(frozen=True, slots=True)
class Week:
    """Seven days in numbers."""

    period: Period
    money: Money
    error: Estimate | None
    effort: Effort
    alarms: Sequence[Alarm]
    promotions: Sequence[Promotion]

    @property
    def minutes(self) -> float:
        """What people worked, as far as it was timed, and for the rest as assumed."""
        untimed = self.effort.settled - self.effort.timed
        return (self.effort.seconds + untimed * self.money.assumed["review_seconds"].value) / 60


def routes(site: Site) -> list[Route]:
    """The report."""

    async def show(request: Request) -> Response:
        live = site.live(request)
        now = datetime.now(UTC)
        until = _until(request.query_params.get("until", ""), now)
        this, before = await asyncio.to_thread(_weeks, live, site.ledger, site.past(request), until)
        standing = (await asyncio.to_thread(site.watches[live.workload.name].know))[WHOLE]
        workload = live.workload
        wrong = error_over_time(workload, this.period, DAY)
        decided = bool(this.period.decisions)
        return site.render(
            request,
            "report.html",
            title="Report",
            tab="report",
            this=this,
            standing=standing,
            agreement=await site.past(request).agreement(),
            rows=fragment([_compared(workload, this, before)]) if decided else "",
            said=sentences(this.money),
            charts=[fragment([figure]) for figure in (split_over_time(workload, this.period), wrong) if figure]
            if decided
            else [],
            last_day=until - timedelta(microseconds=1),
            earlier=(this.period.since).date().isoformat(),
            later=(until + WEEK).date().isoformat() if until + DAY <= now else "",
        )

    return [site.page("/w/{workload}/report", show)]


def _until(given: str, now: datetime) -> datetime:
    """The end of the week asked for, exclusive: midnight UTC of that day; now if none is. Raises Refusal."""
    if not given:
        return now
    try:
        until = datetime.fromisoformat(given).replace(tzinfo=UTC)
    except ValueError:
        raise Refusal(400, "invalid_date", "Name the day after the week's last as YYYY-MM-DD.") from None
    return min(begin(until, DAY), now) if until.year > 1970 else now


def _weeks(live: Live, ledger: Ledger, past: Past, until: datetime) -> tuple[Week, Week]:
    """The week that ends then, and the one before."""
    name = live.workload.name
    since = begin(until - timedelta(microseconds=1), DAY) - 6 * DAY
    alarms, promotions = ledger.alarms.list(name, limit=ALARMS), ledger.promotions(name)

    def week(start: datetime, end: datetime) -> Week:
        period = past.period(start, end, DAY)
        return Week(
            period,
            past.money(period)[0],
            error(period.reviewed),
            past.effort(start, end if end < until or end == begin(end, DAY) else None),
            [one for one in alarms if start <= one.at < end],
            [one for one in promotions if start <= one.at < end],
        )

    return week(since, until), week(since - WEEK, since)


def _compared(workload: Workload, this: Week, before: Week) -> Table:
    """The two weeks side by side."""
    tiers = ordered(workload, split([*this.period.tallies, *before.period.tallies]))
    rows: list[tuple[str, Callable[[Week], str]]] = [
        ("decisions", lambda week: f"{week.period.decisions:,}"),
        *((f"  by {'people' if name == PERSON else name}", _share(name)) for name in tiers),
        ("answers wrong, reviewed at random", _error),
        ("a case cost, all in", lambda week: _dollars(week.money.cost.each)),
        ("in all", lambda week: _dollars(week.money.cost.total)),
        ("the large model alone", lambda week: _dollars(week.money.alone)),
        ("saved against it", lambda week: _dollars(week.money.saved)),
        ("half took at most", lambda week: _seconds(quantile(week.period.latencies, 0.50))),
        ("99 % took at most", lambda week: _seconds(quantile(week.period.latencies, 0.99))),
        ("cases settled by people", lambda week: f"{week.effort.settled:,}"),
        ("people's time", lambda week: _seconds(60 * week.minutes)),
        ("energy of a case", lambda week: f"{week.money.joules:.3g} J" if week.period.decisions else DASH),
        ("alarms raised", lambda week: f"{len(week.alarms):,}"),
        ("releases promoted", lambda week: f"{len(week.promotions):,}"),
    ]
    return Table(("", "this week", "week before"), [(label.strip(), tell(this), tell(before)) for label, tell in rows])


def _share(name: str) -> Callable[[Week], str]:
    def tell(week: Week) -> str:
        count = split(week.period.tallies)[name]
        return f"{count:,} ({spell(count / week.period.decisions, 'share')})" if week.period.decisions else DASH

    return tell


def _error(week: Week) -> str:
    if week.error is None:
        return f"{DASH} (n = 0)"
    low, high = spell(week.error.low, "share"), spell(week.error.high, "share")
    return f"{spell(week.error.share, 'share')} ({low} to {high}, n = {week.error.n:,})"


def _dollars(amount: float | None) -> str:
    return DASH if amount is None else spell(amount, "USD")


def _seconds(seconds: float | None) -> str:
    return DASH if seconds is None else spell(seconds, "seconds")
