"""A place to try a text: what every tier makes of it, and which of them would have answered. No decision is recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rung.core import Attempt, Case, Fields
from rung.gateway.pages.attempts import Piece, Step, describe, pieces, steps
from rung.gateway.pages.site import Site, read_form
from rung.gateway.refusal import Refusal
from rung.gateway.wire import parse
from rung.ledger import Ledger, Role
from rung.release.live import LONGEST, CaseError, Live
from rung.review import open_finder
from rung.workload import EndpointTier, Workload

ROLE: Role = "reviewer"  # asking takes the machine's time, and an endpoint's costs money
FIELDS = ("text", "context", "endpoints")


def routes(site: Site) -> list[Route]:
    """The form, and what the tiers answer to it."""

    def page(request: Request, live: Live, given: Mapping[str, str], status: int = 200, **told: Any) -> Response:
        data = {"wrong": "", "asked": (), **told}
        return site.render(
            request,
            "playground.html",
            status,
            title="Playground",
            tab="playground",
            here=f"/w/{quote(live.workload.name, safe='')}/playground",
            given={name: given.get(name, "") for name in FIELDS},
            may=request.state.visitor.may(ROLE),
            longest=LONGEST,
            level=live.level,
            tiers=[(tier.name, describe(tier)) for tier in live.workload.tiers],
            endpoints=[_what_leaves(live.workload, tier) for tier in live.workload.tiers if isinstance(tier, EndpointTier)],
            **data,
        )

    async def show(request: Request) -> Response:
        live, decision = site.live(request), request.query_params.get("decision", "")
        return page(request, live, await asyncio.to_thread(_given, site.ledger, live.workload, decision))

    async def ask(request: Request) -> Response:
        live, form = site.live(request), await read_form(request)
        tiers = [tier.name for tier in live.workload.tiers if "endpoints" in form or not isinstance(tier, EndpointTier)]
        try:
            case = Case(_lines(form.get("text", "")), _context(form.get("context", "")), request.state.visitor.name)
            if not tiers:
                raise CaseError("Every tier of this workload is an endpoint: tick the box to ask them.")
            level, attempts = live.level, await live.explain(case, tiers)
        except CaseError as error:
            return page(request, live, form, 400, wrong=str(error))
        asked = steps(live.workload, attempts, level)
        first = next((step for step in asked if step.trusted), None)
        detail = f"{', '.join(tiers)}: ${sum(attempt.cost for attempt in attempts):.6f}"
        await asyncio.to_thread(site.note, request, "tried a text", live.workload.name, detail)
        marked = await asyncio.to_thread(_marked, live.workload, case.text, _best(attempts))
        unasked = [tier.name for tier in live.workload.tiers if tier.name not in tiers]
        return page(
            request, live, form, asked=[(step, _word(step, first)) for step in asked], first=first, unasked=unasked, pieces=marked
        )

    path = "/w/{workload}/playground"
    return [site.page(path, show), site.page(path, ask, ROLE, "POST")]


def _given(ledger: Ledger, workload: Workload, decision_id: str) -> Mapping[str, str]:
    """What a decision was asked, to be tried again, if one is named."""
    if not decision_id:
        return {}
    record = ledger.find(decision_id)
    if record is None or record.workload != workload.name:
        raise Refusal(404, "decision_not_found", f"There is no decision {decision_id[:100]!r} here.")
    context = json.dumps(record.case.context, ensure_ascii=False, indent=1) if record.case.context else ""
    return {"text": record.case.text, "context": context}


def _lines(text: str) -> str:
    """The text with line ends as programs send them: forms send others."""
    return text.replace("\r\n", "\n")


def _context(given: str) -> Fields:
    """The context. Raises `CaseError` unless it is a JSON object such as callers may send."""
    try:
        context: object = parse(given.encode()) if given.strip() else {}
    except Refusal:
        context = None
    if not isinstance(context, dict):
        raise CaseError('The context must be a JSON object, like {"channel": "chat"}.')
    return cast("dict[str, Any]", context)


def _what_leaves(workload: Workload, tier: EndpointTier) -> tuple[str, str]:
    """A tier that costs money, and what it is told."""
    if tier.endpoint.boundary == "inside":
        return tier.name, "inside your walls"
    if workload.boundary.may_leave == "redacted":
        return tier.name, f"outside your walls, told no {', '.join(workload.boundary.redact)}"
    return tier.name, "outside your walls, told everything"


def _best(attempts: Sequence[Attempt]) -> Fields:
    """The answer that would have been given, or else the surest."""
    trusted = next((attempt for attempt in attempts if attempt.trusted), None)
    best = trusted or max(attempts, key=lambda one: (one.answer is not None, one.confidence))
    return {} if best.answer is None else best.answer.fields


def _marked(workload: Workload, text: str, answer: Fields) -> list[Piece]:
    return [*pieces(text, open_finder(workload)(text, answer))]


def _word(step: Step, first: Step | None) -> str:
    if not step.trusted:
        return ""
    return "would answer" if step is first else "would be trusted too"
