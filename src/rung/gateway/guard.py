"""Turns a route into one that lets in only whom it is for, and not too many at once. Knows nothing about what they ask."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from rung.gateway.keys import Keys
from rung.gateway.refusal import Refusal
from rung.ledger import KeyRole, Role

if TYPE_CHECKING:
    from rung.gateway.pages import Visitors

CONCURRENT = 256  # requests worked on at once; beyond it callers are asked to come back

Endpoint = Callable[[Request], Awaitable[Response]]


def is_loopback(host: str) -> bool:
    """Whether this name or address can only ever mean this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def proxies() -> str:
    """The addresses, separated by commas, of proxies that are believed when they say how and for whom they ask; mostly none."""
    return os.environ.get("FORWARDED_ALLOW_IPS", "").strip()


class Guard:
    """Who is let in, and how many at once."""

    def __init__(self, keys: Keys, visitors: Visitors) -> None:
        """Admit the callers these keys name, and to some routes those who are signed in."""
        self._keys = keys
        self._visitors = visitors
        self._inside = 0

    @asynccontextmanager
    async def admit(self, request: Request, key: KeyRole, role: Role | None) -> AsyncGenerator[None]:
        """Hold a place for the request; write its caller's name, and whether a reviewer's, into its `state`. Raises Refusal.

        Where a role is named, a page's session of that role does instead of a key of this one.
        """
        with self.place():
            request.state.caller, request.state.reviewer = await self._caller(request, key, role)
            yield

    async def _caller(self, request: Request, key: KeyRole, role: Role | None) -> tuple[str, bool]:
        shown = request.headers.get("authorization")
        if role is None or (shown and not self._keys.open):
            return await self._keys.caller(shown, key)
        visitor = await self._visitors.visitor(request)
        if visitor is None and self._keys.open:  # who asks needs no name, who settles has one
            raise Refusal(401, "not_signed_in", "Who settles cases has a name here: sign in on the pages, or use API keys.")
        if visitor is None or not (visitor.signed_in or key == "reviewer"):  # a program, and not somebody at this machine
            return await self._keys.caller(shown, key)
        if not visitor.may(role):
            raise Refusal(403, "not_allowed", f"This is for a {role}, and you are a {visitor.role}: ask an admin.")
        return visitor.name, visitor.may("reviewer")

    @contextmanager
    def place(self) -> Generator[None]:
        """Hold a place for a request. Raises Refusal when all are taken."""
        if self._inside >= CONCURRENT:
            raise Refusal(503, "overloaded", "Too many requests at once: try again.", headers={"retry-after": "1"})
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1


class GuardedRoute(Route):
    """A route that asks the guard, unless it says itself that it is for everybody.

    The demand stands here, not around the routes, and each has to say whom it is for.
    """

    def __init__(
        self,
        path: str,
        endpoint: Endpoint,
        guard: Guard,
        key: KeyRole | None,
        *,
        method: str = "GET",
        role: Role | None = None,
    ) -> None:
        """Answer this method on this path with what the endpoint returns, to who has a `key` of this role; None is for everybody.
        Who has this `role` on the pages needs no key."""
        super().__init__(path, endpoint, methods=[method])
        self._answer = endpoint
        self._guard = guard
        self._key: KeyRole | None = key
        self._role: Role | None = role

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request. Raises Refusal."""
        methods = self.methods or set[str]()
        if scope["method"] not in methods:
            allowed = ", ".join(sorted(methods))
            message = f"{scope['method']} is not allowed here: {allowed} is."
            raise Refusal(405, "method_not_allowed", message, headers={"allow": allowed})
        request = Request(scope, receive)
        if self._key is None:
            response = await self._answer(request)
        else:
            async with self._guard.admit(request, self._key, self._role):
                response = await self._answer(request)
        await response(scope, receive, send)
