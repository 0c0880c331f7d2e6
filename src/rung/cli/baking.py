"""`rung bakeoff`: every candidate's figures as a table for people, a document for programs, and the memo that weighs them up."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from rung.charts import render_html, render_markdown
from rung.cli.console import hint, out, path_of, say, say_json, stage, visible
from rung.evaluation.candidates import Bakeoff, Candidate
from rung.evaluation.choosing import choose
from rung.evaluation.memo import memo_blocks, memo_title
from rung.evaluation.rates import Rate
from rung.workflows.bakeoff import bake
from rung.workload import Workload

COLUMNS = ("candidate", "right", "answered", "wrong of these", "p50", "p99", "machine", "US$/1,000", "on disk", "training")


def show_bakeoff(workload: Workload, memos: Sequence[Path], json_: bool) -> None:
    """Try every candidate and print what came of it; each of `memos` is written as its suffix says, `.html` or `.md`. Ends with
    status 1 where no candidate could be judged."""
    found = bake(workload, stage)
    command = f"rung bakeoff {shlex.quote(workload.file.name)}"
    for memo in memos if found.candidates else ():
        render = render_html if memo.suffix == ".html" else render_markdown
        memo.write_text(render(memo_title(found), memo_blocks(found, workload.costs, command)), encoding="utf-8")
    choice = choose(found, workload.costs) if found.candidates else None
    if json_:
        say_json(_document(found) | {"choice": choice and choice.document()})
    else:
        _say_page(workload, found)
        if choice:
            say(f"\n{'Take ' + choice.chosen if choice.chosen else 'Take none of them'}. {choice.reason}")
        for memo in memos if found.candidates else ():
            say(f"written: {memo}")
        if not memos:
            hint(f"next: rung bakeoff {path_of(workload)} --memo memo.html, which weighs them up")
    if not found.candidates:
        raise typer.Exit(1)


def _document(found: Bakeoff) -> dict[str, Any]:
    """As JSON, with every candidate's outcome on each test case."""
    return {**asdict(found), "candidates": [{**asdict(one), "metrics": _figures(one)} for one in found.candidates]}


def _figures(one: Candidate) -> dict[str, Any]:
    return {name: value for name, value in one.metrics.document().items() if name != "disagreements"}


def _say_page(workload: Workload, found: Bakeoff) -> None:
    promise = workload.promise
    say(f"{found.workload}: each candidate on the same {found.gold.test:,} test cases, at its own level for the promise that of")
    say(f"those answered without a person at most {promise.error:.1%} are wrong, with {promise.confidence:.0%} confidence\n")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "candidate" else "right", no_wrap=True)
    for one in found.candidates:
        table.add_row(*(Text(visible(cell)) for cell in _cells(one)), style="dim" if one.refused else None)
    out.print(table)
    rate = found.candidates[0].rate if found.candidates else 0.0
    say(f"\nright: the last answer, trusted or not, with its 95 % interval; times: at {rate:,.0f} arrivals a second, those of")
    say("endpoints as long as their answers took; machine: how long a case keeps a machine of one's own busy; training: what was")
    say("kept from before is not counted")
    for one in found.candidates:
        if one.refused:
            say(f"{one.name} could not be released: {one.refused}")
    for name, reason in found.unfinished.items():
        say(f"{name} is unfinished: {reason}")
    if found.spent:
        say(f"${found.spent:,.4f} of ${workload.bakeoff.budget:,.4f} (bakeoff.budget) are spent on endpoints; answers are kept")


def _cells(one: Candidate) -> tuple[str, ...]:
    metrics = one.metrics
    return (
        one.name,
        _share(metrics.whole, 1) + f" ({metrics.whole.low:.1%} to {metrics.whole.high:.1%})",
        _share(metrics.answered, 1),
        _share(metrics.error, 2),
        f"{one.p50 * 1e3:,.1f} ms",
        f"{one.p99 * 1e3:,.1f} ms",
        f"{one.busy * 1e3:.1f} ms",
        f"{one.cost * 1e3:,.2f}",
        f"{one.size / 1e6:,.1f} MB",
        f"{one.training:,.0f} s",
    )


def _share(rate: Rate, digits: int) -> str:
    return "-" if rate.share is None else f"{rate.share:.{digits}%}"
