"""Runs a verb of the command line in a process of its own: what serves never loads what evaluates."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from subprocess import DEVNULL, Popen

LONGEST = 2000  # characters of what a verb says
PATIENCE = 1800.0  # seconds that a verb may take
PAUSE = 0.05  # between two looks at whether it ended


async def run_verb(*words: str) -> tuple[bool, str]:
    """Whether the verb did it, and what it printed or what it says against it; one that takes longer than `PATIENCE` is ended.
    It goes on where this is cancelled and where the gateway ends, with which asyncio would kill a process of its own."""
    plain, until = os.environ | {"FORCE_COLOR": ""}, time.monotonic() + PATIENCE
    asked = [sys.executable, "-m", "rung.cli", *(word.replace("\0", " ") for word in words)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:  # pipes would break with the gateway
        process = Popen(asked, stdin=DEVNULL, stdout=out, stderr=err, env=plain, start_new_session=True)
        while process.poll() is None:
            if time.monotonic() > until:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return False, f"rung {words[0]} took more than {PATIENCE / 60:g} minutes and was ended. Next: try again."
            await asyncio.sleep(PAUSE)
        out.seek(0)
        err.seek(0)
        printed, objected = (each.read().decode(errors="replace") for each in (out, err))
    if process.returncode == 0:
        return True, printed.strip()[-LONGEST:]
    said = ("\n" + objected).partition("\nrung: ")[2] or objected  # what comes before is progress
    return False, said.strip()[-LONGEST:] or f"rung {' '.join(words)} ended with {process.returncode}"
