"""The review page: one case at a time, by keyboard; the queue as a list; lookalikes, settled together."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rung.core import Verdict
from rung.gateway.pages.site import Site, read_form
from rung.ledger import LedgerError, Review
from rung.review import Question, ReviewError, guidelines, lookalikes, open_questions, settle_review
from rung.workload import Workload

LISTED = 100  # of the queue, the longest waiting ones: on its page, and looked through for lookalikes


def routes(site: Site) -> list[Route]:
    """The pages of the review queue. What changes it goes through the same routes as for any program."""

    async def show(request: Request) -> Response:
        workload, by = site.live(request).workload, request.state.visitor.name
        counts = await asyncio.to_thread(site.ledger.queue.count, workload.name, by)
        guide = await asyncio.to_thread(guidelines, workload)
        data: dict[str, Any] = {"waiting": sum(counts.values()), "guidelines": guide, "names": _labels(workload)}
        return site.render(request, "review.html", title="Review", tab="review", **data)

    async def queue(request: Request) -> Response:
        workload, by = site.live(request).workload, request.state.visitor.name

        def look() -> dict[str, Any]:
            ask, now = open_questions(workload), datetime.now(UTC)
            found = site.ledger.queue.list(workload.name, by, LISTED)
            rows = [_row(review, ask(review), now) for review in found]
            count = sum(site.ledger.queue.count(workload.name, by).values())
            return {"rows": rows, "count": count}

        data: dict[str, Any] = await asyncio.to_thread(look)
        data["agreement"] = await site.past(request).agreement() or {}
        return site.render(request, "queue.html", title="Queue", tab="review", **data)

    async def alike(request: Request) -> Response:
        workload, by = site.live(request).workload, request.state.visitor.name

        def look() -> Sequence[Sequence[Question]]:
            ask, now = open_questions(workload), datetime.now(UTC)
            found = [each for each in site.ledger.queue.list(workload.name, by, LISTED) if _free(each, by, now)]
            return lookalikes([ask(each) for each in found])

        groups = await asyncio.to_thread(look)
        told = request.query_params.get("settled", "")
        settled = int(told) if told.isdecimal() and len(told) < 6 else 0
        return site.render(request, "alike.html", title="Lookalikes", tab="review", groups=groups, settled=settled)

    async def settle_alike(request: Request) -> Response:
        """Settle those that are ticked as they are suggested; what somebody else took meanwhile is left to them."""
        workload, by = site.live(request).workload, request.state.visitor.name
        form = await read_form(request)
        numbers = [int(found[1]) for name in form if (found := re.fullmatch("review-([0-9]{1,18})", name))]

        def settle() -> int:
            return sum(_settle_as_suggested(site, workload, number, by) for number in numbers)

        done = await asyncio.to_thread(settle)
        where = f"/w/{quote(workload.name, safe='')}/review/alike?settled={done}"
        return Response(status_code=303, headers={"location": where})

    base = "/w/{workload}/review"
    return [
        site.page(base, show, "reviewer"),
        site.page(f"{base}/queue", queue, "reviewer"),
        site.page(f"{base}/alike", alike, "reviewer"),
        site.page(f"{base}/alike", settle_alike, "reviewer", "POST"),
    ]


def _settle_as_suggested(site: Site, workload: Workload, number: int, by: str) -> bool:
    review = site.ledger.queue.find(number)
    if review is None or review.record.workload != workload.name:
        return False
    verdict = Verdict(review.record.decision.id, {}, by, "settled with others like it")
    try:
        settle_review(site.ledger, workload, review, verdict, datetime.now(UTC), None)
    except (ReviewError, LedgerError):
        return False
    return True


def _row(review: Review, one: Question, now: datetime) -> Mapping[str, Any]:
    held = review.holder if review.holder and review.until and review.until > now else None
    return {"question": one, "held": held, "tier": one.tries[-1].tier if one.tries else ""}


def _free(review: Review, by: str, now: datetime) -> bool:
    return review.holder in (None, by) or (review.until is not None and review.until < now)


def _labels(workload: Workload) -> Sequence[tuple[str, Sequence[Any]]]:
    """The label fields and their labels: what the queue can be narrowed down by."""
    return [(field.name, field.labels) for field in workload.fields if field.fill == "label"]
