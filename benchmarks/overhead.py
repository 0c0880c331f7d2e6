"""CPU per request of the gateway, every decision in the durable ledger, beside a LiteLLM proxy; and what `import rung` costs.

Three servers, one worker each, take the same chat completions: the gateway before an instant model, the gateway before a fake
upstream, LiteLLM before the same fake upstream (which keeps no record of a request at all).
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import yaml
from load import Round, ask, free_port, resident, running
from stage import PEERS, arguments, describe, peer_python, verdict

HERE = Path(__file__).resolve().parent
ROUNDS = 3
KEY = f"sk-{secrets.token_hex(16)}"  # LiteLLM does not start without one; the gateway is in its open mode on loopback
COUNTS = {"gateway": {1: 200, 32: 1500}, "litellm": {1: 60, 32: 160}}
HEAVY = ("numpy", "sklearn", "onnxruntime", "sqlalchemy", "starlette")


def main() -> None:
    options = arguments(__doc__ or "")
    options.add_argument("--without-peer", action="store_true", help="leave LiteLLM out")
    measure_import()
    with tempfile.TemporaryDirectory() as folder:
        measure_servers(Path(folder), options.parse_args().without_peer)


def measure_import() -> None:
    """In fresh interpreters; the interpreter's own start is taken off."""
    heavy = f"import sys, rung; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", heavy], check=True, capture_output=True, text=True).stdout.strip()
    timed = "import time; began = time.perf_counter(); import rung; print(time.perf_counter() - began)"
    runs = [subprocess.run([sys.executable, "-c", timed], check=True, capture_output=True, text=True).stdout for _ in range(7)]
    seconds = [float(run) for run in runs]
    print(f"import rung: {describe(seconds, 4)} s   limit 0.15 {verdict(median(seconds), 0.15, at_most=True)}")
    print(f"  heavy modules it loads: {loaded}   limit none {verdict(float(loaded != '[]'), 0, at_most=True)}")


def measure_servers(folder: Path, without_peer: bool) -> None:
    upstream = free_port()
    (folder / "workload.yaml").write_text(yaml.safe_dump(_workload()))
    (folder / "endpoints.yaml").write_text(yaml.safe_dump(_endpoints(upstream)))
    with ExitStack() as stack:
        stack.enter_context(
            running([sys.executable, HERE / "server.py", "upstream", str(upstream)], f"http://127.0.0.1:{upstream}/v1/models")
        )
        medians = {
            "instant": measure(
                "gateway, instant model, durable ledger", gateway(stack, "instant", folder, f"sqlite:///{folder}/instant.db")
            ),
        }
        if Path("/dev/shm").is_dir():
            memory = stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm"))
            measure(
                "gateway, instant model, ledger in memory (no fsync)",
                gateway(stack, "instant", folder, f"sqlite:///{memory}/ledger.db"),
            )
        medians["endpoint"] = measure(
            "gateway, fake upstream, durable ledger", gateway(stack, "endpoint", folder, f"sqlite:///{folder}/endpoint.db")
        )
        if without_peer:
            print("SKIPPED LiteLLM, as asked: no ratio.")
            return
        medians["litellm"] = measure("LiteLLM proxy, fake upstream, no ledger", litellm(stack, folder, upstream), "litellm")
    for concurrency in (1, 32):
        own, same, peer = (medians[name][concurrency] for name in ("instant", "endpoint", "litellm"))
        print(f"concurrency {concurrency}:")
        print(f"  gateway excluding the model {own:.2f} ms   limit 1.00 {verdict(own, 1.0, at_most=True)}")
        print(f"  LiteLLM / gateway excluding the model {peer / own:.1f}   limit 12 {verdict(peer / own, 12, at_most=False)}")
        print(f"  LiteLLM / gateway, both before the fake upstream {peer / same:.1f}")


Server = tuple[int, str, str]


def gateway(stack: ExitStack, kind: str, folder: Path, ledger: str) -> Server:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = [sys.executable, HERE / "server.py", kind, str(port), folder, ledger]
    return stack.enter_context(running(command, f"{base}/readyz")), f"{base}/v1/chat/completions", "overhead"


def litellm(stack: ExitStack, folder: Path, upstream: int) -> Server:
    model = {"model": "openai/fake", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "none"}
    config = {"model_list": [{"model_name": "fake", "litellm_params": model}], "litellm_settings": {"telemetry": False}}
    (folder / "litellm.yaml").write_text(yaml.safe_dump(config))
    peer_python("litellm")
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = [
        PEERS / "litellm" / "bin" / "litellm",
        "--config",
        folder / "litellm.yaml",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    quiet = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "LITELLM_MASTER_KEY": KEY,
        "LITELLM_MODE": "PRODUCTION",
    }
    ready = f"{base}/health/liveliness"
    return (
        stack.enter_context(running([*command, "--num_workers", "1"], ready, quiet, 240)),
        f"{base}/v1/chat/completions",
        "fake",
    )


def measure(title: str, server: Server, counts: str = "gateway") -> dict[int, float]:
    """Print one server's rounds; the median CPU milliseconds per request by concurrency."""
    pid, url, model = server
    print(f"{title}: CPU ms per request, median [least, most] of {ROUNDS} rounds")
    medians: dict[int, float] = {}
    for concurrency, count in COUNTS[counts].items():
        body = {"model": model, "messages": [{"role": "user", "content": "I am still waiting on my card?"}]}
        rounds: list[Round] = [
            ask(url, [body] * count, concurrency, pid, KEY if counts == "litellm" else "") for _ in range(ROUNDS + 1)
        ][1:]
        medians[concurrency] = median([each.cpu_each for each in rounds])
        rate, p50 = median([each.rate for each in rounds]), median([each.quantile(0.5) for each in rounds])
        said = f"{rate:,.0f} requests/s, p50 {p50:.1f} ms, {resident(pid):.0f} MB resident"
        print(f"  concurrency {concurrency:<3}{describe([each.cpu_each for each in rounds], 2):>22}   {said}", flush=True)
    return medians


def _workload() -> dict[str, object]:
    return {
        "workload": "overhead",
        "task": "Name the label of the text.",
        "labels": ["one", "two"],
        "gold": "gold.jsonl",
        "promise": {"error": 0.05, "confidence": 0.95},
        "tiers": [{"endpoint": "fake", "model": "fake"}],
    }


def _endpoints(port: int) -> dict[str, object]:
    price = {"input": 0, "output": 0}
    fake = {"url": f"http://127.0.0.1:{port}/v1", "size": "core", "weights": "open", "boundary": "inside", "price": price}
    return {"fake": fake}


if __name__ == "__main__":
    main()
