"""The way forward and back: a page that asks for the reason, and what came of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from dataclasses import replace
from typing import TypeAlias
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from rung.core import RungError
from rung.gateway.pages import kept, moves
from rung.gateway.pages.site import Site, read_form
from rung.gateway.refusal import Refusal
from rung.ledger import LedgerError, PointerMoved, Promotion
from rung.workload import Workload

LONGEST = 500  # characters of a reason
PATIENCE = 8.0  # seconds that a page waits for a promotion, which goes on behind it
NAME = re.compile(r"[0-9a-f]{64}")
_Key: TypeAlias = tuple[str, str | None, str]  # a workload, a release, and who began its promotion
NOTHING = "nothing"  # stands in a form for what answers where nothing was ever promoted


class Moving:
    """Asks why a release is to be promoted, or rolled back to, and has it done."""

    def __init__(self, site: Site) -> None:
        """Nothing is under way."""
        self._site = site
        self._begun: dict[_Key, tuple[asyncio.Task[None], str]] = {}  # whose end whoever began it was not told, and why

    async def ask(self, request: Request) -> Response:
        """The page that asks, or tells of the promotion of that release: of one's own, or of any that is under way."""
        workload, name = home_of(self._site, request), _asked(request)
        own = workload.name, name, request.state.visitor.name
        key = own if own in self._begun else self._under_way(workload, name)
        return await (self._wait(request, workload, key) if key else self._page(request))

    async def do(self, request: Request) -> Response:
        """What came of the form."""
        form, workload, name = await read_form(request), home_of(self._site, request), _asked(request)
        why, until_now = form.get("why", "").strip()[:LONGEST], form.get("instead_of", "")
        if not why or not (until_now == NOTHING or NAME.fullmatch(until_now)):
            return await self._page(request, 400, "Say why: it is kept in the history.", why)
        given = None if until_now == NOTHING else until_now, why
        if name is None:
            return await self._tell(request, workload, self._roll_back(request, workload, *given), why)
        key = self._under_way(workload, name)
        if key is None:
            key = workload.name, name, request.state.visitor.name
            self._begun[key] = asyncio.create_task(self._promote(request, workload, name, *given)), why
        return await self._wait(request, workload, key)

    def _under_way(self, workload: Workload, name: str | None) -> _Key | None:
        of = workload.name, name
        return next((key for key, (task, _) in self._begun.items() if key[:2] == of and not task.done()), None)

    async def _promote(self, request: Request, workload: Workload, name: str, instead_of: str | None, why: str) -> None:
        await moves.promote(self._site.ledger, workload, name, instead_of, request.state.visitor.name, why)
        await asyncio.to_thread(self._site.note, request, "release promoted", name[:12], why)

    async def _roll_back(self, request: Request, workload: Workload, instead_of: str | None, why: str) -> None:
        given = self._site.ledger, workload, instead_of, request.state.visitor.name, why
        release, passed = await asyncio.to_thread(moves.roll_back, *given)
        await asyncio.to_thread(self._site.note, request, "rolled back to release", release[:12], f"{why} {passed}".strip())

    async def _wait(self, request: Request, workload: Workload, key: _Key) -> Response:
        task, why = self._begun[key]
        await asyncio.wait([task], timeout=PATIENCE)
        if not task.done():
            return await self._page(request, 202, under_way=True)
        own = key[2] == request.state.visitor.name
        if own and self._begun.get(key) == (task, why):
            del self._begun[key]
        return await self._tell(request, workload, task, why if own else "")

    async def _tell(self, request: Request, workload: Workload, done: Awaitable[None], why: str) -> Response:
        try:
            await done
        except PointerMoved:
            last = (await asyncio.to_thread(self._site.ledger.promotions, workload.name))[-1]
            return await self._page(request, 409, _meanwhile(last), why)
        except LedgerError:
            raise
        except RungError as error:
            return await self._page(request, 409, kept.trouble(error, workload), why)
        return Response(status_code=303, headers={"location": f"/w/{quote(workload.name, safe='')}/releases"})

    async def _page(
        self, request: Request, status: int = 200, wrong: str = "", why: str = "", *, under_way: bool = False
    ) -> Response:
        workload, name = home_of(self._site, request), _asked(request)
        promotions = await asyncio.to_thread(self._site.ledger.promotions, workload.name)
        move = await asyncio.to_thread(moves.plan, workload, promotions, name)
        told = {"move": move, "wrong": wrong, "why": why, "most": LONGEST, "until_now": move.instead_of or NOTHING}
        title = f"{'Roll back to' if move.back else 'Promote'} release {move.release[:12]}".removesuffix(" to release ")
        return self._site.render(request, "move.html", status, title=title, tab="releases", under_way=under_way, **told)


def home_of(site: Site, request: Request) -> Workload:
    """The workload at work here, in the folder that its releases lie beside."""
    live = site.live(request)
    return replace(live.workload, file=live.home / live.workload.file.name) if live.home else live.workload


def name_of(request: Request) -> str:
    """The release that the page's address names. Raises Refusal."""
    name = request.path_params["release"]
    if not NAME.fullmatch(name):
        raise Refusal(404, "release_not_found", f"There is no release {name[:100]!r} here.")
    return name


def _asked(request: Request) -> str | None:
    """The release to promote, or None to roll back."""
    return name_of(request) if "release" in request.path_params else None


def _meanwhile(last: Promotion) -> str:
    how = "rolled back to" if last.back else "promoted"
    why = f" ({last.why})" if last.why else ""
    return (
        f"Nothing was changed: after you opened this page {last.by or 'somebody'} {how} release {last.release[:12]}, on "
        f"{last.at:%Y-%m-%d at %H:%M} UTC{why}. Look at what answers now, and decide anew."
    )
