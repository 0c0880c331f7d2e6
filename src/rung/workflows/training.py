"""Turns a workload into a frozen release, or into the reason why there is none. Each stage is a plain function.

What costs time or money is kept by content under `.rung/cache`: the embeddings of gold and the answers of endpoints. An
interrupted run therefore goes on where it was. The states that learnt copy fields need are too large to keep: those are read
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rung.evaluation import Drop, describe, doubts, gate
from rung.gold import Example, Gold, Split, digest_of
from rung.models.encoder import Encoder, open_encoder
from rung.release.frozen import Release, find_release, freeze, inputs_of
from rung.release.pointer import ledger_of, left_behind
from rung.training.heads import Lost
from rung.workflows.gating import drop_between, live_release, promote_gated
from rung.workflows.judging import Made, Study, examples, make_cascade, open_study
from rung.workflows.lineage import origin_of, taught
from rung.workflows.progress import Progress, silent
from rung.workflows.specialists import train_specialists
from rung.workflows.waiting import finish
from rung.workload import EndpointTier, Workload, find_key

SHOWN = 5  # values a note names one by one


def train(
    workload: Workload,
    progress: Progress = silent,
    encoder: Encoder | None = None,
    parent: Release | None = None,
    by: str = "embedded",
    hold: bool = False,
) -> Release:
    """A release made from the workload's files and gold as they are now; an intact one made from the same is reused.

    It is promoted in the name of `by`, unless it is on `hold`, or somebody has put another release in its place before: then
    promoting it is for people to say.

    With a `parent` every encoder of its own goes on from that release's, with the cases that are new to it and some that are
    not. Raises `GoldError`, `PromiseError` when calibration cannot support the promise, and `GateError` when the test split
    contradicts it or a limit does not hold.
    """
    for tier in workload.tiers:
        asked = tier if isinstance(tier, EndpointTier) else None if parent else tier.teacher
        if asked:  # a key that is not set is worth knowing before anything is trained
            find_key(asked.endpoint, workload.folder / "endpoints.yaml")
    encoder = encoder or open_encoder()
    inputs = inputs_of(workload, encoder)
    if parent and parent.inputs == inputs:  # made from these very files: there is nothing new to learn
        release = parent
    else:
        found = find_release(workload, inputs, parent.id if parent else None)
        release = found or finish(_train(workload, progress, encoder, inputs, parent))
    ledger = ledger_of(workload)
    unwanted = hold or left_behind(workload, release, ledger)
    finish(ledger.close())
    if not unwanted:
        promote_gated(workload, release.id, by, "made from the workload's files as they are", progress)
    return release


async def _train(workload: Workload, progress: Progress, encoder: Encoder, inputs: str, parent: Release | None) -> Release:
    origin = origin_of(parent) if parent else None
    study = open_study(workload, progress, origin.learnt if origin else ())
    trained = train_specialists(workload, study.training, encoder, progress, origin)
    made = await make_cascade(workload, study, trained, progress)
    drop = _drop(workload, study, made, progress)
    gate(made.evidence, workload.limits, drop)
    about = {
        "parent": parent.id if parent else None,
        "gold": _gold_document(study),
        "gate": {"passed": True, "drop": drop and drop.document()},
    }
    report = [describe(made.evidence, workload.name, workload.volume), *_notes(study.gold, study.parts)]
    report += _lost_note(study.training, made.lost)
    report += [f"Note: {doubt}" for doubt in doubts(made.evidence, workload.limits)]
    seen = {digest_of(one.case.text) for one in [*study.training, *examples(study.gold, study.parts.calibration)]}
    frozen = replace(made.parts, learnt=taught(workload, study.training, trained, origin), seen=seen)
    return freeze(workload, frozen, inputs, made.evidence.document(workload.limits.slices) | about, "\n".join(report))


def _drop(workload: Workload, study: Study, made: Made, progress: Progress) -> Drop | None:
    """What is gained and lost against the release that answers now, where the file limits that."""
    if workload.limits.dropped is None:
        return None
    ledger = ledger_of(workload)
    before, _ = live_release(workload, ledger)
    finish(ledger.close())
    return drop_between(workload, before, study.testing, made.decisions, progress) if before else None


def _notes(gold: Gold, parts: Split) -> list[str]:
    """What a reader of the report must know about the gold."""
    notes = list(gold.warnings)
    if len(parts.leaked):
        notes.append(
            f"{len(parts.leaked):,} of {len(parts.test):,} pinned test cases have a near-duplicate outside the test split."
        )
    return [f"Note: {note}" for note in notes]


def _lost_note(examples: Sequence[Example], lost: Sequence[Lost]) -> list[str]:
    """Where values of copy fields could not be learnt from, because they were not found; the report is part of a release, so the
    values themselves, which are customers', are not in it."""
    if not lost:
        return []
    shown = [f"line {examples[at].line} ({kind})" for at, kind, _ in lost]
    named = ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else "")
    return [f"Note: {len(shown):,} copied values were not found in their texts, or not beside the rest of their item: {named}."]


def _gold_document(study: Study) -> dict[str, object]:
    counts = {"train": len(study.training), "calibration": len(study.calibrating), "test": len(study.testing)}
    return {"digest": study.gold.digest, "cases": len(study.gold.examples), **counts}
