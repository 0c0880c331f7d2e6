"""Turns the key a caller shows into the caller's name, if it may do what it is shown for. Knows nothing about people."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import time
from typing import get_args

from rung.gateway.refusal import Refusal
from rung.ledger import Key, KeyRole, Ledger

REMEMBERED = 10.0  # seconds a key stays good without being looked up again: as long may a revoked one still work
ROLES: tuple[KeyRole, ...] = get_args(KeyRole)

_SHOWN = re.compile(r"[Bb]earer +(rung-[A-Za-z0-9_-]{43})")


def new_key() -> str:
    """A new API key of 256 random bits. Show it once and keep `digest` of it."""
    return f"rung-{secrets.token_urlsafe(32)}"


def digest(key: str) -> bytes:
    """What the ledger keeps of a key. A plain hash suffices: nobody can guess 256 random bits, so none need slow them."""
    return hashlib.sha256(key.encode()).digest()


class Keys:
    """Which programs may do what. With open access none needs a key, and each is "anonymous"."""

    def __init__(self, ledger: Ledger, open_access: bool) -> None:
        """Look keys up in this ledger."""
        self._ledger = ledger
        self.open = open_access
        self._known: dict[bytes, tuple[Key, float]] = {}

    async def caller(self, authorization: str | None, role: KeyRole) -> tuple[str, bool]:
        """The name that what the caller does is recorded under, and whether it is a reviewer's.

        Raises Refusal without a key in force of at least this role.
        """
        if self.open:
            return "anonymous", False
        shown = _SHOWN.fullmatch(authorization or "")
        key = await self._look_up(digest(shown[1])) if shown else None
        if key is None:
            message = "No valid API key: send the header `Authorization: Bearer rung-...`."
            raise Refusal(401, "invalid_api_key", message, headers={"www-authenticate": "Bearer"})
        if ROLES.index(key.role) < ROLES.index(role):
            raise Refusal(403, "not_allowed", f"This is for a {role}'s key, and this one is a {key.role}'s: ask for another.")
        return key.by, key.role == "reviewer"

    async def _look_up(self, shown: bytes) -> Key | None:
        key, until = self._known.get(shown, (None, 0.0))
        if time.monotonic() < until:
            return key
        found = await asyncio.to_thread(self._ledger.key, shown)
        if found is None:
            self._known.pop(shown, None)
        else:
            self._known[shown] = found, time.monotonic() + REMEMBERED
        return found
