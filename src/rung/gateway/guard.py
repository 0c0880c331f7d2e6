"""Turns a route into one that lets in only callers with a key, and not too many at once. Knows nothing about what they ask."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from rung.gateway.keys import Keys
from rung.gateway.refusal import Refusal
from rung.ledger import Role

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


class Guard:
    """Who is let in, and how many at once."""

    def __init__(self, keys: Keys, visitors: Visitors) -> None:
        """Admit the callers these keys name, and to some routes those who are signed in."""
        self._keys = keys
        self._visitors = visitors
        self._inside = 0

    @asynccontextmanager
    async def admit(self, request: Request, role: Role | None) -> AsyncGenerator[None]:
        """Hold a place for the request and write its caller's name into `state.caller`. Raises Refusal.

        Where a role will do, so does a page's session instead of a key.
        """
        with self.place():
            request.state.caller = await self._caller(request, role)
            yield

    async def _caller(self, request: Request, role: Role | None) -> str:
        shown = request.headers.get("authorization")
        visitor = None if role is None or shown else await self._visitors.visitor(request)
        if role is None:
            return await self._keys.caller(shown)
        if visitor is None:
            if self._keys.open and await self._visitors.owner() is None:  # who asks needs no key, who settles has a name
                raise Refusal(401, "not_signed_in", "This is for people who are signed in: open the pages and sign in.")
            return await self._keys.caller(shown)
        if not visitor.may(role):
            raise Refusal(403, "not_allowed", f"This is for a {role}, and you are a {visitor.role}: ask an admin.")
        return visitor.name

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
    """A route that asks the guard, unless it says itself that it is public.

    The demand stands here, not around the routes: one that forgets to declare anything is closed.
    """

    def __init__(
        self,
        path: str,
        endpoint: Endpoint,
        guard: Guard,
        *,
        method: str = "GET",
        public: bool = False,
        role: Role | None = None,
    ) -> None:
        """Answer this method on this path with what the endpoint returns. Who has this `role` on the pages needs no key."""
        super().__init__(path, endpoint, methods=[method])
        self._answer = endpoint
        self._guard = guard
        self._public = public
        self._role: Role | None = role

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request. Raises Refusal."""
        methods = self.methods or set[str]()
        if scope["method"] not in methods:
            allowed = ", ".join(sorted(methods))
            message = f"{scope['method']} is not allowed here: {allowed} is."
            raise Refusal(405, "method_not_allowed", message, headers={"allow": allowed})
        request = Request(scope, receive)
        if self._public:
            response = await self._answer(request)
        else:
            async with self._guard.admit(request, self._role):
                response = await self._answer(request)
        await response(scope, receive, send)
