"""Which release answers for a workload: the ledger's pointer, who moved it and why. Knows nothing about models."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rung.core import RungError
from rung.ledger import Ledger, PointerMoved, Promotion, open_ledger
from rung.release.frozen import Release, ReleaseError, kept_releases, load_release, load_workload, require_gated
from rung.workload import Workload

ANY = ""  # no release's id


class NothingBefore(RungError):
    """There is no release to go back to."""

    code = "nothing_before"
    exit_status = 1


def ledger_of(workload: Workload) -> Ledger:
    """The ledger that `RUNG_LEDGER` addresses (a database URL), or the SQLite file beside the workload."""
    embedded = f"sqlite:///{(workload.state / 'ledger.db').resolve()}"
    return open_ledger(os.environ.get("RUNG_LEDGER") or embedded)


def current_release(workload: Workload, ledger: Ledger) -> Release:
    """The release that the ledger points to for this workload."""
    pointed = ledger.current_release(workload.name)
    if pointed is None:
        kept = len(list_releases(workload))
        made = f"There are {kept}: `rung promote` one" if kept else f"Run `rung train {workload.file}` first"
        raise ReleaseError(f"{workload.file}: no release was promoted to answer. {made}.")
    return load_release(workload.state / "releases" / pointed)


def list_releases(workload: Workload) -> list[str]:
    """The ids of all releases that are kept for the workload, the newest first."""
    return [folder.name for folder in kept_releases(workload.state)]


def named_release(workload: Workload, name: str) -> Release:
    """The release whose id begins with `name`; "current" is the one that answers. Raises `ReleaseError` if there is not one."""
    if name == "current":
        return current_release(workload, ledger_of(workload))
    kept = list_releases(workload)
    found = [each for each in kept if each.startswith(name)]
    if len(found) != 1:
        known = ", ".join(each[:12] for each in sorted(kept)) or "none"
        raise ReleaseError(
            f"{name!r} names {len(found) or 'no'} releases of {workload.name}. There are: {known}; or say current."
        )
    return load_release(workload.state / "releases" / found[0])


def promote(workload: Workload, release: Release, ledger: Ledger, by: str, why: str, instead_of: str | None = ANY) -> bool:
    """Point the ledger at this release: from now on it is the one that answers. Says whether that moved the pointer.

    `instead_of` is the release that answers until then, where it matters which one that is.

    Raises `Ungated` for a release whose evidence does not say that it passed its gate, `PointerMoved` if somebody else moved
    the pointer meanwhile.
    """
    current = ledger.current_release(workload.name)
    if current == release.id:
        return False
    promotion = Promotion(workload.name, release.id, datetime.now(UTC), by, why)
    _point(release, ledger, promotion, current if instead_of == ANY else instead_of)
    return True


def must_compare(release: Release, promotions: Sequence[Promotion]) -> bool:
    """Whether a release must be put beside the one that answers now before it may take its place: its limits say how far it may
    drop, its own gate compared it with another one or none, and it never answered before. `promotions` are the workload's."""
    pointed = promotions[-1].release if promotions else None
    known = release.id in {one.release for one in promotions} or gated_against(release) == pointed
    return not known and load_workload(release).limits.dropped is not None


def gated_against(release: Release) -> str | None:
    """The release that this one was put beside when it was gated, if any answered then."""
    gate: dict[str, Any] = release.evidence["gate"]
    drop: dict[str, Any] = gate.get("drop") or {}
    return drop.get("against")


def rollback(workload: Workload, ledger: Ledger, by: str, why: str, instead_of: str | None = ANY) -> tuple[Release, list[str]]:
    """Undo the last promotion that is not undone yet: the release that answers again, and why others were passed over, which
    answered later and cannot be opened any more. Raises `NothingBefore` where none is left, and `PointerMoved` where
    `instead_of`, if it matters, is not what answers until then."""
    promotions = ledger.promotions(workload.name)
    if instead_of != ANY and instead_of != (promotions[-1].release if promotions else None):
        raise PointerMoved(f"{workload.name}: another release answers by now. Next: look at rung release history, decide anew.")
    passed: list[str] = []
    for name in answered_before(promotions):
        try:
            release = load_release(workload.state / "releases" / name)
        except ReleaseError as error:
            passed.append(str(error))
            continue
        _point(release, ledger, Promotion(workload.name, name, datetime.now(UTC), by, why, back=True), promotions[-1].release)
        return release, passed
    raise NothingBefore(
        "\n".join([*passed, f"{workload.name}: no release answered before the current one that could answer again."])
        + " Next: rung release list, rung promote."
    )


def _point(release: Release, ledger: Ledger, promotion: Promotion, instead_of: str | None) -> None:
    ledger.promote(promotion, instead_of, {"inputs": require_gated(release).inputs})


def left_behind(workload: Workload, release: Release, ledger: Ledger) -> Promotion | None:
    """The promotion that put another release in the place of this one, if this one answered before and does not now: whoever
    finds it again must not bring it back unasked."""
    history = ledger.promotions(workload.name)
    last = max((at for at, one in enumerate(history) if one.release == release.id), default=None)
    return history[last + 1] if last is not None and last + 1 < len(history) else None


def release_at(promotions: Sequence[Promotion], at: datetime) -> Promotion | None:
    """What was in production at a time (timezone-aware): the last promotion until then."""
    return next((one for one in reversed(promotions) if one.at <= at), None)


def answered_before(promotions: Sequence[Promotion]) -> list[str]:
    """The releases that a rollback would go to, the first that can be opened: whose promotions are not undone, the last first."""
    done = _standing(promotions)
    return [each for each in reversed(done[:-1]) if each != done[-1]]


def _standing(promotions: Sequence[Promotion]) -> list[str]:
    """The releases of the promotions that are not undone, the current one last."""
    standing: list[str] = []
    for one in promotions:
        if one.back:
            standing.pop()
            while standing and standing[-1] != one.release:
                standing.pop()
        else:
            standing.append(one.release)
    return standing
