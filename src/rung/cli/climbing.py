"""`rung train --ladder`: the family of specialists, measured, as a table for people or a document for programs."""

from __future__ import annotations

import typer
from rich.table import Table
from rich.text import Text

from rung.cli.console import hint, out, path_of, say, say_json, stage, visible
from rung.workflows.ladder import Ladder, Weighed, climb_ladder, line_of
from rung.workload import Workload

COLUMNS = ("", "specialist", "answered", "95 % interval", "wrong", "p99 under load", "memory", "on disk", "")


def show_ladder(workload: Workload, json_: bool) -> None:
    """Train, measure and print the ladder. Ends with status 1 where no rung holds every limit."""
    found = climb_ladder(workload, stage)
    if json_:
        rungs = [{**rung.document(), "frontier": front} for rung, front in zip(found.rungs, found.frontier(), strict=True)]
        say_json({"workload": workload.name, "chosen": found.chosen, "reason": found.reason, "rungs": rungs})
    else:
        _say_page(workload, found)
    if found.chosen is None:
        raise typer.Exit(1)


def _say_page(workload: Workload, found: Ladder) -> None:
    promise = workload.promise
    first = found.rungs[0]
    say(f"{workload.name}: what each specialist answers by itself at the promise of {promise.error:.1%} error with")
    say(f"{promise.confidence:.0%} confidence, of {first.cases:,} test cases; times at {first.rate:.0f} arrivals a second\n")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in ("", "specialist") else "right", no_wrap=name != "")
    for at, (rung, front) in enumerate(zip(found.rungs, found.frontier(), strict=True)):
        mark = ">" if at == found.chosen else "*" if front else ""
        table.add_row(*(Text(visible(cell)) for cell in (mark, *_cells(rung))), style="bold" if at == found.chosen else None)
    out.print(table)
    say("\n> chosen   * on the frontier: none answers as much with less memory, less space and a lower p99")
    say(found.reason)
    if found.chosen is not None:
        line = line_of(found.rungs[found.chosen].tier)
        hint(f"next: write `- {line}` under tiers in {workload.file.name}, then rung train {path_of(workload)}")


def _cells(rung: Weighed) -> tuple[str, ...]:
    low, high = rung.interval
    return (
        line_of(rung.tier),
        f"{rung.share:.1%}",
        f"{low:.1%} to {high:.1%}",
        f"{rung.wrong / rung.answered:.2%}" if rung.answered else "-",
        f"{rung.p99 * 1e3:.1f} ms",
        f"{rung.memory / 1e6:.0f} MB",
        f"{rung.size / 1e6:.1f} MB",
        rung.refused,
    )
