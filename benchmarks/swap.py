"""Promotions and rollbacks under load: how long a running gateway takes to follow, and what it does to the callers meanwhile.

Messages of examples/support arrive at `--rate` a second and do not wait for answers. Two releases take turns: the second asks a
static tier first, and so has a tier more to load.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from load import free_port, running
from stage import PEERS, ROOT, arguments, describe, verdict

from rung.ledger import Ledger
from rung.release.frozen import Release
from rung.release.pointer import ledger_of, promote, rollback
from rung.workflows import train
from rung.workload import Workload, load

SECONDS = 1.0  # that a swap may take
EVERY = 4.0  # seconds between two of them


@dataclass(frozen=True, slots=True)
class Stage:
    """The example, its two releases, and where the pointer is kept."""

    workload: Workload
    releases: tuple[Release, Release]
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: when it was asked for and when it came, its status, and the release in its header and in its body."""

    asked: float
    came: float
    status: int
    header: str
    body: str


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--swaps", type=int, default=8)
    asked = parser.parse_args()
    stage, texts = prepare()
    promote(stage.workload, stage.releases[0], stage.ledger, "benchmark", "to begin with")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running([Path(sys.executable).parent / "rung", "serve", stage.workload.file, "--port", str(port)], f"{url}/readyz"):
        replies, moves = asyncio.run(drive(url, stage, texts, asked.rate, asked.swaps))
    report(replies, moves, asked.rate)


def prepare() -> tuple[Stage, list[str]]:
    """The example in a folder of its own, trained twice."""
    folder = PEERS / "swap"
    folder.mkdir(parents=True, exist_ok=True)
    example = ROOT / "examples" / "support"
    shutil.copytree(example, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".rung"))
    file = folder / "workload.yaml"
    first = train(load(folder), hold=True)
    file.write_text(file.read_text().replace("tiers: [specialist]", "tiers: [{specialist: static}, specialist]"))
    workload = load(folder)
    second = train(workload, hold=True)
    assert first.id != second.id
    texts = [json.loads(line)["input"] for line in (folder / "gold.jsonl").read_text(encoding="utf-8").splitlines()]
    return Stage(workload, (first, second), ledger_of(workload)), texts


async def drive(
    url: str, stage: Stage, texts: Sequence[str], rate: float, swaps: int
) -> tuple[list[Reply], list[tuple[float, str]]]:
    """Ask in a Poisson stream while the pointer moves; every reply, and when the pointer moved to which release."""
    draw = random.Random(0)
    chosen = [draw.choice(texts) for _ in range(int(rate * EVERY * (swaps + 1)))]
    start = time.perf_counter() + 0.5
    due = [start := start + draw.expovariate(rate) for _ in chosen]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as caller:

        async def ask(text: str, when: float) -> Reply:
            await asyncio.sleep(max(when - time.perf_counter(), 0))
            asked = time.perf_counter()
            try:
                async with caller.post(f"{url}/v1/workloads/support/decisions", json={"input": text}) as reply:
                    document = await reply.json()
                    named = reply.headers.get("x-rung-release", "")
                    return Reply(asked, time.perf_counter(), reply.status, named, document.get("release", ""))
            except aiohttp.ClientError:
                return Reply(asked, time.perf_counter(), 0, "", "")

        tasks = [asyncio.create_task(ask(text, when)) for text, when in zip(chosen, due, strict=True)]
        moves = await move(stage, due[0], swaps)
        return list(await asyncio.gather(*tasks)), moves


async def move(stage: Stage, start: float, swaps: int) -> list[tuple[float, str]]:
    """Promote the second release and roll it back, in turns."""
    moves: list[tuple[float, str]] = []
    for number in range(swaps):
        await asyncio.sleep(max(start + EVERY * (number + 1) - time.perf_counter(), 0))
        if number % 2 == 0:
            await asyncio.to_thread(promote, stage.workload, stage.releases[1], stage.ledger, "benchmark", "")
        else:
            await asyncio.to_thread(rollback, stage.workload, stage.ledger, "benchmark", "")
        moves.append((time.perf_counter(), stage.releases[(number + 1) % 2].id))
    return moves


def report(replies: Sequence[Reply], moves: Sequence[tuple[float, str]], rate: float) -> None:
    took: list[float] = []
    late = 0
    for at, release in moves:
        until = at + EVERY * 0.9
        took.append(min((each.came for each in replies if each.came > at and each.header == release), default=until) - at)
        late += sum(at + SECONDS < each.asked < until and each.header != release for each in replies)
    failed = sum(each.status != 200 for each in replies)
    mixed = sum(each.status == 200 and each.header != each.body for each in replies)
    times = sorted(1000 * (each.came - each.asked) for each in replies)
    answered = dict(Counter(each.header[:8] or each.status for each in replies))
    print(f"{len(replies):,} requests at {rate:.0f} a second, {len(moves)} swaps; by release, or status: {answered}")
    print(f"  seconds until the first answer of the other release {describe(took, 2)}, the slowest ", end="")
    print(f"{max(took):.2f}   limit {SECONDS:.1f} {verdict(max(took), SECONDS, at_most=True)}")
    print(
        f"  failed {failed}, answers of two releases at once {mixed}, asked later than that and answered by the former {late}",
        end="",
    )
    print(f"   limit 0 {verdict(failed + mixed + late, 0, at_most=True)}")
    print(f"  milliseconds: p50 {times[len(times) // 2]:.0f}, p99 {times[int(0.99 * len(times))]:.0f}, slowest {times[-1]:.0f}")


if __name__ == "__main__":
    main()
