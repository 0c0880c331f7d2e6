"""Runs a verb of the command line in a process of its own: what serves never loads what evaluates."""

from __future__ import annotations

import asyncio
import os
import sys

LONGEST = 2000  # characters of what a verb says


async def run_verb(*words: str) -> tuple[bool, str]:
    """Whether the verb did it, and what it printed or what it says against it. It goes on where this is cancelled."""
    pipe, plain = asyncio.subprocess.PIPE, os.environ | {"FORCE_COLOR": ""}
    words = "-m", "rung.cli", *(word.replace("\0", " ") for word in words)
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=pipe, stderr=pipe, env=plain)
    printed, objected = ((each or b"").decode(errors="replace") for each in await process.communicate())
    if process.returncode == 0:
        return True, printed.strip()[-LONGEST:]
    said = ("\n" + objected).partition("\nrung: ")[2] or objected  # what comes before is progress
    return False, said.strip()[-LONGEST:] or f"{' '.join(words[1:])} ended with {process.returncode}"
