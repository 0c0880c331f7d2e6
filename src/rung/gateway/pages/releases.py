"""The releases: which one answers, which are kept, what shows that they may answer, and the way forward and back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rung.core import RungError
from rung.gateway.pages import kept, moves, tried
from rung.gateway.pages.site import Site, fragment, read_form
from rung.gateway.refusal import Refusal
from rung.ledger import LedgerError, PointerMoved, Promotion
from rung.release import ReleaseError, answered_before, changed_files, changed_parts
from rung.workload import Workload

SHOWN = 50  # releases, and moves of the pointer
LONGEST = 500  # characters of a reason
NAME = re.compile(r"[0-9a-f]{64}")
NOTHING = "nothing"  # stands in a form for what answers where nothing was ever promoted


def routes(site: Site) -> list[Route]:
    """The list, one release, and the two moves, each with a page that asks for the reason."""
    trials = tried.Trials(site.ledger)

    async def show(request: Request) -> Response:
        live, workload = site.live(request), _home(site, request)
        promotions = await asyncio.to_thread(site.ledger.promotions, workload.name)
        trial = await asyncio.to_thread(site.ledger.trial, workload.name, running=True)
        answers = moves.pointed(promotions) or live.release
        rows = await asyncio.to_thread(kept.rows, workload, [answers, trial and trial.release], SHOWN)
        standing = trial and await trials.look(trial, live.workload)
        told: dict[str, Any] = {
            "answers": answers,
            "at_work": live.release,
            "rows": rows,
            "last": kept.put_there(promotions),
            "history": promotions[: -SHOWN - 1 : -1],
            "most": SHOWN,
            "back": answered_before(promotions)[:1],
            "trial": trial,
            "kind": trial and tried.KINDS[trial.kind],
            "standing": standing,
            "tried": standing and fragment(tried.blocks(standing)),
            "figures": [fragment([each]) for each in kept.figures(rows, live.workload.promise.error)],
        }
        return site.render(request, "releases.html", title="Releases", tab="releases", **told)

    async def one(request: Request) -> Response:
        workload, name = _home(site, request), _name(request)
        promotions = await asyncio.to_thread(site.ledger.promotions, workload.name)
        told = await asyncio.to_thread(_tell, workload, name, promotions)
        return site.render(request, "release.html", title=f"Release {name[:12]}", tab="releases", **told)

    async def page(request: Request, status: int = 200, wrong: str = "", why: str = "") -> Response:
        workload, name = _home(site, request), _asked(request)
        promotions = await asyncio.to_thread(site.ledger.promotions, workload.name)
        move = await asyncio.to_thread(moves.plan, workload, promotions, name)
        told = {"move": move, "wrong": wrong, "why": why, "most": LONGEST, "until_now": move.instead_of or NOTHING}
        title = f"{'Roll back to' if move.back else 'Promote'} release {move.release[:12]}".removesuffix(" to release ")
        return site.render(request, "move.html", status, title=title, tab="releases", **told)

    async def do(request: Request) -> Response:
        form, workload, name = await read_form(request), _home(site, request), _asked(request)
        why, until_now = form.get("why", "").strip()[:LONGEST], form.get("instead_of", "")
        if not why or not (until_now == NOTHING or NAME.fullmatch(until_now)):
            return await page(request, 400, "Say why: it is kept in the history.", why)
        given = None if until_now == NOTHING else until_now, request.state.visitor.name, why
        try:
            release, passed = await asyncio.to_thread(moves.make, site.ledger, workload, name, *given)
        except PointerMoved:
            last = (await asyncio.to_thread(site.ledger.promotions, workload.name))[-1]
            return await page(request, 409, _meanwhile(last), why)
        except LedgerError:
            raise
        except RungError as error:
            return await page(request, 409, kept.trouble(error, workload), why)
        what, detail = ("release promoted", why) if name else ("rolled back to release", f"{why} {passed}".strip())
        await asyncio.to_thread(site.note, request, what, release[:12], detail)
        return Response(status_code=303, headers={"location": f"/w/{quote(workload.name, safe='')}/releases"})

    async def ask(request: Request) -> Response:
        return await page(request)

    root = "/w/{workload}/releases"
    return [
        site.page(root, show),
        site.page(f"{root}/rollback", ask, "operator"),
        site.page(f"{root}/rollback", do, "operator", "POST"),
        site.page(f"{root}/{{release}}", one),
        site.page(f"{root}/{{release}}/promote", ask, "operator"),
        site.page(f"{root}/{{release}}/promote", do, "operator", "POST"),
    ]


def _home(site: Site, request: Request) -> Workload:
    """The workload at work here, in the folder that its releases lie beside."""
    live = site.live(request)
    return replace(live.workload, file=live.home / live.workload.file.name) if live.home else live.workload


def _name(request: Request) -> str:
    name = request.path_params["release"]
    if not NAME.fullmatch(name):
        raise Refusal(404, "release_not_found", f"There is no release {name[:100]!r} here.")
    return name


def _asked(request: Request) -> str | None:
    """The release to promote, or None to roll back."""
    return _name(request) if "release" in request.path_params else None


def _meanwhile(last: Promotion) -> str:
    how = "rolled back to" if last.back else "promoted"
    why = f" ({last.why})" if last.why else ""
    return (
        f"Nothing was changed: after you opened this page {last.by or 'somebody'} {how} release {last.release[:12]}, on "
        f"{last.at:%Y-%m-%d at %H:%M} UTC{why}. Look at what answers now, and decide anew."
    )


def _tell(workload: Workload, name: str, promotions: Sequence[Promotion]) -> dict[str, Any]:
    """What is shown of one release. Blocks; raises Refusal."""
    try:
        release = kept.verified(workload, name)
    except ReleaseError as error:
        raise Refusal(404, "release_unusable", kept.trouble(error, workload)) from None
    current = moves.pointed(promotions)
    live = name == current
    base = next(iter(answered_before(promotions)), None) if live else current
    change: dict[str, Any] | None = None
    if base and base != name:
        try:
            other = kept.verified(workload, base)
            change = {
                "files": changed_files(other, release),
                "parts": {key: tuple(map(_plain, pair)) for key, pair in changed_parts(other, release).items()},
            }
        except (ReleaseError, OSError, ValueError):
            change = None  # what it would be compared with is not here any more
    (row,), shown = kept.rows(workload, [name], 0), kept.evidence(name, release.folder)
    return {
        "row": row,
        "live": live,
        "base": base if base != name else None,
        "change": change,
        "stays": [one for one in reversed(promotions) if one.release == name],
        "lineage": kept.lineage(release),
        "files": kept.files(release),
        "card": (release.folder / "README.md").read_text(encoding="utf-8"),
        "verdict": fragment(shown[:2]),
        "evidence": fragment(shown[2:]),
        "back": live and bool(answered_before(promotions)),
    }


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(each)}" for key, each in value.items())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return "\u2013" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
