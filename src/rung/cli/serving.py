"""`rung up` and `rung serve`: a release behind the gateway, in a process that never loads training code."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import aiohttp
import uvloop

from rung.cli.console import decisions_table, hint, out, path_of, say
from rung.cli.standing import undone
from rung.gateway import GatewayError, application, require_port, serving
from rung.gateway import serve as serve_application
from rung.gateway.guard import is_loopback, proxies
from rung.ledger import Ledger
from rung.models.encoder import open_encoder
from rung.release.frozen import Release, ReleaseError, find_release, inputs_of
from rung.release.live import Live, open_live
from rung.release.pointer import current_release, ledger_of, left_behind, promote
from rung.workload import Workload


def up(workload: Workload, host: str, port: int, samples: list[str] | None, by: str) -> None:
    """Train in a child process if need be, then serve until told to stop; if there are samples, play them instead and end."""
    require_port(host, port)
    release = _made(workload)
    if release is None:
        # A process of its own: its memory goes back, and what serves has never loaded what trains.
        status = subprocess.run([sys.executable, "-m", "rung.cli", "train", str(workload.file)], check=False).returncode
        if status < 0:
            raise ReleaseError(f"{workload.file}: training was ended by signal {-status}. Run the same command again to go on.")
        if status:
            sys.exit(status)  # the child has said why
        release = _made(workload)
        if release is None:
            raise ReleaseError(f"{workload.file}: something changed while it was being trained on. Run the same command again.")
    else:
        say(release.report)
    ledger = ledger_of(workload)
    pointed = ledger.current_release(workload.name)
    if pointed is None:
        promote(workload, release, ledger, by, "made from the workload's files as they are")
    elif pointed != release.id:
        say(f"\nNote: {undone(release, left_behind(workload, release, ledger))}")
        release = current_release(workload, ledger)
    uvloop.run(_serve(release, ledger, host, port) if samples is None else _play(samples, release, ledger, port))
    if samples is not None:
        hint(f"next: rung review {path_of(workload)}, rung report {path_of(workload)}")


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
        ours = is_loopback(host) and not proxies()
        open_access = ours and not ledger.list_keys()  # revoking the last key must not let everyone in
        somebody = ledger.people.ever()
        await serve_application(
            application([live], ledger, open_access=open_access),
            host,
            port,
            lambda url: _welcome(live, url, open_access, somebody),
        )
    finally:
        await live.close()
        await ledger.close()


def _welcome(live: Live, url: str, open_access: bool, somebody: bool) -> None:
    say(f"\nServing {live.workload.name}, release {live.release[:12]}, on {url}")
    say(f'  curl {url}/v1/workloads/{live.workload.name}/decisions -H "content-type: application/json" -d \'{{"input": "..."}}\'')
    say(f'  OpenAI(base_url="{url}/v1", api_key=...).chat.completions.create(model="{live.workload.name}", ...)')
    say("  open on this machine: no API key is asked for" if open_access else "  API keys are asked for: rung keys add")
    say(f"  pages for people: {url}/")
    if somebody:
        say("  they ask to sign in: rung people add lets others in")
    elif open_access:
        say("  open on this machine: nobody signs in until the first rung people add WORKLOAD NAME --role admin")
    else:
        say("  nobody may sign in yet: rung people add WORKLOAD NAME --role admin")
    hint("Ctrl-C ends it")


async def _play(samples: list[str], release: Release, ledger: Ledger, port: int) -> None:
    """Ask the samples over HTTP, as a caller would, and print what came back."""
    live = open_live(release, ledger)
    asked: list[tuple[str, dict[str, Any]]] = []
    try:
        async with (
            serving(application([live], ledger, open_access=True), "127.0.0.1", port) as url,
            aiohttp.ClientSession() as caller,
        ):
            name = live.workload.name
            say(f"\nServing {name} on {url}; nobody is at the terminal, so its sample messages are played:\n")
            for text in samples:
                async with caller.post(f"{url}/v1/workloads/{name}/decisions", json={"input": text}) as reply:
                    document = await reply.json()
                    if reply.status != 200:
                        raise GatewayError(f"The sample {text[:60]!r} was not answered: {document['error']['message']}")
                    asked.append((text, document))
    finally:
        await live.close()
        await ledger.close()
    out.print(decisions_table(asked))
    people = sum(document["answer"] is None for _, document in asked)
    say(f"\n{len(asked) - people} of {len(asked)} answered without a person, every decision recorded.")
