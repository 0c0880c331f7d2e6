"""The releases: which one answers, which are kept, what shows that they may answer, and the way forward and back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rung.gateway.pages import kept, moves, tried
from rung.gateway.pages.moving import Moving, home_of, name_of
from rung.gateway.pages.site import Site, fragment
from rung.gateway.refusal import Refusal
from rung.ledger import Promotion
from rung.release.changes import changed_files, changed_parts
from rung.release.frozen import ReleaseError
from rung.release.pointer import answered_before
from rung.workload import Workload

SHOWN = 50  # releases, and moves of the pointer


def routes(site: Site) -> list[Route]:
    """The list, one release, and the two moves, each with a page that asks for the reason."""
    trials, moving = tried.Trials(site.ledger), Moving(site)

    async def show(request: Request) -> Response:
        live, workload = site.live(request), home_of(site, request)
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
        workload, name = home_of(site, request), name_of(request)
        promotions = await asyncio.to_thread(site.ledger.promotions, workload.name)
        told = await asyncio.to_thread(_tell, workload, name, promotions)
        return site.render(request, "release.html", title=f"Release {name[:12]}", tab="releases", **told)

    root = "/w/{workload}/releases"
    return [
        site.page(root, show),
        site.page(f"{root}/rollback", moving.ask, "operator"),
        site.page(f"{root}/rollback", moving.do, "operator", "POST"),
        site.page(f"{root}/{{release}}", one),
        site.page(f"{root}/{{release}}/promote", moving.ask, "operator"),
        site.page(f"{root}/{{release}}/promote", moving.do, "operator", "POST"),
    ]


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
