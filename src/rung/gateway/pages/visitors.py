"""Turns a browser's cookie into a visitor with a role, and a password into a cookie. Knows nothing about what pages show."""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import get_args
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from rung.gateway.refusal import Refusal
from rung.ledger import Action, Ledger, Role

ROLES: tuple[Role, ...] = get_args(Role)
COOKIE = "rung-session"
LASTS = timedelta(hours=12)  # a working day: then the password is asked for again
SHORTEST = 10  # characters of a password
TRIES = 5  # wrong passwords for a name, within `COOLING` seconds, before it has to wait
COOLING = 60.0

_COST, _BLOCK, _LANES = 1 << 15, 8, 1  # of scrypt: 32 MiB and some 80 ms a guess (RFC 7914; OWASP's password cheat sheet)
_MEMORY = 64 << 20


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page, and what they may do."""

    name: str
    role: Role
    signed_in: bool = True

    def may(self, role: Role) -> bool:
        """Whether they may do what this role may."""
        return ROLES.index(self.role) >= ROLES.index(role)


def hash_password(password: str) -> str:
    """What the ledger keeps of a password."""
    salt = secrets.token_bytes(16)
    return f"scrypt${salt.hex()}${_scrypt(password, salt).hex()}"


class Visitors:
    """Who is signed in. With open access, and until the first person is added, everyone at this machine is an admin, under the
    name the server runs as."""

    def __init__(self, ledger: Ledger, open_access: bool) -> None:
        """Look people and sessions up in this ledger."""
        self._people = ledger.people
        self._owner = Visitor(_user(), "admin", signed_in=False) if open_access else None
        self._wrong: dict[tuple[str, str], tuple[int, float]] = {}  # by name and address
        self._hashing = asyncio.Semaphore(2)  # each takes 32 MiB

    async def owner(self) -> Visitor | None:
        """Whoever is at this machine, as long as that is enough: None once anybody was added."""
        if self._owner and await asyncio.to_thread(self._people.ever):
            self._owner = None  # for good: removing the last person must not let everyone in
        return self._owner

    async def visitor(self, request: Request) -> Visitor | None:
        """Who asks, None if nobody is signed in. Raises Refusal for a change that another site's page has asked for."""
        if request.method not in ("GET", "HEAD"):
            require_same_origin(request)
        if owner := await self.owner():
            return owner
        token = request.cookies.get(_cookie(request))
        person = token and await asyncio.to_thread(self._people.whose, _digest(token), datetime.now(UTC))
        return Visitor(person.name, person.role) if person else None

    async def sign_in(self, name: str, password: str, request: Request) -> Response | None:
        """A way to the pages with the session's cookie, None if the password is not theirs. Raises Refusal after too many."""
        tried, now = (name, request.client.host if request.client else ""), time.monotonic()
        count, until = self._wrong.get(tried, (0, 0.0))
        if count >= TRIES and now < until:
            wait = str(int(until - now) + 1)
            raise Refusal(
                429, "too_many_attempts", f"Too many wrong passwords: wait {wait} seconds.", headers={"retry-after": wait}
            )
        if len(self._wrong) > 10_000:  # names that nobody has cost memory, too
            self._wrong.clear()
        self._wrong[tried] = (count + 1 if now < until else 1, now + COOLING)  # before it is looked at: others may be under way
        kept = await asyncio.to_thread(self._people.secret, name)
        async with self._hashing:
            right = await asyncio.to_thread(_matches, password, kept)
        if not right:
            return None
        self._wrong.pop(tried, None)
        token, at = secrets.token_urlsafe(32), datetime.now(UTC)
        await asyncio.to_thread(self._people.begin_session, name, _digest(token), at, at + LASTS)
        await asyncio.to_thread(self._people.note, Action(at, name, "signed in", ""))
        response = Response(status_code=303, headers={"location": "/"})
        seconds, secure = int(LASTS.total_seconds()), request.url.scheme == "https"
        response.set_cookie(_cookie(request), token, seconds, httponly=True, samesite="strict", secure=secure)
        return response

    async def sign_out(self, request: Request) -> Response:
        """A way to the sign-in page; the session ends."""
        if token := request.cookies.get(_cookie(request)):
            await asyncio.to_thread(self._people.end_session, _digest(token), datetime.now(UTC))
        response = Response(status_code=303, headers={"location": "/sign-in"})
        response.delete_cookie(_cookie(request), secure=request.url.scheme == "https")  # or browsers keep it
        return response


def require_same_origin(request: Request) -> None:
    """Refuse a change that a page of another site has made the browser ask for (browsers say so; other programs send neither)."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    foreign = site not in (None, "same-origin", "none")
    if foreign or (site is None and origin is not None and urlsplit(origin).netloc != request.headers.get("host")):
        raise Refusal(403, "cross_site_request", "This was asked for by another site's page: open Rung's own page and try again.")


def _cookie(request: Request) -> str:
    """The name of the session's cookie; over HTTPS one that browsers take from this very host alone, and over HTTPS alone."""
    return f"__Host-{COOKIE}" if request.url.scheme == "https" else COOKIE


def _matches(password: str, kept: str | None) -> bool:
    """As slow for a name that nobody has: how long it takes must not tell who may sign in."""
    _, salt, digest = (kept or f"scrypt${'00' * 16}$").split("$")
    return hmac.compare_digest(_scrypt(password, bytes.fromhex(salt)), bytes.fromhex(digest))


def _scrypt(password: str, salt: bytes) -> bytes:
    said = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(said, salt=salt, n=_COST, r=_BLOCK, p=_LANES, maxmem=_MEMORY, dklen=32)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "owner"
