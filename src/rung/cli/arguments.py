"""What several verbs take: the workload, and ways to say who and why."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Annotated

import typer

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
