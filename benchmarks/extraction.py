"""SNIPS and SROIE: spans and values learnt by the recipe `heads`, frozen encoder and no PyTorch; what one pass costs.

SNIPS: exact spans on the published test set, with the intent by the same pass. SROIE: receipts as OCR lines with boxes; a
quarter, drawn at random, is test. A field counts as right when its value is the expected one: dates and totals as values,
company and address as texts, whatever their case, spacing and punctuation.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from stage import arguments, interval, verdict

from rung.boxes import read_page
from rung.core import same
from rung.models.encoder import Encoder, open_encoder
from rung.models.extraction import Extraction
from rung.models.specialist import lone_blas
from rung.models.tagger import Tagger
from rung.models.values import day_first, open_values
from rung.training.copies import Page, train_copies
from rung.training.heads import Reading, train_heads
from rung.training.tagging import Sheet, train_tagger
from rung.workload import Field

SLOT_F1, FIELD_F1, COST = 0.88, 0.90, 1.15
INTENTS = 8_000  # training texts for the intent: a kernel over all 13,084 takes minutes and gains nothing
TEXT = {"type": ["string", "null"]}
RECEIPT = {
    "company": TEXT,
    "date": {**TEXT, "format": "date"},
    "address": TEXT,
    "total": {"type": ["number", "null"]},
}

Spans = set[tuple[str, int, int]]


def main() -> None:
    data = arguments(__doc__ or "").parse_args().data
    encoder = open_encoder()
    if (rows := read_lines(data / "snips" / "train.jsonl")) and (test := read_lines(data / "snips" / "test.jsonl")):
        snips(rows, test, encoder)
    if rows := read_lines(data / "sroie" / "all.jsonl"):
        sroie(rows, encoder)


def read_lines(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        print(f"SKIPPED: {file} does not exist. Give the folder of data sets with --data.", flush=True)
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def snips(train: Sequence[dict[str, Any]], test: Sequence[dict[str, Any]], encoder: Encoder) -> None:
    expected = [set(spans_of(row)) for row in test]
    kinds = sorted({kind for row in train for kind, _, _ in spans_of(row)})
    began, busy = time.perf_counter(), time.process_time()
    embeddings, sheets = sheets_of(train, kinds, encoder)
    tagger = train_tagger(sheets, kinds)
    intents = tuple(sorted({row["intent"] for row in train}))
    part = np.linspace(0, len(train) - 1, INTENTS).astype(int).tolist()
    texts = [text_of(train[at]) for at in part]
    labels = [{"intent": train[at]["intent"]} for at in part]
    heads = train_heads(Reading(encoder, texts, embeddings[part]), labels, [Field("intent", "label", {}, labels=intents)])
    took, cpu = time.perf_counter() - began, time.process_time() - busy
    _, tested = sheets_of(test, kinds, encoder)
    tagged = tagger.tag_all([sheet.text for sheet in tested], [sheet.words for sheet in tested])
    found: list[Spans] = [{(span.kind, span.start, span.end) for span in one.spans} for one in tagged]
    said = [answer.fields["intent"] for answer in heads.specialist.answer_all([sheet.text for sheet in tested])]
    right = [label == row["intent"] for label, row in zip(said, test, strict=True)]
    whole = [ok and one == other for ok, one, other in zip(right, found, expected, strict=True)]
    score = f1(found, expected)
    size = f"{len(train):,} / {len(test):,} train / test sentences, {len(kinds)} kinds of slot"
    print(f"SNIPS, {size}; {took:.0f} s ({cpu:.0f} CPU-seconds)")
    print(f"  slot F1 {score:.1%}   limit {SLOT_F1:.0%} {verdict(score, SLOT_F1, at_most=False)}")
    print(f"  intent {interval(sum(right), len(right))}   whole sentence {interval(sum(whole), len(whole))}", flush=True)
    cost(tagger, [sheet.text for sheet in tested], encoder)


def text_of(row: dict[str, Any]) -> str:
    return " ".join(row["tokens"])


def spans_of(row: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Character spans of the BIO tags."""
    place, open_span = 0, None
    for token, tag in zip(row["tokens"], row["tags"], strict=True):
        if tag[0] == "I" and open_span and open_span[0] == tag[2:]:
            open_span = (tag[2:], open_span[1], place + len(token))
        else:
            yield from (open_span,) if open_span else ()
            open_span = None if tag == "O" else (tag[2:], place, place + len(token))
        place += len(token) + 1
    yield from (open_span,) if open_span else ()


def sheets_of(rows: Sequence[dict[str, Any]], kinds: Sequence[str], encoder: Encoder) -> tuple[np.ndarray, list[Sheet]]:
    embeddings, words = encoder.read([text_of(row) for row in rows])
    sheets: list[Sheet] = []
    for row, found in zip(rows, words, strict=True):
        tags = np.zeros(len(found.starts), np.int64)
        for kind, start, end in spans_of(row):
            inside = np.flatnonzero((found.starts < end) & (found.ends > start))
            tags[inside] = 2 + 2 * kinds.index(kind)
            tags[inside[:1]] -= 1
        sheets.append(Sheet(text_of(row), found, tags))
    return embeddings, sheets


def f1(found: Sequence[Spans], expected: Sequence[Spans]) -> float:
    both = sum(len(one & other) for one, other in zip(found, expected, strict=True))
    return 2 * both / (sum(map(len, found)) + sum(map(len, expected)))


def cost(tagger: Tagger, texts: Sequence[str], encoder: Encoder) -> None:
    """One text at a time, the two in turns: the embedding alone, and embedding, states and spans in one pass."""
    alone: list[float] = []
    both: list[float] = []
    for text in texts:
        began = time.perf_counter()
        encoder.embed([text])
        alone.append(time.perf_counter() - began)
        began = time.perf_counter()
        _, words = encoder.read([text])
        with lone_blas():  # as a specialist does: a second thread would spin beside the next text's encoder
            tagger.tag_all([text], words)
        both.append(time.perf_counter() - began)
    ratio = median(both) / median(alone)
    print(f"  one pass {median(both) * 1e3:.2f} ms, the embedding alone {median(alone) * 1e3:.2f} ms", end="")
    print(f"   ratio {ratio:.2f}   limit {COST} {verdict(ratio, COST, at_most=True)}", flush=True)


def sroie(rows: Sequence[dict[str, Any]], encoder: Encoder) -> None:
    texts = [read_page(row["lines"]) for row in rows]
    expected = [values_of(row["fields"], text) for row, text in zip(rows, texts, strict=True)]
    extractions = [Extraction(Field(name, "copy", schema)) for name, schema in RECEIPT.items()]
    began, busy = time.perf_counter(), time.process_time()
    _, words = encoder.read(texts)
    pages = [Page(text, found, value, {}) for text, found, value in zip(texts, words, expected, strict=True)]
    order = np.random.default_rng(0).permutation(len(pages)).tolist()
    test, train = order[: len(order) // 4], order[len(order) // 4 :]
    copies = train_copies([pages[at] for at in train], extractions)
    took, cpu = time.perf_counter() - began, time.process_time() - busy
    found = copies.extractor.fill_all([texts[at] for at in test], [words[at] for at in test])
    print(f"SROIE, {len(train)} / {len(test)} train / test receipts; {took:.0f} s ({cpu:.0f} CPU-seconds); ", end="")
    print(f"{len(copies.lost)} of the training values stand nowhere in their texts")
    scores: list[float] = []
    for name in RECEIPT:
        pairs = [(one[name].value, expected[at][name]) for one, at in zip(found, test, strict=True)]
        right = sum(value is not None and agree(value, truth) for value, truth in pairs)
        given, wanted = sum(value is not None for value, _ in pairs), sum(truth is not None for _, truth in pairs)
        scores.append(2 * right / (given + wanted))
        print(f"  {name:<8} F1 {scores[-1]:.1%}   right {interval(right, wanted)}")
    mean = float(np.mean(scores))
    print(f"  mean field F1 {mean:.1%}   limit {FIELD_F1:.0%} {verdict(mean, FIELD_F1, at_most=False)}", flush=True)


def values_of(fields: dict[str, str], text: str) -> dict[str, Any]:
    """The published strings as values; what cannot be read as one stays a string, and counts as wrong."""
    first = day_first(text) is not False
    return {
        name: (open_values(schema).read(fields[name], first) or fields[name]) if fields.get(name) else None
        for name, schema in RECEIPT.items()
    }


def agree(value: Any, truth: Any) -> bool:
    if isinstance(value, str) and isinstance(truth, str):
        return [*filter(str.isalnum, value.casefold())] == [*filter(str.isalnum, truth.casefold())]
    return same(value, truth)


if __name__ == "__main__":
    main()
