"""What the verbs print: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from rung.workload import Workload

LONG = 40  # characters of a value that are shown in a table
WIDE = 150  # columns where there is no terminal to ask
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # what commands a terminal, or reorders a line

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def visible(text: str) -> str:
    """The text as a terminal may be shown it, whoever wrote it: what would command it or cannot be encoded is escaped."""
    escaped = _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return escaped.encode(out.encoding, "backslashreplace").decode(out.encoding)


def say(text: str) -> None:
    """A line of result: no markup, no wrapping."""
    out.print(Text(visible(text)))


def say_json(document: Any) -> None:
    """One JSON document on standard output."""
    out.file.write(json.dumps(document, indent=2) + "\n")


def hint(text: str) -> None:
    """What to do next, on standard error, so that scripts do not read it."""
    err.print(Text(visible(text)), style="dim")


def path_of(workload: Workload) -> str:
    """What to type to name this workload: its file, or the folder where that is enough."""
    return shlex.quote(str(workload.folder if workload.file.name == "workload.yaml" else workload.file))


@contextmanager
def stage(name: str, total: int | None = None, /) -> Generator[Callable[[int], None]]:
    """A progress bar for one stage of long work."""
    columns = (SpinnerColumn(), TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err) as bars:
        task = bars.add_task(name, total=total)
        yield lambda steps: bars.advance(task, steps)
        done = bars.tasks[0].completed
        bars.update(task, total=total or max(done, 1), completed=total or max(done, 1))


def say_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table of result; a column whose name ends in > is set to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name.removesuffix(">"), justify="right" if name.endswith(">") else "left")
    for cells in rows:
        table.add_row(*(Text(visible(cell)) for cell in cells))
    out.print(table)


def decisions_table(asked: list[tuple[str, dict[str, Any]]]) -> Table:
    """Messages and the decisions about them in JSON, a row each."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, width in (("message", 46), ("outcome", None), ("answer", 50), ("confidence", None), ("ms", None)):
        table.add_column(name, max_width=width, overflow="ellipsis", no_wrap=True, justify="right" if name == "ms" else "left")
    for text, document in asked:
        row = (document["outcome"], short(document), f"{document['confidence']:.3f}", f"{document['seconds'] * 1000:.1f}")
        table.add_row(*(Text(visible(cell)) for cell in (" ".join(text.split()), *row)))
    return table


def short(document: Mapping[str, Any]) -> str:
    """A decision's answer on one line, without nulls and long texts; or that there is none."""
    answer: Mapping[str, Any] | None = document["answer"]
    return short_fields(answer and {name: value for name, value in answer.items() if len(str(value)) <= LONG})


def short_fields(answer: Mapping[str, Any] | None) -> str:
    """An answer on one line, without nulls, long texts cut; or that there is none."""
    if answer is None:
        return "a person decides"
    told = ((name, " ".join(str(value).split())) for name, value in answer.items() if value is not None)
    return ", ".join(f"{name}={value if len(value) <= LONG else value[:LONG] + '…'}" for name, value in told)
