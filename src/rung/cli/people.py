"""`rung people`: who may sign in to the pages, and what they may do. A password is typed or piped, never an argument."""

from __future__ import annotations

import getpass
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.arguments import File, Json, named, note
from rung.cli.console import hint, path_of, say, say_json
from rung.cli.standing import at_home, home_of
from rung.core import Role

if TYPE_CHECKING:
    from rung.ledger.people import People

Name = Annotated[str, typer.Argument(metavar="NAME", help="Who: the name that they sign in with, and that their actions carry.")]
May = Annotated[
    Role, typer.Argument(metavar="ROLE", help="viewer, reviewer, operator or admin; each may do what those before may.")
]

people = typer.Typer(no_args_is_help=True, help="Who may sign in to the pages, and what they may do.")


@people.command("add")
def add_person(
    file: File,
    name: Name,
    role: Annotated[
        Role, typer.Option(help="A viewer sees, a reviewer settles cases, an operator promotes, an admin names people.")
    ],
) -> None:
    """Let somebody sign in. The password is asked for twice; without a terminal it is the first line of standard input."""
    from rung.gateway.pages import hash_password

    kept, name = _people(file), named(name)
    kept.add(name, role, hash_password(_password(name)), datetime.now(UTC))
    note(kept, "person added", name, role)
    say(f"{name} may sign in as {role}")
    hint(f"pages ask to sign in from now on; next: rung people list {path_of(home_of(file))}")


@people.command("list")
def list_people(file: File, json_: Json = False) -> None:
    """Everybody who may sign in, with their role and since when."""
    found = [{"name": one.name, "role": one.role, "added": one.added.isoformat()} for one in _people(file).list()]
    if json_:
        say_json(found)
        return
    for one in found:
        say(f"{one['name']:<30} {one['role']:<9} since {one['added'][:16].replace('T', ' ')} UTC")
    if not found:
        say("nobody may sign in")
        hint(f"next: rung people add {path_of(home_of(file))} NAME --role admin")


@people.command("role")
def change_role(file: File, name: Name, role: May) -> None:
    """Let somebody do more, or less, from their next click on."""
    kept = _people(file)
    kept.change(name, role=role)
    note(kept, "role changed", name, role)
    say(f"{name} is {role} from now on")


@people.command("password")
def change_password(file: File, name: Name) -> None:
    """Give somebody another password; whoever is signed in under that name is signed out."""
    from rung.gateway.pages import hash_password

    kept = _people(file)
    kept.change(name, secret=hash_password(_password(name)))
    note(kept, "password changed", name)
    say(f"{name} has another password, and is signed out everywhere")


@people.command("remove")
def remove_person(file: File, name: Name) -> None:
    """Shut somebody out, from their next click on. What they did stays recorded."""
    kept = _people(file)
    kept.remove(name, datetime.now(UTC))
    note(kept, "person removed", name)
    say(f"{name} may not sign in any more")


def _people(file: File) -> People:
    return at_home(file)[1].people  # whatever is wrong with the file today: somebody may have to be shut out at once


def _password(name: str) -> str:
    from rung.gateway.pages.visitors import SHORTEST

    attended = sys.stdin.isatty()
    password = getpass.getpass(f"Password for {name}: ") if attended else sys.stdin.readline().rstrip("\r\n")
    if len(password) < SHORTEST:
        raise typer.BadParameter(f"has {len(password)} characters, and must have {SHORTEST} at least", param_hint="the password")
    if attended and getpass.getpass("The same again: ") != password:
        raise typer.BadParameter("was typed differently the second time; nothing was changed", param_hint="the password")
    return password
