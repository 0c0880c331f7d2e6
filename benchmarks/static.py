"""The static tier on Banking77: texts/s, accuracy, size, memory; and the cascade static -> encoder against the encoder alone.

Both tiers and both cascades get the same train, calibration and test cases, and the same Learn-then-Test, as in `quality.py`.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
from load import resident
from stage import arguments, describe, interval, read_table, verdict, write_workload

from rung.cascade import Cascade, Tier
from rung.cascade.checks import open_checks
from rung.cascade.promise import Judged, PromiseError, derive, levels
from rung.cascade.templates import open_templates
from rung.core import Case
from rung.evaluation import Agreed, ask_all, climb, judge
from rung.gold import Example, Shares, read_gold, split
from rung.models.encoder import Encoder, open_encoder
from rung.models.static import load_static
from rung.training.embeddings import embed_gold
from rung.training.heads import Reading, Trained, train_heads
from rung.training.static import train_static
from rung.workflows.rehearsal import rehearse
from rung.workload import Promise, Workload

PROMISES = (0.05, 0.03, 0.02, 0.01)
PROMISED = 0.03  # at which decisions/s are compared
ACCURACY, RATE = 0.91, 20_000
RATIO, LOST = 2.0, 0.01
ROUNDS = 5
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rung"

Parts = tuple[Sequence[Example], Sequence[Example], Sequence[Example]]
Made = tuple[Cascade, Judged, Judged, Judged]


def main() -> None:
    data = arguments(__doc__ or "").parse_args().data
    rows = read_table(data, "banking77")
    if rows is None:
        return
    encoder = open_encoder()
    with tempfile.TemporaryDirectory() as folder:
        workload = write_workload(Path(folder), "banking77", *rows)
        measure_alone(workload, encoder, *rows)
        measure_cascades(workload, encoder)


def measure_alone(
    workload: Workload, encoder: Encoder, train: Sequence[tuple[str, str]], test: Sequence[tuple[str, str]]
) -> None:
    """The published train set learnt, the published test set answered."""
    encoder_vectors = CACHE / f"{encoder.name}.tokens.safetensors"
    said = "" if encoder_vectors.exists() else ", the vocabulary's vectors included"
    began, busy = time.perf_counter(), time.process_time()
    trained = train_static([text for text, _ in train], [{"label": label} for _, label in train], encoder, workload.fields, CACHE)
    took, cpu = time.perf_counter() - began, time.process_time() - busy
    print(f"trained on {len(train):,} texts in {took:.1f} s ({cpu:.1f} CPU-seconds, {os.cpu_count()} cores){said}")
    folder = workload.folder / "model"
    trained.specialist.save(folder)
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    before = resident(os.getpid())
    static = load_static(folder, workload.fields)
    texts = [text for text, _ in test]
    answers = static.answer_all(texts)
    print(f"{size:.1f} MB on disk; {resident(os.getpid()) - before:.0f} MB more memory once it is open and has answered")
    right = sum(answer.fields["label"] == label for answer, (_, label) in zip(answers, test, strict=True))
    reached = verdict(right / len(test), ACCURACY, at_most=False)
    print(f"accuracy {interval(right, len(test))}   limit {ACCURACY:.0%} {reached}")
    many, rates, busy = texts * 10, list[float](), time.process_time()
    for _ in range(ROUNDS):
        began = time.perf_counter()
        static.answer_all(many)
        rates.append(len(many) / (time.perf_counter() - began))
    cpu = (time.process_time() - busy) / len(many) / ROUNDS
    said = verdict(float(np.median(rates)), RATE, at_most=False)
    print(f"answer_all: {describe(rates, 0)} texts/s, {cpu * 1e6:.0f} CPU-microseconds each   limit {RATE:,} {said}", flush=True)


def measure_cascades(workload: Workload, encoder: Encoder) -> None:
    gold = read_gold(workload)
    found = split(gold)
    parts: Parts = tuple([gold.examples[at] for at in part.tolist()] for part in (found.train, found.calibration, found.test))
    texts, expected = [e.case.text for e in parts[0]], [e.expected for e in parts[0]]
    embeddings = embed_gold(encoder, texts, workload.state / "cache")
    both = {
        "static": train_static(texts, expected, encoder, workload.fields, CACHE),
        "encoder": train_heads(Reading(encoder, texts, embeddings), expected, workload.fields),
    }
    print(f"{' / '.join(f'{len(part):,}' for part in parts)} train / calibration / test cases")
    asyncio.run(compare(workload, parts, both))


async def compare(workload: Workload, parts: Parts, trained: Mapping[str, Trained]) -> None:
    alone = await make(workload, parts, {"encoder": trained["encoder"]})
    climbing = await make(workload, parts, trained)
    opened: list[Cascade] = []
    answered: list[float] = []
    for error in PROMISES:
        print(f"promise {error:.0%}")
        for name, made in (("encoder alone", alone), ("static, then encoder", climbing)):
            level, share = show(name, made, error)
            if error == PROMISED:
                opened.append(replace(made[0], level=level))
                answered.append(share)
    lost = answered[0] - answered[1]
    print(f"fewer answered at {PROMISED:.0%}: {lost:+.1%}   limit {LOST:.0%} {verdict(lost, LOST, at_most=True)}")
    rates: list[list[float]] = [[], []]
    for _ in range(ROUNDS):  # in turns: other load on the machine meets both
        for cascade, seen in zip(opened, rates, strict=True):
            cases = [Case(example.case.text) for example in parts[2]]
            began = time.perf_counter()
            await ask_all(cascade, cases)
            seen.append(len(cases) / (time.perf_counter() - began))
    ratio = float(np.median(rates[1]) / np.median(rates[0]))
    print(f"decisions/s, many in flight: encoder alone {describe(rates[0], 0)}; static, then encoder {describe(rates[1], 0)}")
    print(f"  {ratio:.1f} times as many   limit {RATIO:g} {verdict(ratio, RATIO, at_most=False)}")
    for one in trained.values():
        await one.specialist.close()


async def make(workload: Workload, parts: Parts, trained: Mapping[str, Trained]) -> Made:
    """The calibrated cascade, and rehearsal, calibration and test as it judges them."""
    train, calibration, test = parts
    tiers = tuple(Tier(name, one.specialist, lambda signals: 0.0) for name, one in trained.items())
    bare = Cascade(tiers, inf, "draft", open_templates(workload), open_checks(workload))
    answers = {name: {train[at].case.id: a for at, a in one.rehearsal.items()} for name, one in trained.items()}
    calibrations, rehearsal = await rehearse(bare, _agreed(train), answers)
    cascade = replace(bare, tiers=tuple(replace(tier, confidence=calibrations[tier.name]) for tier in tiers))
    judged = [judge(cascade, await climb(cascade, [e.case for e in part]), _agreed(part)) for part in (calibration, test)]
    return cascade, rehearsal, judged[0], judged[1]


def _agreed(part: Sequence[Example]) -> list[Agreed]:
    return [Agreed(example.case, example.expected) for example in part]


def show(name: str, made: Made, error: float) -> tuple[float, float]:
    """Print what a cascade does under a promise; its level, and the share of the test cases it answers."""
    _, rehearsal, calibration, test = made
    promise = Promise(error, 0.95)
    try:
        sequence = levels(rehearsal, len(calibration), promise)
        level = derive(calibration, promise, sequence, Shares().without_test().calibration).level
    except PromiseError as refusal:
        print(f"  {name}: REFUSED. {refusal}")
        return inf, 0.0
    answered, wrong = test.tally(level)
    first = int((test.stops(level) == 0).sum())
    said = f"; of them {interval(first, answered)} by the first tier" if test.confidence.shape[1] > 1 else ""
    print(f"  {name}: answered {interval(answered, len(test))}, error {interval(wrong, answered)}{said}", flush=True)
    return level, answered / len(test)


if __name__ == "__main__":
    main()
