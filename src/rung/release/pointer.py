"""Which release answers for a workload: the ledger's pointer, who moved it and why. Knows nothing about models."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from rung.ledger import Ledger, open_ledger
from rung.models.encoder import open_encoder
from rung.release.frozen import Release, ReleaseError, find_release, inputs_of, load_release
from rung.workload import Workload


def named_release(workload: Workload, name: str) -> Release:
    """The release whose id begins with `name`; "current" is the one that answers. Raises `ReleaseError` if there is not one."""
    if name == "current":
        return current_release(workload, ledger_of(workload))
    found = [path for path in (workload.state / "releases").glob("[0-9a-f]*") if path.name.startswith(name)]
    if len(found) != 1:
        kept = ", ".join(sorted(path.name[:12] for path in (workload.state / "releases").glob("[0-9a-f]*"))) or "none"
        raise ReleaseError(f"{name!r} names {len(found) or 'no'} releases of {workload.name}. There are: {kept}; or say current.")
    return load_release(found[0])


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


def promote(workload: Workload, release: Release, ledger: Ledger) -> None:
    """Point the ledger at this release: from now on it is the one that answers. Does nothing if it is already."""
    if ledger.current_release(workload.name) != release.id:
        ledger.note_release(workload.name, release.id, datetime.now(UTC), {"inputs": release.inputs})
