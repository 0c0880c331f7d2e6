"""Who may sign in, which programs have keys, what they may do, and what was done by whom: for admins."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rung.gateway.pages.site import Site, read_form
from rung.gateway.pages.visitors import ROLES
from rung.gateway.refusal import Refusal
from rung.ledger import PersonRefused, Role

LATEST = 200  # actions
MAY = {
    "viewer": "sees every page",
    "reviewer": "also settles cases",
    "operator": "also promotes and rolls back",
    "admin": "also says who may do what",
}


def routes(site: Site) -> list[Route]:
    """The page, and its two changes."""
    people = site.ledger.people

    async def show(request: Request) -> Response:
        everybody, done = await asyncio.to_thread(people.list), await asyncio.to_thread(people.actions, LATEST)
        keys = [key for key in await asyncio.to_thread(site.ledger.list_keys) if not key.revoked]
        data: dict[str, Any] = {"people": everybody, "keys": keys, "actions": done, "may": MAY, "latest": LATEST}
        return site.render(request, "people.html", title="People", **data)

    async def change(request: Request) -> Response:
        form = await read_form(request)
        name, role = form.get("name", ""), form.get("role", "")
        if role not in ROLES:
            raise Refusal(400, "invalid_role", f"A role is one of {', '.join(ROLES)}.")
        await asyncio.to_thread(_change, request, name, role)
        return Response(status_code=303, headers={"location": "/people"})

    async def remove(request: Request) -> Response:
        name = (await read_form(request)).get("name", "")
        await asyncio.to_thread(_change, request, name, None)
        return Response(status_code=303, headers={"location": "/people"})

    def _change(request: Request, name: str, role: Role | None) -> None:
        """Give somebody this role, or none: then they are shut out. Blocks."""
        if role != "admin" and [one.name for one in people.list() if one.role == "admin"] == [name]:
            raise Refusal(409, "last_admin", f"{name} is the only admin: make somebody else one first.")
        try:
            people.change(name, role=role) if role else people.remove(name, datetime.now(UTC))
        except PersonRefused:
            raise Refusal(409, "person_refused", f"There is nobody named {name[:100]} any more.") from None
        site.note(request, "role changed" if role else "person removed", name, role or "")

    return [
        site.page("/people", show, "admin"),
        site.page("/people/role", change, "admin", "POST"),
        site.page("/people/remove", remove, "admin", "POST"),
    ]
