"""Turns the key a caller shows into the caller's name. Knows nothing about what the caller wants."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import time

from rung.gateway.refusal import Refusal
from rung.ledger import Ledger

REMEMBERED = 10.0  # seconds a key stays good without being looked up again: as long may a revoked one still work

_SHOWN = re.compile(r"[Bb]earer +(rung-[A-Za-z0-9_-]{43})")


def new_key() -> str:
    """A new API key of 256 random bits. Show it once and keep `digest` of it."""
    return f"rung-{secrets.token_urlsafe(32)}"


def digest(key: str) -> bytes:
    """What the ledger keeps of a key. A plain hash suffices: nobody can guess 256 random bits, so none need slow them."""
    return hashlib.sha256(key.encode()).digest()


class Keys:
    """Who may ask. With open access everyone may, as "anonymous"."""

    def __init__(self, ledger: Ledger, open_access: bool) -> None:
        """Look keys up in this ledger."""
        self._ledger = ledger
        self.open = open_access
        self._known: dict[bytes, tuple[str, float]] = {}

    async def caller(self, authorization: str | None) -> str:
        """The caller's name. Raises Refusal without a key that is in force."""
        if self.open:
            return "anonymous"
        shown = _SHOWN.fullmatch(authorization or "")
        name = await self._look_up(digest(shown[1])) if shown else None
        if name is None:
            message = "No valid API key: send the header `Authorization: Bearer rung-...`."
            raise Refusal(401, "invalid_api_key", message, headers={"www-authenticate": "Bearer"})
        return name

    async def _look_up(self, key: bytes) -> str | None:
        name, until = self._known.get(key, ("", 0.0))
        if time.monotonic() < until:
            return name
        found = await asyncio.to_thread(self._ledger.key_name, key)
        if found is None:
            self._known.pop(key, None)
        else:
            self._known[key] = found, time.monotonic() + REMEMBERED
        return found
