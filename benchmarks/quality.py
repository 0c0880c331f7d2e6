"""Banking77 and HEADLINES: what is answered at promises of 5, 3, 2 and 1 %, the error seen, and the time to a release.

Rung and TF-IDF + logistic regression get the same train, calibration and test cases and the same Learn-then-Test.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from stage import arguments, interval, read_table, verdict, write_workload

from rung import train as train_release
from rung.cascade import Cascade, Tier
from rung.cascade.checks import open_checks
from rung.cascade.promise import Judged, PromiseError, derive, levels
from rung.cascade.templates import open_templates
from rung.evaluation import Agreed, climb, judge
from rung.gold import Example, Shares, read_gold, split
from rung.models.encoder import Encoder, open_encoder
from rung.training.embeddings import embed_gold
from rung.training.heads import Reading, train_heads
from rung.workflows.rehearsal import rehearse
from rung.workload import Promise, Workload

PROMISES = (0.05, 0.03, 0.02, 0.01)
ACCURACY = {"banking77": 0.940, "headlines": 0.898}
ANSWERED = {"banking77": (0.96, 0.91, 0.87, 0.65), "headlines": (None, None, None, None)}
SECONDS = 90.0
DRAWS = 5

Parts = tuple[Sequence[Example], Sequence[Example], Sequence[Example]]


def main() -> None:
    data = arguments(__doc__ or "").parse_args().data
    encoder = open_encoder()
    for name in ("banking77", "headlines"):
        rows = read_table(data, name)
        if rows is not None:
            with tempfile.TemporaryDirectory() as folder:
                compare(write_workload(Path(folder), name, *rows), encoder)
    rows = read_table(data, "banking77")
    if rows is not None:
        with tempfile.TemporaryDirectory() as folder:
            time_release(write_workload(Path(folder), "banking77", rows[0][:10_000], []), encoder)


def compare(workload: Workload, encoder: Encoder) -> None:
    gold = read_gold(workload)
    parts = split(gold)
    cases: Parts = tuple([gold.examples[at] for at in part.tolist()] for part in (parts.train, parts.calibration, parts.test))
    share = Shares().without_test().calibration
    print(f"\n{workload.name}: {' / '.join(f'{len(part):,}' for part in cases)} train / calibration / test cases")
    print(f"  {len(parts.leaked):,} of the published test texts have a near-duplicate outside test; both rows below share that")
    for system, judged in (("Rung", judge_rung(workload, cases, encoder)), ("TF-IDF + logistic", judge_baseline(cases))):
        show(system, workload.name, judged, share)
    if workload.name == "banking77":
        show_plain(workload, cases, encoder, share)


def judge_rung(workload: Workload, parts: Parts, encoder: Encoder) -> tuple[Judged, Judged, Judged]:
    """Rehearsal, calibration and test as `rung train` judges them, before a level is chosen: all promises share them."""
    train, calibration, test = parts
    texts = [example.case.text for example in train]
    embeddings = embed_gold(encoder, texts, workload.state / "cache")
    trained = train_heads(Reading(encoder, texts, embeddings), [example.expected for example in train], workload.fields)
    tier = Tier("specialist", trained.specialist, lambda signals: 0.0)
    bare = Cascade((tier,), inf, "draft", open_templates(workload), open_checks(workload))
    answers = {"specialist": {train[at].case.id: answer for at, answer in trained.rehearsal.items()}}

    async def run() -> tuple[Judged, Judged, Judged]:
        calibrations, rehearsal = await rehearse(bare, _agreed(train), answers)
        cascade = replace(bare, tiers=(replace(tier, confidence=calibrations["specialist"]),))
        judged = [judge(cascade, await climb(cascade, [e.case for e in part]), _agreed(part)) for part in (calibration, test)]
        await trained.specialist.close()
        return rehearsal, judged[0], judged[1]

    return asyncio.run(run())


def show_plain(workload: Workload, cases: Parts, encoder: Encoder, share: float) -> None:
    """The same with calibration drawn plainly at random, near-duplicates on both sides as in the published test set: what the
    limits were set on. `rung train` never splits so."""
    train, calibration, test = cases
    pool = [*train, *calibration]
    found: list[list[float]] = []
    for seed in range(DRAWS):
        order = [pool[at] for at in np.random.default_rng(seed).permutation(len(pool)).tolist()]
        drawn = (order[len(calibration) :], order[: len(calibration)], test)
        rehearsal, calibrated, judged = judge_rung(workload, drawn, encoder)
        found.append([])
        for error in PROMISES:
            promise = Promise(error, 0.95)
            level = derive(calibrated, promise, levels(rehearsal, len(calibrated), promise), share).level
            found[-1].append(judged.tally(level)[0] / len(judged))
    for error, shares in zip(PROMISES, zip(*found, strict=True), strict=True):
        spread = f"{np.mean(shares):.1%} [{min(shares):.1%}, {max(shares):.1%}]"
        print(f"    promise {error:.0%}, calibration drawn plainly: answered {spread}, mean [least, most] of {DRAWS} draws")


def judge_baseline(parts: Parts) -> tuple[Judged, Judged, Judged]:
    """Logistic regression on word 1-2-gram TF-IDF, with its top probability as the confidence."""
    train, calibration, test = parts
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=20.0, max_iter=200, tol=1e-3)
    )
    texts, labels = [e.case.text for e in train], np.array([e.expected["label"] for e in train])
    rehearsed = cross_val_predict(model, texts, labels, cv=3, method="predict_proba")
    model.fit(texts, labels)
    judged = [_judged(rehearsed, model.classes_, labels)]
    for part in (calibration, test):
        shares = model.predict_proba([e.case.text for e in part])
        judged.append(_judged(shares, model.classes_, np.array([e.expected["label"] for e in part])))
    return judged[0], judged[1], judged[2]


def _judged(shares: np.ndarray, classes: np.ndarray, labels: np.ndarray) -> Judged:
    return Judged(shares.max(axis=1)[:, None].astype(float), (classes[shares.argmax(axis=1)] == labels)[:, None])


def _agreed(part: Sequence[Example]) -> list[Agreed]:
    return [Agreed(example.case, example.expected) for example in part]


def show(system: str, name: str, judged: tuple[Judged, Judged, Judged], share: float) -> None:
    rehearsal, calibration, test = judged
    ours = system == "Rung"
    right = int(test.right[:, 0].sum())
    said = f"   limit {ACCURACY[name]:.1%} {verdict(right / len(test), ACCURACY[name], at_most=False)}" if ours else ""
    print(f"  {system}: accuracy {interval(right, len(test))}{said}")
    for error, limit in zip(PROMISES, ANSWERED[name], strict=True):
        promise = Promise(error, 0.95)
        try:
            level = derive(calibration, promise, levels(rehearsal, len(calibration), promise), share).level
        except PromiseError as refusal:
            print(f"    promise {error:.0%}: REFUSED. {refusal}")
            continue
        answered, wrong = test.tally(level)
        said = f"   limit {limit:.0%} {verdict(answered / len(test), limit, at_most=False)}" if ours and limit else ""
        print(f"    promise {error:.0%}: answered {interval(answered, len(test))}  error {interval(wrong, answered)}{said}")


def time_release(workload: Workload, encoder: Encoder) -> None:
    """From 10,000 gold cases to a gated release on disk, with nothing cached but the encoder itself."""
    began, busy = time.perf_counter(), time.process_time()
    release = train_release(workload, encoder=encoder)
    took, cpu = time.perf_counter() - began, time.process_time() - busy
    counts = release.evidence["gold"]
    print(f"\nrelease: {counts['cases']:,} gold cases to a frozen release in {took:.1f} s ({cpu:.1f} CPU-seconds, ", end="")
    print(f"{os.cpu_count()} cores)   limit {SECONDS:.0f} s {verdict(took, SECONDS, at_most=True)}")


if __name__ == "__main__":
    main()
