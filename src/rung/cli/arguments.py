"""What several verbs take: the workload, and ways to say who and why."""

from __future__ import annotations

import getpass
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rung.ledger.people import People

LONGEST = 100  # characters of a name

File = Annotated[Path, typer.Argument(metavar="WORKLOAD", help="The workload file, or the folder that holds workload.yaml.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Host = Annotated[str, typer.Option(help="The address to serve on; any other than this machine's own asks for API keys.")]
Why = Annotated[str, typer.Option("--why", help="The reason, kept in the history.")]
By = Annotated[str, typer.Option("--by", help="Who does it, kept in the history; who runs it, if left out.")]


def user() -> str:
    """Who asks, settles or promotes, by name; by number where the system knows no name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def named(name: str) -> str:
    """A name that can be told from others by reading it."""
    name = name.strip()
    if not name or len(name) > LONGEST or not name.isprintable():
        raise typer.BadParameter(f"must be 1 to {LONGEST} characters that can be seen", param_hint="NAME")
    return name


def note(kept: People, what: str, name: str, detail: str = "") -> None:
    """Keep that whoever runs this did something to what has this name."""
    from rung.ledger import Action

    kept.note(Action(datetime.now(UTC), user(), what, name, detail))
