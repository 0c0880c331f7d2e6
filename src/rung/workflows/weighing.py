"""Turns trained specialists into what they weigh on disk, and how fast a fresh process answers that serves them under load."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rung.core import Case, RungError
from rung.evaluation.asking import spread
from rung.evaluation.times import rush
from rung.models.encoder import Encoder
from rung.release.frozen import Parts
from rung.workload import SpecialistTier, Workload

CASES = 300  # arrivals under load: the third largest time is about the 99th percentile
LEAST_RATE = 20.0  # arrivals a second where that is less, or no volume is stated
LONGEST = 600  # seconds that measuring may take: arrivals need fifteen


class WeighingError(RungError):
    """A specialist could not be served for measuring."""

    code = "weighing_failed"
    exit_status = 1


@dataclass(frozen=True, slots=True)
class Weight:
    """`seconds` of each case that arrived, from arrival to answer, in their order, at `rate` arrivals a second; `busy` seconds
    that a case keeps the machine busy, one at a time; bytes of `memory`, and of what serves on disk without a shared encoder."""

    seconds: Sequence[float]
    rate: float
    busy: float
    memory: int
    size: int


def weigh(workload: Workload, parts: Parts, recipes: Mapping[str, str], cases: Sequence[Case]) -> Weight:
    """Save the specialists of `parts`, the smallest first, and serve them as the cascade they make; `recipes` says how each is
    opened. Raises `WeighingError`."""
    asked: dict[str, Any] = {
        "workload": str(workload.file),
        "recipes": dict(recipes),
        "calibrations": {name: asdict(parts.calibrations[name]) for name in recipes},
        "level": parts.level,
        "rate": (rate := rate_of(workload)),
        "cases": [[case.text, dict(case.context)] for case in cases],
    }
    with TemporaryDirectory() as folder:
        for name in recipes:
            parts.specialists[name].save(Path(folder) / name)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file() and file.name != UNSERVED)
        command = [sys.executable, "-m", "rung.workflows.loading", folder]
        said = json.dumps(asked, default=str)
        try:
            done = subprocess.run(command, input=said, capture_output=True, text=True, check=True, timeout=LONGEST)
        except subprocess.TimeoutExpired as error:
            raise WeighingError(f"{', '.join(recipes)} took more than {LONGEST} s under load") from error
        except subprocess.CalledProcessError as error:
            last = error.stderr.strip().splitlines()[-1:] or [f"exit status {error.returncode}"]
            raise WeighingError(f"{', '.join(recipes)} could not be put under load: {last[0][:200]}") from error
    return Weight(**json.loads(done.stdout), rate=rate, size=size)


UNSERVED = "weights.safetensors"  # what a release keeps to go on from


def arrivals(cases: Sequence[Case]) -> list[int]:
    """The positions of `CASES` of the cases at most, evenly over all."""
    return spread(len(cases), CASES)


def rate_of(workload: Workload) -> float:
    """Arrivals a second under which a workload's models are measured."""
    return max(rush(workload) or 0.0, LEAST_RATE)


def shared_size(tiers: Sequence[SpecialistTier], encoder: Encoder) -> int:
    """Bytes of the encoder that every specialist shares which has none of its own; counted once."""
    return encoder.size if any(tier.recipe == "heads" and tier.precision == "int8" for tier in tiers) else 0
