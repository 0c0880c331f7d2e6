"""The command line as tests call it: in this process where that is enough, as a process of its own where it is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rung.cli import main

RUNG = [sys.executable, "-m", "rung.cli"]
WEATHER = "Hello, will it rain on Monday in Oslo. we plan a picnic. Thanks"
UNDECIDED = "Hello, SUPERVISOR now: will it rain on Monday in Oslo. we plan a picnic. (AB 1234)"  # the check objects to it
CHECK = """
def calm(case, answer):
    return "asks for a supervisor" if "SUPERVISOR" in case.text else None
"""
KEYS = ["id", "outcome", "answer", "confidence", "tier", "release", "cost", "seconds", "problems"]


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Caller:
    """Calls a verb in this process."""

    patch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    def __call__(self, *words: str | Path) -> Ended:
        self.patch.setattr(sys, "argv", ["rung", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        said = self.capture.readouterr()
        assert "Traceback" not in said.err
        return Ended(int(end.value.code or 0), said.out, said.err)


def run_rung(*words: str | Path, env: Mapping[str, str] | None = None) -> Ended:
    """Call a verb as a process of its own, without a terminal."""
    command = [*RUNG, *map(str, words)]
    ended = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, env={**os.environ, **(env or {})}
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def write_samples(folder: Path, texts: Sequence[str]) -> None:
    (folder / "samples.jsonl").write_text("".join(json.dumps({"input": text}) + "\n" for text in texts), encoding="utf-8")
