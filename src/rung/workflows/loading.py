"""A process of its own that serves specialists under open-loop load, and says how long cases took and what memory it held."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rung.cascade import Cascade, decide
from rung.core import Case, Specialist
from rung.evaluation.times import arrive
from rung.models.encoder import Encoder, open_encoder
from rung.models.heads import read_calibration
from rung.release.frozen import Parts
from rung.release.opening import build_cascade, close_models, open_specialist
from rung.training.tfidf import load_tfidf
from rung.workload import SpecialistTier, Workload, load

WARMING = 20  # cases that are asked before time is taken
TFIDF = "tf-idf"  # what stands for the baseline, which is no recipe of a workload file


async def ask_alone(cascade: Cascade, cases: Sequence[Case]) -> float:
    """Seconds that a case takes on average, one at a time."""
    for case in cases[:WARMING]:  # what is opened on first use is not the cases'
        await decide(case, cascade)
    began = time.perf_counter()
    for case in cases:
        await decide(case, cascade)
    return (time.perf_counter() - began) / max(len(cases), 1)


def peak_memory() -> int:
    """Bytes that this process has held at most. Linux counts in getrusage what its parent held when it was started."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _open(workload: Workload, asked: dict[str, Any], folder: Path) -> Cascade:
    """The cascade of the specialists in `folder`."""
    encoder = open_encoder()
    tiers = tuple(SpecialistTier(name) for name in asked["recipes"])
    specialists = {name: _specialist(recipe, folder / name, encoder, workload) for name, recipe in asked["recipes"].items()}
    calibrations = {name: read_calibration(raw) for name, raw in asked["calibrations"].items()}
    return build_cascade(replace(workload, tiers=tiers), Parts(specialists, calibrations, asked["level"]), "weighed")


def _specialist(recipe: Any, folder: Path, encoder: Encoder, workload: Workload) -> Specialist:
    if recipe == TFIDF:
        return load_tfidf(folder, workload.fields)
    return open_specialist(SpecialistTier(recipe=recipe), folder, encoder, workload.fields)


async def _measure(cascade: Cascade, cases: Sequence[Case], rate: float) -> dict[str, Any]:
    try:
        return {"busy": await ask_alone(cascade, cases), "seconds": await arrive(cascade, cases, rate)}
    finally:
        await close_models(cascade)


def main() -> None:
    """Read what to do from standard input as JSON, and print the figures as JSON; the specialists are in the folder named."""
    asked = json.load(sys.stdin)
    cascade = _open(load(asked["workload"], gold=False), asked, Path(sys.argv[1]))
    cases = [Case(text, context) for text, context in asked["cases"]]
    found = asyncio.run(_measure(cascade, cases, asked["rate"]))
    json.dump({**found, "memory": peak_memory()}, sys.stdout)


if __name__ == "__main__":
    main()
