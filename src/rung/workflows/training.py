"""Turns a workload into a frozen release, or into the reason why there is none. Each stage is a plain function.

What costs time or money is kept by content under `.rung/cache`: the embeddings of gold and the answers of endpoints. An
interrupted run therefore goes on where it was. The states that learnt copy fields need are too large to keep: those are read
again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from hashlib import sha256
from math import inf
from textwrap import shorten
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from rung.cascade import Cascade, Tier
from rung.cascade.checks import open_checks
from rung.cascade.promise import Threshold, derive, levels
from rung.cascade.templates import open_templates
from rung.core import Model
from rung.evaluation import Agreed, Evidence, climb, describe, evaluate, gate, judge
from rung.gold import Example, Gold, Shares, Split, near_groups, read_gold, split
from rung.models.encoder import Encoder, open_encoder
from rung.models.endpoint import Prompt
from rung.models.extraction import Extraction, learnt
from rung.models.specialist import Specialist
from rung.release import (
    Parts,
    Release,
    ReleaseError,
    close_models,
    find_release,
    freeze,
    inputs_of,
    ledger_of,
    open_release,
    open_tiers,
    promote,
)
from rung.training.copies import Page, passes, train_copies
from rung.training.embeddings import embed_gold
from rung.training.heads import Trained, train_heads
from rung.workflows.rehearsal import Remembered, rehearse, require_answers
from rung.workload import EndpointTier, SpecialistTier, Workload, find_key

SHOWN = 5  # values a note names one by one
Result = TypeVar("Result")

MOST_ANCHORS = 12_000  # training cases: a kernel inverse beyond them takes minutes; further gold goes to calibration


class Progress(Protocol):
    """Where a stage reports how far it is: `with progress("embedding", 2000) as advance: advance(1)`."""

    def __call__(self, stage: str, total: int | None = None, /) -> AbstractContextManager[Callable[[int], None]]:
        """Open a stage of `total` steps, or of unknown length."""
        ...


def silent(stage: str, total: int | None = None, /) -> AbstractContextManager[Callable[[int], None]]:
    """Progress that nobody watches."""
    return nullcontext(lambda steps: None)


def train(workload: Workload, progress: Progress = silent, encoder: Encoder | None = None) -> Release:
    """A release made from the workload's files and gold as they are now, promoted; an intact one made from the same is reused.

    Raises `GoldError`, `PromiseError` when calibration cannot support the promise, and `GateError` when the test split
    contradicts it or a limit does not hold.
    """
    for tier in workload.tiers:
        if isinstance(tier, EndpointTier):  # a key that is not set is worth knowing before anything is trained
            find_key(tier.endpoint, workload.folder / "endpoints.yaml")
    encoder = encoder or open_encoder()
    inputs = inputs_of(workload, encoder)
    release = find_release(workload, inputs) or _finish(_train(workload, progress, encoder, inputs))
    ledger = ledger_of(workload)
    promote(workload, release, ledger)
    _finish(ledger.close())
    return release


def _finish(work: Coroutine[Any, Any, Result]) -> Result:
    """Run it to its end; where a loop is already running, as in a notebook, in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _train(workload: Workload, progress: Progress, encoder: Encoder, inputs: str) -> Release:
    gold = read_gold(workload)
    with progress("splitting the gold"):
        shares = shares_of(gold)
        parts = split(gold, shares)
    trained = _specialist(workload, gold, parts, encoder, progress)
    bare = _bare(workload, trained.specialist if trained else None)
    try:
        training = _agreed(gold, parts.train)
        answers = dict(zip((each.case.id for each in training), trained.rehearsal, strict=True)) if trained else {}
        with progress("calibrating the tiers") as advance:
            calibrations, rehearsal = await rehearse(bare, training, answers, advance)
        cascade = replace(bare, tiers=tuple(replace(tier, confidence=calibrations[tier.name]) for tier in bare.tiers))
        distinct = _distinct(gold, parts.calibration)
        calibrating = _agreed(gold, distinct)
        with progress("deriving the threshold", len(calibrating)) as advance:
            climbed = await climb(cascade, [each.case for each in calibrating], advance)
        require_answers(cascade, climbed)
        calibration = judge(cascade, climbed, calibrating)
        promise = workload.promise
        threshold = derive(calibration, promise, levels(rehearsal, len(calibration), promise), shares.calibration)
        cascade = replace(cascade, level=threshold.level)
        held_out = _agreed(gold, parts.test)
        with progress("evaluating what will be served", len(held_out)) as advance:
            evidence = await evaluate(cascade, held_out, promise, threshold, advance)
    finally:
        await close_models(bare)
    gate(evidence, workload.limits)
    frozen = Parts(trained.specialist if trained else None, calibrations, threshold.level)
    document = {**evidence.document(), "gold": _gold_document(gold, parts, len(distinct))}
    lost = _lost_note(_examples(gold, parts.train), trained) if trained else []
    report = "\n".join([describe(evidence, workload.name, workload.volume), *_notes(gold, parts), *lost])
    return freeze(workload, frozen, inputs, document, report)


def evaluate_release(workload: Workload, release: Release, progress: Progress = silent) -> Evidence:
    """Judge a release's own files again, on the test split of the gold as it is now, and put it through the gate."""
    return _finish(_evaluate_release(workload, release, progress))


async def _evaluate_release(workload: Workload, release: Release, progress: Progress) -> Evidence:
    frozen, cascade = open_release(release, open_encoder())
    gold = read_gold(workload)
    if gold.digest != release.evidence["gold"]["digest"]:
        raise ReleaseError(
            f"{workload.gold}: has changed since release {release.id[:12]} was made from it, so its test split may hold cases "
            "that the release has learnt. Run `rung train` to make a release from the gold as it is."
        )
    held_out = _agreed(gold, split(gold, shares_of(gold)).test)
    try:
        with progress("evaluating what is served", len(held_out)) as advance:
            threshold = Threshold(**release.evidence["threshold"])
            evidence = await evaluate(cascade, held_out, frozen.promise, threshold, advance)
    finally:
        await close_models(cascade)
    gate(evidence, frozen.limits)
    return evidence


def shares_of(gold: Gold) -> Shares:
    """How training divides this gold: beyond `MOST_ANCHORS` training cases the rest goes to calibration."""
    usual = Shares()
    spare = max(usual.train - MOST_ANCHORS / max(len(gold.examples), 1), 0.0)
    return Shares(usual.train - spare, usual.calibration + spare, usual.test)


def _specialist(workload: Workload, gold: Gold, parts: Split, encoder: Encoder, progress: Progress) -> Trained | None:
    if not isinstance(workload.tiers[0], SpecialistTier):
        return None
    examples = _examples(gold, parts.train)
    texts = [example.case.text for example in examples]
    copies = None
    if extractions := [Extraction(field) for field in workload.fields if learnt(field)]:
        with progress("reading the gold", len(texts)) as advance:
            embeddings, words = encoder.read(texts, steps(advance))
        pages = [
            Page(example.case.text, found, example.expected, example.spans)
            for example, found in zip(examples, words, strict=True)
        ]
        with progress("learning what to copy", passes(sum(len(found.starts) for found in words))) as advance:
            copies = train_copies(pages, extractions, advance)
    else:
        with progress("embedding the gold", len(texts)) as advance:
            embeddings = embed_gold(encoder, texts, workload.state / "cache", steps(advance))
    with progress("training the heads"):
        return train_heads(texts, [example.expected for example in examples], embeddings, encoder, workload.fields, copies)


def steps(advance: Callable[[int], None]) -> Callable[[int], None]:
    """Turn "so many done" into "so many more"."""
    done = 0

    def report(so_far: int) -> None:
        nonlocal done
        advance(so_far - done)
        done = so_far

    return report


def _bare(workload: Workload, specialist: Specialist | None) -> Cascade:
    """The cascade before calibration: nothing is trusted, and endpoints' answers are remembered."""
    tiers: list[Tier] = []
    for name, model, timeout, repairs in open_tiers(workload, specialist):
        tiers.append(Tier(name, _remembered(workload, name, model), _unjudged, timeout, repairs))
    return Cascade(tuple(tiers), inf, "draft", open_templates(workload), open_checks(workload))


def _remembered(workload: Workload, name: str, model: Model) -> Model:
    tier = next(tier for tier in workload.tiers if tier.name == name)
    if not isinstance(tier, EndpointTier):
        return model
    endpoint = tier.endpoint
    words = (workload.task, workload.schema, [*Prompt])
    asked = repr((endpoint.url, endpoint.boundary, tier.model, *words, workload.boundary))
    return Remembered(model, workload.state / "cache" / f"answers-{sha256(asked.encode()).hexdigest()[:16]}.jsonl")


def _unjudged(signals: Mapping[str, float]) -> float:
    return 0.0


def _agreed(gold: Gold, indices: NDArray[np.int64]) -> list[Agreed]:
    return [Agreed(example.case, example.expected) for example in _examples(gold, indices)]


def _examples(gold: Gold, indices: NDArray[np.int64]) -> list[Example]:
    positions: list[int] = indices.tolist()
    return [gold.examples[position] for position in positions]


def _distinct(gold: Gold, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """One case of each group of near-duplicates: copies of one message are not independent evidence for a bound."""
    groups = near_groups([example.case.text for example in _examples(gold, indices)])
    return indices[np.unique(groups, return_index=True)[1]]


def _notes(gold: Gold, parts: Split) -> list[str]:
    """What a reader of the report must know about the gold."""
    notes = list(gold.warnings)
    if len(parts.leaked):
        notes.append(
            f"{len(parts.leaked):,} of {len(parts.test):,} pinned test cases have a near-duplicate outside the test split."
        )
    return [f"Note: {note}" for note in notes]


def _lost_note(examples: Sequence[Example], trained: Trained) -> list[str]:
    """Values of copy fields that could not be learnt from, because they were not found."""
    if not trained.lost:
        return []
    shown = [f"line {examples[at].line} ({kind} {shorten(repr(value), 60)})" for at, kind, value in trained.lost]
    named = ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else "")
    return [f"Note: {len(shown):,} copied values were not found in their texts, or not beside the rest of their item: {named}."]


def _gold_document(gold: Gold, parts: Split, distinct: int) -> dict[str, object]:
    counts = {"train": len(parts.train), "calibration": distinct, "test": len(parts.test)}
    return {"digest": gold.digest, "cases": len(gold.examples), **counts}
