"""`rung release tighten`: a promise that is proven broken, and the higher level that what people settled supports."""

from __future__ import annotations

from typing import Annotated

import typer

from rung.cli.arguments import By, File, Json, user
from rung.cli.console import hint, path_of, say, say_json, stage
from rung.workload import load


def tighten(
    file: File,
    why: Annotated[str, typer.Option("--why", help="The reason, kept in the history; what was done and why, if left out.")] = "",
    by: By = "",
    json_: Json = False,
) -> None:
    """Raise the acceptance level of a release that breaks its promise to what people's verdicts support, gate it, promote it."""
    from rung.workflows.tightening import tighten as run

    workload = load(file)
    done = run(workload, by or user(), why, stage)
    if json_:
        say_json(done.document())
        return
    say(done.release.report)
    say(f"{workload.name}: release {done.release.id[:12]} answers from now on, in the place of {done.before.id[:12]}")
    where = path_of(workload)
    hint(f"next: rung release diff {where} {done.before.id[:12]} current; to undo it: rung rollback {where} --why ...")
