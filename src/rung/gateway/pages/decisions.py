"""What was decided: a list to look through, and each decision as a timeline of the tiers that were asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rung.cascade import PERSON
from rung.core import Decision, Fields, Outcome, same
from rung.gateway.pages.attempts import pieces, steps
from rung.gateway.pages.site import Site
from rung.gateway.pages.visitors import Visitor
from rung.gateway.pages.words import value
from rung.gateway.refusal import Refusal
from rung.ledger import Found, Ledger, Record, Said, Search, UnknownDecision
from rung.release.live import Live
from rung.review import best_attempt, open_finder
from rung.workload import Workload

LIMIT = 50  # decisions on a page
LONGEST = 160  # characters of a text, or of an answer, in the list
MORE = ("least", "most", "asked_by", "since", "until")  # filters that few use
FILTERS = ("q", "outcome", "tier", "release", *MORE)


@dataclass(frozen=True, slots=True)
class Line:
    """A decision in the list. `answer` is what was answered, or, if `given` is false, only suggested."""

    record: Record
    text: str
    answer: str
    given: bool


def routes(site: Site) -> list[Route]:
    """The list and the page of one decision."""

    async def show_all(request: Request) -> Response:
        live = site.live(request)
        given = {name: request.query_params.get(name, "").strip() for name in FILTERS}
        here = f"/w/{quote(live.workload.name, safe='')}/decisions"
        known = given["q"] and await asyncio.to_thread(site.ledger.find, given["q"])
        if known and known.workload == live.workload.name:
            return Response(status_code=303, headers={"location": f"{here}/{quote(known.decision.id, safe='')}"})
        before = request.query_params.get("before")
        found, releases = await asyncio.to_thread(_find, site.ledger, live, _wanted(given), before)
        set_ = {name: said for name, said in given.items() if said}
        return site.render(
            request,
            "decisions.html",
            title="Decisions",
            tab="decisions",
            here=here,
            found=found,
            lines=[_line(live.workload, record) for record in found.records],
            full=len(found.records) == LIMIT,
            given=given,
            filtered=bool(set_),
            more=any(given[name] for name in MORE),
            before=before,
            onward=f"{here}?{urlencode({**set_, 'before': found.onward})}",
            newest=f"{here}?{urlencode(set_)}",
            outcomes=[outcome.value for outcome in Outcome],
            tiers=_with(given["tier"], [*(tier.name for tier in live.workload.tiers), PERSON]),
            releases=_with(given["release"], releases),
        )

    async def show_one(request: Request) -> Response:
        live = site.live(request)
        found = await asyncio.to_thread(_open, site.ledger, live.workload, request.path_params["id"], request.state.visitor)
        level = live.level if found["record"].decision.release == live.release else None
        decision: Decision = found["record"].decision
        return site.render(
            request,
            "decision.html",
            title="Decision",
            tab="decisions",
            here=f"/w/{quote(live.workload.name, safe='')}",
            decision=decision,
            steps=steps(live.workload, decision.attempts, level),
            unasked=_unasked(live.workload, decision),
            same=same,
            **found,
        )

    return [
        site.page("/w/{workload}/decisions", show_all),
        site.page("/w/{workload}/decisions/{id}", show_one),
    ]


def _find(ledger: Ledger, live: Live, wanted: Search, before: str | None) -> tuple[Found, list[str]]:
    """What fits, and the releases that may have decided it, the newest first."""
    name = live.workload.name
    try:
        found = ledger.search(name, wanted, LIMIT, before or None)
    except UnknownDecision:
        raise Refusal(404, "decision_not_found", "There is no decision to look on from: begin with the newest.") from None
    trial = ledger.trial(name)
    promoted = [promotion.release for promotion in ledger.promotions(name)]
    return found, [*dict.fromkeys([live.release, *([trial.release] if trial else []), *reversed(promoted)])]


def _open(ledger: Ledger, workload: Workload, decision_id: str, visitor: Visitor) -> dict[str, Any]:
    """What is known of a decision. Whoever may look at it again, blind, does not see here what was settled; an admin neither."""
    record = ledger.find(decision_id)
    if record is None or record.workload != workload.name:
        raise Refusal(404, "decision_not_found", f"There is no decision {decision_id[:100]!r} here.")
    review = ledger.queue.open_on(decision_id, visitor.name)
    answer = best_attempt(record.decision).answer
    copied = open_finder(workload)(record.case.text, {} if answer is None else answer.fields)
    blind = visitor.may("reviewer") and ledger.queue.blind(decision_id, visitor.name)
    said: Sequence[Said] = () if blind else ledger.history(decision_id)
    told = {"review": review, "blind": blind, "said": said, "came": None if blind else ledger.conclusion(decision_id)}
    return {"record": record, "pieces": [*pieces(record.case.text, copied)], **told}


def _wanted(given: Mapping[str, str]) -> Search:
    """The filters that the address gives. Raises Refusal for one that cannot be."""
    until = _day(given["until"], "To")
    try:
        outcome = Outcome(given["outcome"]) if given["outcome"] else None
    except ValueError:
        raise Refusal(400, "invalid_value", f"Outcome is one of {', '.join(Outcome)}.") from None
    return Search(
        words=tuple(given["q"].split()),
        outcome=outcome,
        tier=given["tier"] or None,
        release=given["release"] or None,
        asked_by=given["asked_by"] or None,
        least=_share(given["least"]),
        most=_share(given["most"]),
        since=_day(given["since"], "From"),
        until=until and until + timedelta(days=1),
    )


def _share(percent: str) -> float | None:
    if not percent:
        return None
    try:
        share = float(percent) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise Refusal(400, "invalid_value", "A confidence is a number from 0 to 100, in per cent.")
    return share


def _day(day: str, name: str) -> datetime | None:
    """Where a day begins, in UTC."""
    if not day:
        return None
    try:
        begins = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        begins = None
    if begins is None or not 1970 <= begins.year < 9999:
        raise Refusal(400, "invalid_value", f"{name} is a day like 2026-11-30.")
    return begins


def _line(workload: Workload, record: Record) -> Line:
    decision = record.decision
    best = best_attempt(decision).answer
    suggested: Fields = {} if best is None else best.fields
    answer = suggested if decision.answer is None else decision.answer
    asked = [name for name in workload.asked if name in answer] or [*answer]
    told = " · ".join(value(answer[name]) for name in asked if answer[name] is not None)
    return Line(record, _short(record.case.text), _short(told), decision.answer is not None)


def _short(text: str) -> str:
    words = " ".join(text[: 4 * LONGEST].split())
    return words if len(words) <= LONGEST and len(text) <= 4 * LONGEST else f"{words[:LONGEST]} …"


def _unasked(workload: Workload, decision: Decision) -> Sequence[str]:
    """The tiers of today's workload that were not asked because a smaller one was trusted."""
    asked = {attempt.tier for attempt in decision.attempts}
    return [tier.name for tier in workload.tiers if tier.name not in asked] if decision.answer is not None else []


def _with(given: str, known: Sequence[str]) -> list[str]:
    return [*known] if not given or given in known else [*known, given]
