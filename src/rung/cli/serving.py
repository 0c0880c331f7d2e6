"""`rung up` and `rung serve`: a release behind the gateway, in a process that never loads training code."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import aiohttp
import uvloop

from rung.cli.console import decisions_table, hint, out, say
from rung.embedded import current_release, ledger_of
from rung.gateway import application, require_port, serving
from rung.gateway import serve as serve_application
from rung.gateway.guard import is_loopback
from rung.ledger import Ledger
from rung.models.encoder import open_encoder
from rung.release import Live, Release, find_release, inputs_of, open_live
from rung.workload import Workload

SAMPLES = "samples.jsonl"  # beside the workload: messages that `rung up` plays when nobody is at the terminal
MOST_SAMPLES = 12


def up(workload: Workload, host: str, port: int) -> None:
    """Train in a child process if need be, then serve; without a terminal play the samples and end."""
    if port:
        require_port(host, port)
    release = _made(workload)
    if release is None:
        # A process of its own: its memory goes back, and what serves has never loaded what trains.
        status = subprocess.run([sys.executable, "-m", "rung.cli", "train", str(workload.file)], check=False).returncode
        if status:
            sys.exit(status if status > 0 else 1)
        release = _made(workload)
        if release is None:
            sys.exit("rung: the files changed while they were being trained on; run the same command again")
    else:
        say(release.report)
    ledger = ledger_of(workload)
    if ledger.current_release(workload.name) != release.id:
        ledger.note_release(workload.name, release.id, datetime.now(UTC), {"inputs": release.inputs})
    attended = sys.stdin.isatty() and sys.stdout.isatty()
    uvloop.run(_serve(release, ledger, host, port) if attended else _play(workload, release, ledger, host))


def serve(workload: Workload, host: str, port: int) -> None:
    """Serve the current release until told to stop."""
    ledger = ledger_of(workload)
    uvloop.run(_serve(current_release(workload, ledger), ledger, host, port))


def _made(workload: Workload) -> Release | None:
    """The release made from the files as they are, if there is one; asked without building an encoder for nothing."""
    if not (workload.state / "releases").is_dir():
        return None
    return find_release(workload, inputs_of(workload, open_encoder()))


async def _serve(release: Release, ledger: Ledger, host: str, port: int) -> None:
    live = open_live(release, ledger)
    try:
        open_access = is_loopback(host) and not any(key.revoked is None for key in ledger.list_keys())
        await serve_application(
            application([live], ledger, open_access=open_access), host, port, lambda url: _welcome(live, url, open_access)
        )
    finally:
        await live.close()
        await ledger.close()


def _welcome(live: Live, url: str, open_access: bool) -> None:
    say(f"\nServing {live.workload.name}, release {live.release[:12]}, on {url}")
    say(f'  curl {url}/v1/workloads/{live.workload.name}/decisions -H "content-type: application/json" -d \'{{"input": "..."}}\'')
    say(f'  OpenAI(base_url="{url}/v1", api_key=...).chat.completions.create(model="{live.workload.name}", ...)')
    say("  open on this machine: no API key is asked for" if open_access else "  API keys are asked for: rung keys add")
    hint("Ctrl-C ends it")


async def _play(workload: Workload, release: Release, ledger: Ledger, host: str) -> None:
    """Ask the samples over HTTP, as a caller would, and print what came back."""
    live = open_live(release, ledger)
    asked: list[tuple[str, dict[str, Any]]] = []
    try:
        async with (
            serving(application([live], ledger, open_access=True), "127.0.0.1", 0) as url,
            aiohttp.ClientSession() as caller,
        ):
            say(f"\nServing {workload.name} on {url}; nobody is at the terminal, so its sample messages are played:\n")
            for text in _samples(workload):
                async with caller.post(f"{url}/v1/workloads/{workload.name}/decisions", json={"input": text}) as reply:
                    asked.append((text, await reply.json()))
    finally:
        await live.close()
        await ledger.close()
    out.print(decisions_table(asked))
    people = sum(document["answer"] is None for _, document in asked)
    say(f"\n{len(asked) - people} of {len(asked)} answered without a person, every decision recorded.")
    hint(f"next: rung review {workload.file.parent}, rung report {workload.file.parent}")


def _samples(workload: Workload) -> list[str]:
    own = workload.folder / SAMPLES
    lines = (own if own.exists() else workload.gold).read_text(encoding="utf-8").splitlines()
    return [str(json.loads(line)["input"]) for line in islice((line for line in lines if line.strip()), MOST_SAMPLES)]
