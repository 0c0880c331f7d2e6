"""Turns a wish to promote a release or to roll back into that, or into what stands in its way. Knows nothing about requests.

It is `rung promote` that promotes, with its gate; what can be seen without opening a release is said before anybody asks for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from rung.core import RungError
from rung.gateway.pages import kept
from rung.gateway.verbs import run_verb
from rung.ledger import Ledger, PointerMoved, Promotion
from rung.release.frozen import ReleaseError, load_release
from rung.release.pointer import answered_before, must_compare, rollback
from rung.workload import Workload


class Barred(RungError):
    """This move cannot be made."""

    code = "move_barred"


@dataclass(frozen=True, slots=True)
class Move:
    """Which `release` is to answer in whose place, and whether that is a rollback, or needs both to be asked about the test cases
    first. A `barrier` says why it cannot be made."""

    back: bool
    release: str
    instead_of: str | None
    barrier: str = ""
    compared: bool = False


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
    return Move(False, name, current, compared=must_compare(release, promotions))


async def promote(ledger: Ledger, workload: Workload, name: str, instead_of: str | None, by: str, why: str) -> None:
    """Let `rung promote` do it. Raises `Barred` with what that says against it, and `PointerMoved` where `instead_of` is not what
    answers until then."""
    known = ledger, workload, name, instead_of
    await asyncio.to_thread(_require, *known)
    given = f"--instead-of={instead_of or 'nothing'}", f"--by={by}", f"--why={why}"
    done, said = await run_verb("promote", *given, str(workload.file), name)
    if not done:
        await asyncio.to_thread(_require, *known)
        raise Barred(said)


def roll_back(ledger: Ledger, workload: Workload, instead_of: str | None, by: str, why: str) -> tuple[str, str]:
    """The release that answers again, and why others were passed over. Blocks. Raises as `promote` does, and what `rollback`
    does where what answered before cannot be opened any more."""
    _require(ledger, workload, None, instead_of)
    release, passed = rollback(workload, ledger, by, why, instead_of)
    return release.id, " ".join(passed)


def _require(ledger: Ledger, workload: Workload, name: str | None, instead_of: str | None) -> None:
    move = plan(workload, ledger.promotions(workload.name), name)
    if move.instead_of != instead_of:
        raise PointerMoved(f"{workload.name}: another release answers by now.")
    if move.barrier:
        raise Barred(move.barrier)
