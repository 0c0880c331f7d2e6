"""Which release answers for a workload: the ledger's pointer, who moved it and why. Knows nothing about models."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from rung.core import RungError
from rung.ledger import Ledger, Promotion, open_ledger
from rung.models.encoder import open_encoder
from rung.release.frozen import Release, ReleaseError, find_release, inputs_of, load_release, require_gated
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
    """The release that the ledger points to for this workload, or the one made from its files as they are now."""
    pointed = ledger.current_release(workload.name)
    if pointed is not None:
        return load_release(workload.state / "releases" / pointed)
    found = find_release(workload, inputs_of(workload, open_encoder())) if (workload.state / "releases").is_dir() else None
    if found is None:
        raise ReleaseError(f"{workload.file}: there is no release to answer with. Run `rung train {workload.file}` first.")
    return found


def list_releases(workload: Workload) -> list[str]:
    """The ids of all releases that are kept for the workload, the newest first."""
    folders = (workload.state / "releases").glob("[0-9a-f]*/manifest.json")
    return [path.parent.name for path in sorted(folders, key=lambda path: (-path.stat().st_mtime_ns, path))]


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


def rollback(workload: Workload, ledger: Ledger, by: str, why: str) -> Release:
    """Undo the last promotion that is not undone yet, and give back the release that answers again.

    Raises `NothingBefore` where nothing answered before, `ReleaseError` where that release is gone or damaged.
    """
    done = _standing(ledger.promotions(workload.name))
    if len(done) < 2:
        raise NothingBefore(f"{workload.name}: no release answered before the current one. Next: rung release list.")
    release = load_release(workload.state / "releases" / done[-2])
    promotion = Promotion(workload.name, release.id, datetime.now(UTC), by, why, back=True)
    _point(release, ledger, promotion, done[-1])
    return release


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
    return max((one for one in promotions if one.at <= at), key=lambda one: one.at, default=None)


def _standing(promotions: Sequence[Promotion]) -> list[str]:
    """The releases of the promotions that are not undone, the current one last."""
    standing: list[str] = []
    for one in promotions:
        if one.back:
            standing.pop()
        else:
            standing.append(one.release)
    return standing
