"""A process of its own that serves one specialist under open-loop load, and says how long cases took and what memory it held.

Arrivals are a Poisson process: they do not wait for answers, as callers who know nothing of each other (Schroeder, Wierman,
Harchol-Balter 2006, "Open versus closed").
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rung.core import Case, Specialist
from rung.models.encoder import open_encoder
from rung.release import open_specialist
from rung.workload import SpecialistTier, load


async def arrive(specialist: Specialist, texts: Sequence[str], rate: float) -> list[float]:
    """Ask about each text at its time, `rate` a second on average; seconds from arrival to answer, ascending."""
    draw = random.Random(0)

    async def ask(text: str, at: float) -> float:
        await asyncio.sleep(max(at - time.perf_counter(), 0))
        await specialist.answer(Case(text))
        return time.perf_counter() - at

    for text in texts[:20]:  # what is opened on first use is not the load's
        await specialist.answer(Case(text))
    at = time.perf_counter()
    asked = [asyncio.create_task(ask(text, at := at + draw.expovariate(rate))) for text in texts]
    took = sorted(await asyncio.gather(*asked))
    await specialist.close()
    return took


def peak_memory() -> int:
    """Bytes that this process has held at most. Linux counts in getrusage what its parent held when it was started."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Read what to do from standard input as JSON, and print the figures as JSON."""
    asked = json.load(sys.stdin)
    fields = load(asked["workload"], gold=False).fields
    folder = Path(asked["folder"])
    opened = open_specialist(SpecialistTier(recipe=asked["recipe"]), folder, open_encoder(), fields)
    took = asyncio.run(arrive(opened, asked["texts"], asked["rate"]))
    p50, p99 = (took[min(int(share * len(took)), len(took) - 1)] for share in (0.5, 0.99))
    json.dump({"p50": p50, "p99": p99, "memory": peak_memory()}, sys.stdout)


if __name__ == "__main__":
    main()
