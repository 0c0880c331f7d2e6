"""`rung keys`: which programs may ask the gateway, and what else they may do. A key is shown once, when it is made."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from rung.cli.arguments import File, Json, named, note
from rung.cli.console import hint, say, say_json
from rung.cli.standing import at_home
from rung.core import KeyRole

keys = typer.Typer(no_args_is_help=True, help="API keys of the gateway.")


@keys.command("add")
def add_key(
    file: File,
    name: Annotated[str, typer.Argument(help="Which program the key is for; what it does is recorded as key:NAME.")],
    role: Annotated[KeyRole, typer.Option(help="A viewer looks, a caller also asks, a reviewer also settles cases.")] = "caller",
) -> None:
    """Make a key, print it once, keep only its digest."""
    from rung.gateway.keys import digest, new_key

    key, name, (_, ledger) = new_key(), named(name), at_home(file)
    ledger.add_key(name, digest(key), datetime.now(UTC), role)
    note(ledger.people, "key added", name, role)
    say(key)
    hint("this is the only time the key is shown; a gateway started from now on asks for keys")


@keys.command("list")
def list_keys(file: File, json_: Json = False) -> None:
    """The keys' names, what they may do, and when they were made or revoked."""
    _, ledger = at_home(file)
    found = [
        {"name": key.name, "role": key.role, "added": key.added.isoformat(), "revoked": key.revoked and key.revoked.isoformat()}
        for key in ledger.list_keys()
    ]
    if json_:
        say_json(found)
        return
    for key in found:
        ended = f", revoked {key['revoked']}" if key["revoked"] else ""
        say(f"{key['name']:<30} {key['role']:<9} made {key['added']}{ended}")
    hint("a key's role cannot be changed: rung keys revoke it, and rung keys add one of the same name with another --role")


@keys.command("revoke")
def revoke_key(file: File, name: str) -> None:
    """Let a key in no longer."""
    _, ledger = at_home(file)
    ledger.revoke_key(name, datetime.now(UTC))
    note(ledger.people, "key revoked", name)
    say(f"{name} is revoked")
