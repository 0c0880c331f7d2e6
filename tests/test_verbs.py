"""Verbs that the gateway runs beside itself: they outlive it, and end."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from rung.gateway import verbs
from rung.gateway.verbs import run_verb

SLOW = """\
import os, sys, time
for step in range(5):
    time.sleep(0.2)
    print("progress", step, file=sys.stderr, flush=True)
with open(os.environ["DONE"] + ".part", "w") as done:
    done.write(str(os.getsid(0)))
os.replace(os.environ["DONE"] + ".part", os.environ["DONE"])
"""  # what Python does first, before the verb


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that is there once a verb is through with its first, slow part."""
    (tmp_path / "sitecustomize.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("DONE", str(tmp_path / "done"))
    return tmp_path / "done"


def test_a_verb_says_what_it_did_or_what_is_against_it() -> None:
    did, said = asyncio.run(run_verb("--help"))
    assert did and "promote" in said and len(said) <= verbs.LONGEST
    did, said = asyncio.run(run_verb("check", "/nowhere.yaml"))
    assert not did and "/nowhere.yaml" in said


def test_a_verb_goes_on_in_a_session_of_its_own_where_the_loop_that_began_it_ends(done: Path) -> None:
    async def leave() -> None:
        begun = asyncio.create_task(run_verb("--help"))
        await asyncio.sleep(0.1)
        assert begun.cancel()

    asyncio.run(leave())
    until = time.monotonic() + 60
    while not done.exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert done.exists() and int(done.read_text()) != os.getsid(0)


def test_a_verb_that_does_not_end_is_ended_and_it_is_said(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "PATIENCE", 0.1)
    did, said = asyncio.run(run_verb("promote"))
    assert not did and "rung promote took more than" in said and not done.exists()
