"""Turns a wish to promote a release or to roll back into that, or into what stands in its way. Knows nothing about requests.

The gate is `rung promote`'s. What of it asks models about test cases is not done in a process that serves: then it says which
command does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rung.core import RungError
from rung.gateway.pages import kept
from rung.ledger import Ledger, PointerMoved, Promotion
from rung.release import ReleaseError, answered_before, load_release, must_compare, promote, rollback
from rung.workload import Workload


class Barred(RungError):
    """This move cannot be made from a page."""

    code = "move_barred"


@dataclass(frozen=True, slots=True)
class Move:
    """Which `release` is to answer in whose place, and whether that is a rollback. A `barrier` says why it cannot be made here, a
    `command` what can be done elsewhere."""

    back: bool
    release: str
    instead_of: str | None
    barrier: str = ""
    command: str = ""


def pointed(promotions: Sequence[Promotion]) -> str | None:
    """The release that answers, if any was ever promoted."""
    return promotions[-1].release if promotions else None


def plan(workload: Workload, promotions: Sequence[Promotion], name: str | None) -> Move:
    """What promoting this release would be, or rolling back where none is named. Reads the release, and blocks."""
    current = pointed(promotions)
    if name is None:
        before = answered_before(promotions)
        if not before:
            return Move(True, "", current, "No release answered before this one that could answer again.")
        return Move(True, before[0], current)
    if name == current:
        return Move(False, name, current, "It answers already.")
    try:
        release = load_release(workload.state / "releases" / name)
    except ReleaseError as error:
        return Move(False, name, current, kept.trouble(error, workload))
    if kept.lineage(release)["workload"] != workload.name:
        return Move(False, name, current, "It belongs to another workload.")
    if not release.gated:
        return Move(False, name, current, "It has no evidence that it passed its gate, and what has not must not answer.")
    if must_compare(release, promotions):
        barrier = (
            "Its limits say how far it may drop against the release that answers (limits.dropped), and it was not yet put beside "
            "that one. Both have to be asked about the test cases for that, which is not done where cases are answered."
        )
        return Move(False, name, current, barrier, f"rung promote WORKLOAD {name[:12]} --why ...")
    return Move(False, name, current)


def make(ledger: Ledger, workload: Workload, name: str | None, instead_of: str | None, by: str, why: str) -> tuple[str, str]:
    """Promote this release, or roll back where none is named: the release that answers from now on, and why others were passed
    over. Blocks.

    Raises `Barred`, `PointerMoved` where `instead_of` is not what answers until now, and `ReleaseError` and `NothingBefore` where
    what answered before cannot be opened any more.
    """
    promotions = ledger.promotions(workload.name)
    move = plan(workload, promotions, name)
    if move.instead_of != instead_of:
        raise PointerMoved(f"{workload.name}: another release answers by now.")
    if move.barrier:
        raise Barred(move.barrier)
    if name is None:
        release, passed = rollback(workload, ledger, by, why, instead_of)
        return release.id, " ".join(passed)
    promote(workload, load_release(workload.state / "releases" / name), ledger, by, why, instead_of)
    return name, ""
