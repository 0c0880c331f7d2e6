"""Turns a release and the one that answers now into leave to promote, or into the reason against it."""

from __future__ import annotations

from collections.abc import Sequence

from rung.core import Decision
from rung.evaluation import Drop, gate_drop, right
from rung.gold import Example, digest_of, read_gold
from rung.ledger import Ledger, PointerMoved
from rung.models.encoder import open_encoder
from rung.release.frozen import Release, ReleaseError, load_workload, require_gated, seen_by
from rung.release.opening import require_openable
from rung.release.pointer import current_release, ledger_of, must_compare, named_release, promote
from rung.workflows.difference import decide_all, held_out
from rung.workflows.progress import Progress, silent
from rung.workflows.waiting import finish
from rung.workload import Workload, load


def promote_gated(
    workload: Workload, name: str, by: str, why: str, progress: Progress = silent, instead_of: str = ""
) -> tuple[Release, bool]:
    """Promote the release whose id begins with `name`, and say whether that moved the pointer. `instead_of` is how the id of what
    must answer until then begins, or "nothing".

    Where its limits say how far it may drop, it is first put beside the release that answers now, unless its own gate was; one
    that has answered before is not asked again. It is opened, whatever it is. Raises `GateError`, `PointerMoved`, and what
    `named_release`, `require_openable` and `promote` raise.
    """
    release = require_gated(named_release(workload, name))
    if (its := load_workload(release).name) != workload.name:
        raise ReleaseError(f"Release {release.id[:12]} is of workload {its}, not of {workload.name}. Next: rung release list.")
    ledger = ledger_of(workload)
    try:
        promotions = ledger.promotions(workload.name)
        pointed = promotions[-1].release if promotions else None
        if not (pointed or "nothing").startswith(instead_of):
            raise PointerMoved(f"{workload.name}: another release answers by now. Next: rung release history, decide anew.")
        if must_compare(release, promotions):
            before, trouble = live_release(workload, ledger)
            why += f" (not compared: {trouble})" if trouble else ""
            gate_drop(_drop_now(workload, release, before, progress) if before else None, load_workload(release).limits)
        if release.id != pointed:  # one that cannot be opened would answer nothing, from the next start of a server on
            require_openable(release, open_encoder())
        return release, promote(workload, release, ledger, by, why, pointed)
    finally:
        finish(ledger.close())


def live_release(workload: Workload, ledger: Ledger) -> tuple[Release | None, str]:
    """The release that answers now, if any was ever promoted; or why it cannot be opened: then there is nothing left to compare
    with, and that must not bar the way to one that can."""
    if ledger.current_release(workload.name) is None:
        return None, ""
    try:
        return current_release(workload, ledger), ""
    except ReleaseError as error:
        return None, str(error)


def _drop_now(workload: Workload, release: Release, before: Release, progress: Progress) -> Drop:
    workload = load(workload.file)  # only here does it matter whether the file is right and its gold there
    cases = held_out(read_gold(workload), release, before)
    return drop_between(workload, before, cases, finish(decide_all(release, cases, progress)), progress)


def drop_between(
    workload: Workload, before: Release, cases: Sequence[Example], after: Sequence[Decision], progress: Progress
) -> Drop:
    """What is gained and lost on these cases by what `after` decided about them, against the release `before`."""
    seen = seen_by(before)
    kept = [(one, new) for one, new in zip(cases, after, strict=True) if digest_of(one.case.text) not in seen]
    decisions = finish(decide_all(before, [one for one, _ in kept], progress))
    helps = [(_helps(old, one), _helps(new, one)) for old, (one, new) in zip(decisions, kept, strict=True)]
    gained, lost = helps.count((False, True)), helps.count((True, False))
    return Drop(before.id, len(kept), gained, lost, workload.promise.confidence)


def _helps(decision: Decision, agreed: Example) -> bool:
    """Whether a case is answered rightly, without a person."""
    return decision.answer is not None and right(decision.answer, agreed.expected)
