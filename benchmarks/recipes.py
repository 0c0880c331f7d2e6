"""SNIPS and Banking77 with encoders of their own: what each recipe reaches, at what precision, and what its training costs.

Every figure is of the exported artefact: the ONNX file that a release serves, opened again. Needs the extra `train`.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from extraction import f1, read_lines, sheets_of, spans_of, text_of
from quality import show
from stage import PEERS, arguments, interval, read_table, verdict, write_workload

from rung.cascade.promise import Judged
from rung.evaluation import Agreed, climb, judge
from rung.gold import Shares, read_gold, split
from rung.models.building import build_own
from rung.models.encoder import Encoder, open_encoder, read_weights
from rung.release.opening import close_models
from rung.training.heads import Reading, train_heads
from rung.training.lessons import prepare
from rung.training.recipes import finetune
from rung.training.tagging import train_tagger
from rung.workflows.judging import Study, calibrate, examples, open_draft
from rung.workflows.progress import silent
from rung.workflows.specialists import train_specialists
from rung.workload import Field, SpecialistTier, Workload

INTENT, SLOT_F1, SENTENCE, CPU_MINUTES = 0.985, 0.96, 0.91, 45
ACCURACY, AT_TWO, AT_ONE = 0.95, 0.90, 0.75
ANCHORS = 8_000  # texts the intent's kernel compares with: all 13,084 take minutes and gain nothing
TIERS = (
    SpecialistTier("heads", "heads"),
    SpecialistTier("finetune", "finetune"),
    SpecialistTier("finetune", "finetune", "float32"),
    SpecialistTier("finetune", "finetune", "int4"),
    SpecialistTier("distil", "distil", layers=3),
    SpecialistTier("distil", "distil", layers=2),
    SpecialistTier("prune", "prune"),
    SpecialistTier("lora", "lora"),
)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--only", choices=("snips", "banking77"), help="one of the two")
    parser.add_argument("--tiers", default="", help="for Banking77: places in the list of tiers, as 0,1; all of them if left out")
    asked = parser.parse_args()
    encoder = open_encoder()
    files = asked.data / "snips" / "train.jsonl", asked.data / "snips" / "test.jsonl"
    if asked.only != "banking77" and all(rows := [read_lines(file) for file in files]):
        snips(rows[0], rows[1], encoder)
    if asked.only != "snips" and (table := read_table(asked.data, "banking77")):
        workload = write_workload(PEERS / "recipes", "banking77", *table)
        chosen = [TIERS[int(place)] for place in asked.tiers.split(",") if place] or TIERS
        banking(workload, chosen, encoder)


def snips(train: Sequence[dict], test: Sequence[dict], encoder: Encoder) -> None:
    kinds = sorted({kind for row in train for kind, _, _ in spans_of(row)})
    intents = tuple(sorted({row["intent"] for row in train}))
    fields = [Field("intent", "label", {}, labels=intents)]
    texts, expected = [text_of(row) for row in train], [{"intent": row["intent"]} for row in train]
    began, busy = time.perf_counter(), time.process_time()
    _, sheets = sheets_of(train, kinds, encoder)
    lessons = prepare(texts, expected, fields, encoder, ([sheet.tags for sheet in sheets], len(kinds)))
    with tempfile.TemporaryDirectory() as folder:
        weights = finetune(lessons, read_weights(None), SpecialistTier(), Path(folder), lambda windows: None)
        own = build_own(weights, "int8", texts, Path(folder) / "own", encoder)
        embeddings, sheets = sheets_of(train, kinds, own)
        tagger = train_tagger(sheets, kinds)
        part = np.linspace(0, len(train) - 1, ANCHORS).astype(int).tolist()
        reading = Reading(own, [texts[at] for at in part], embeddings[part], lessons.held[part])
        heads = train_heads(reading, [expected[at] for at in part], fields)
        took, cpu = time.perf_counter() - began, (time.process_time() - busy) / 60
        _, tested = sheets_of(test, kinds, own)
        tagged = tagger.tag_all([sheet.text for sheet in tested], [sheet.words for sheet in tested])
        said = [answer.fields["intent"] for answer in heads.specialist.answer_all([sheet.text for sheet in tested])]
    found = [{(span.kind, span.start, span.end) for span in one.spans} for one in tagged]
    gold = [set(spans_of(row)) for row in test]
    right = [label == row["intent"] for label, row in zip(said, test, strict=True)]
    whole = [ok and one == other for ok, one, other in zip(right, found, gold, strict=True)]
    score, count = f1(found, gold), len(test)
    print(f"SNIPS, finetune, int8, {len(train):,} / {count:,} train / test sentences; {took / 60:.1f} minutes")
    print(f"  training {cpu:.1f} CPU-minutes   limit {CPU_MINUTES} {verdict(cpu, CPU_MINUTES, at_most=True)}")
    print(f"  slot F1 {score:.1%}   limit {SLOT_F1:.1%} {verdict(score, SLOT_F1, at_most=False)}")
    for name, outcomes, limit in (("intent", right, INTENT), ("whole sentence", whole, SENTENCE)):
        share = sum(outcomes) / count
        print(f"  {name} {interval(sum(outcomes), count)}   limit {limit:.1%} {verdict(share, limit, at_most=False)}", flush=True)


def banking(workload: Workload, tiers: Sequence[SpecialistTier], encoder: Encoder) -> None:
    gold = read_gold(workload)
    parts = split(gold)
    share = Shares().without_test().calibration
    training, calibrating, test = (examples(gold, part) for part in (parts.train, parts.calibration, parts.test))
    study = Study(gold, parts, training, [Agreed(one.case, one.expected) for one in calibrating], test, share)
    counts = " / ".join(f"{len(part):,}" for part in (training, calibrating, test))
    print(f"\nBanking77: {counts} train / calibration / test cases")
    print(f"  limits for finetune: accuracy {ACCURACY:.0%}, answered {AT_TWO:.0%} at a promise of 2 %, {AT_ONE:.0%} at 1 %")
    for tier in tiers:
        began, busy = time.perf_counter(), time.process_time()
        judged = asyncio.run(judge_tier(replace(workload, tiers=(tier,)), tier, study, encoder))
        took, cpu = time.perf_counter() - began, (time.process_time() - busy) / 60
        print(f"  {tier.recipe} {tier.precision}" + (f", {tier.layers} layers" if tier.recipe == "distil" else ""), end="")
        print(f": {took / 60:.1f} minutes, {cpu:.1f} CPU-minutes, what was there already not counted")
        show(tier.recipe, "banking77", judged, share)


async def judge_tier(workload: Workload, tier: SpecialistTier, study: Study, encoder: Encoder) -> tuple[Judged, Judged, Judged]:
    """Rehearsal, calibration and test as `rung train` judges them."""
    trained = train_specialists(workload, study.training, encoder)
    bare = open_draft(workload, {tier.name: trained[tier.name].specialist})
    known = await calibrate(workload, bare, study, trained, silent)
    test = judge(known.cascade, await climb(known.cascade, [each.case for each in study.held_out]), study.held_out)
    await close_models(bare)
    return known.rehearsal, known.calibration, test


if __name__ == "__main__":
    main()
