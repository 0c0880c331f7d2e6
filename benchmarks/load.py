"""Processes under measurement and the load on them: all on loopback, bounded, and ended with the benchmark."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import aiohttp

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Round:
    """One round of requests: seconds of each, ascending, wall seconds of all, CPU seconds of the server."""

    latencies: list[float]
    wall: float
    cpu: float

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.wall

    @property
    def cpu_each(self) -> float:
        """CPU milliseconds per request."""
        return 1000 * self.cpu / len(self.latencies)

    def quantile(self, share: float) -> float:
        """Milliseconds."""
        return 1000 * self.latencies[min(int(share * len(self.latencies)), len(self.latencies) - 1)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str | Path], ready: str, env: Mapping[str, str] | None = None, patience: float = 120
) -> Iterator[int]:
    """A server process for the length of the `with`, once `ready` answers 200; gives its process id."""
    process = subprocess.Popen(
        [str(part) for part in command], env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + patience
        while not _answers(ready):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                said = (process.communicate()[1] or b"").decode(errors="replace")[-2000:]
                raise SystemExit(f"{command[0]} does not serve {ready}: {said}")
            time.sleep(0.2)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as reply:
            return reply.status == 200
    except (URLError, OSError):
        return False


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its living children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (int(fields[11]) + int(fields[12])) / TICKS + sum(cpu_seconds(int(child)) for child in children)


def resident(pid: int) -> float:
    """Resident memory of a process in MB (10^6 bytes)."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) * 1024 / 1e6


def ask(url: str, bodies: Sequence[object], concurrency: int, pid: int, key: str = "") -> Round:
    """Post every body, `concurrency` at a time, each caller asking again as soon as it is answered (a closed loop)."""
    return asyncio.run(_ask(url, bodies, concurrency, pid, {"authorization": f"Bearer {key}"} if key else {}))


async def _ask(url: str, bodies: Sequence[object], concurrency: int, pid: int, headers: Mapping[str, str]) -> Round:
    waiting = iter(bodies)
    latencies: list[float] = []

    async def caller(session: aiohttp.ClientSession) -> None:
        for body in waiting:
            began = time.perf_counter()
            async with session.post(url, json=body) as reply:
                text = await reply.read()
                if reply.status != 200:
                    raise SystemExit(f"{url} answered {reply.status}: {text[:300]!r}")
            latencies.append(time.perf_counter() - began)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:
        busy, began = cpu_seconds(pid), time.perf_counter()
        await asyncio.gather(*(caller(session) for _ in range(concurrency)))
        wall = time.perf_counter() - began
        return Round(sorted(latencies), wall, cpu_seconds(pid) - busy)
