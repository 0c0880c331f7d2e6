"""Turns what stands in a workload's folder into the workload despite a broken file, and into why its release does not answer."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rung.workload import Workload, WorkloadError, load

if TYPE_CHECKING:
    from rung.ledger import Ledger, Promotion
    from rung.release.frozen import Release


def home_of(file: Path) -> Workload:
    """The workload by its name and its folder, whatever is wrong with its file or its gold today: a broken edit is no reason not
    to go back. Raises `WorkloadError` where no release says what the workload is."""
    from rung.release.frozen import ReleaseError, kept_releases, load_release, load_workload

    try:
        return load(file, gold=False)
    except WorkloadError:
        path = file / "workload.yaml" if file.is_dir() else file
        for folder in kept_releases(path.parent / ".rung"):
            with suppress(ReleaseError, WorkloadError):
                return replace(load_workload(load_release(folder)), file=path)
        raise


def at_home(file: Path) -> tuple[Workload, Ledger]:
    """The workload as `home_of` finds it, and its ledger."""
    from rung.release.pointer import ledger_of

    workload = home_of(file)
    return workload, ledger_of(workload)


def undone(release: Release, left: Promotion | None) -> str:
    """That the release made from the files does not answer, and whose word that is."""
    if left is None:
        return f"release {release.id[:12]}, made from the files as they are, was never promoted. Next: rung promote."
    how = "rolled back to" if left.back else "promoted"
    why = f": {left.why}" if left.why else ""
    return (
        f"release {release.id[:12]}, made from the files as they are, does not answer: {left.by or 'somebody'} {how} "
        f"{left.release[:12]} on {left.at:%Y-%m-%d %H:%M} UTC{why}. To bring it back: rung promote."
    )
