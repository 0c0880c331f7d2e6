"""The start page, signing in and out, and the files that pages are made of."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rung.gateway.pages.site import Site, read_form

PAGE = re.compile(r"/(?:w/|people)[!-\[\]-~]{0,2000}")  # here, and nowhere else: who signs in is sent to no other site


def routes(site: Site) -> list[Route]:
    """What leads into the pages and out of them."""

    async def start(request: Request) -> Response:
        first = next(iter(site.lives))
        return Response(status_code=303, headers={"location": f"/w/{quote(first, safe='')}/overview"})

    async def workload(request: Request) -> Response:
        name = site.live(request).workload.name
        return Response(status_code=303, headers={"location": f"/w/{quote(name, safe='')}/overview"})

    async def ask(request: Request) -> Response:
        if request.state.visitor:
            return await start(request)
        return site.render(request, "sign_in.html", **await _who(site, request.query_params.get("to", "")))

    async def sign_in(request: Request) -> Response:
        form = await read_form(request)
        name, password, to = form.get("name", "").strip(), form.get("password", ""), form.get("to", "")
        answer = await site.visitors.sign_in(name, password, request)
        if answer is None:
            return site.render(request, "sign_in.html", 403, **await _who(site, to) | {"wrong": True, "name": name})
        if PAGE.fullmatch(to):
            answer.headers["location"] = to
        return answer

    async def sign_out(request: Request) -> Response:
        return await site.visitors.sign_out(request)

    return [
        site.page("/", start),
        site.page("/w/{workload}", workload),
        site.page("/sign-in", ask, None),
        site.page("/sign-in", sign_in, None, "POST"),
        site.page("/sign-out", sign_out, None, "POST"),
        site.page("/static/{name}", site.file, None),
    ]


async def _who(site: Site, to: str) -> dict[str, Any]:
    somebody = bool(await asyncio.to_thread(site.ledger.people.list))
    return {"title": "Sign in", "somebody": somebody, "wrong": False, "name": "", "to": to if PAGE.fullmatch(to) else ""}
