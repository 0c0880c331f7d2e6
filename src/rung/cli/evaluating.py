"""`rung evaluate`: a release judged on agreed answers, in a terminal, as a page, as Markdown or as a document for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rung.charts import render_html, render_markdown
from rung.cli.console import hint, path_of, say, say_json, stage
from rung.evaluation import describe_outcome
from rung.gold import Part
from rung.release.pointer import named_release
from rung.workflows import Evaluation, Load, evaluate_release, measure_load
from rung.workload import Workload


def evaluate_named(workload: Workload, name: str, part: Part, pages: Sequence[Path], *, timed: bool, json: bool) -> None:
    """Judge a release by its name, `release:tier` for one tier alone, on a part of the gold and say how it did; each of the pages
    is written as its suffix says, `.html` or `.md`. Raises `GateError` once all is said and written."""
    release, _, tier = name.partition(":")
    found = evaluate_release(workload, named_release(workload, release), stage, part, tier)
    load = measure_load(found) if timed else None
    for page in pages:
        page.write_text(_page(found, load, page.suffix), encoding="utf-8")
    if json:
        say_json(found.document(load))
    else:
        _tell(workload, found, load, pages)
    found.gate(timed=timed)


def _tell(workload: Workload, found: Evaluation, load: Load | None, pages: Sequence[Path]) -> None:
    _say(found, timed=load is not None)
    if load:
        say(f"\n{load.said()}")
    for page in pages:
        say(f"written: {page}")
    if not pages:
        hint(f"next: rung evaluate {path_of(workload)} --page evaluation.html, with curves, slices and every disagreement")


def _page(found: Evaluation, load: Load | None, suffix: str) -> str:
    title = f"Evaluation of {found.workload.name}"
    blocks = found.blocks(load)
    return render_html(title, blocks) if suffix == ".html" else render_markdown(title, blocks)


def _say(found: Evaluation, *, timed: bool) -> None:
    metrics = found.metrics
    say(describe_outcome(found.evidence, found.workload.name, found.part))
    say("\nThe last answer of any tier, accepted or not, with 95 % intervals:")
    rows = [("whole record right", metrics.whole), *((field.name, field.accuracy) for field in metrics.fields)]
    rows += [("with a value from nowhere", metrics.hallucinated), ("without any answer", metrics.refused)]
    for name, rate in rows:
        seen = "-" if rate.share is None else f"{rate.share:.1%} ({rate.low:.1%} to {rate.high:.1%})"
        say(f"  {name:<28}{rate.count:>8,} of {rate.of:,}  {seen}")
    say(f"\n{metrics.slices_sentence}")
    for worse in metrics.worst:
        say(f"  {worse.sentence}")
    if found.left_out:
        say(f"\n{found.left_out:,} further test cases are left out: this release was made from them.")
    if found.gated:
        say("\nThe gate:")
    for ruling in found.rulings(timed=timed):
        say(f"  {ruling.limit:<28}{ruling.verdict}: {ruling.sentence}")
    for sentence in found.unasked(timed=timed):
        say(f"  {sentence}")
    wrong = sum(one.accepted for one in metrics.disagreements)
    say(f"\n{len(metrics.disagreements):,} last answers differ from gold; {wrong:,} of them were given without a person.")
