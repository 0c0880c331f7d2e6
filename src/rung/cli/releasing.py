"""`rung promote`, `rung rollback` and `rung release`: what answers, what did, who said so, and what differs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rung.cli.arguments import By, File, Json, Why, user
from rung.cli.console import hint, out, path_of, say, say_json, say_table, short_fields, stage
from rung.cli.standing import at_home, home_of
from rung.cli.tightening import tighten
from rung.cli.trying import ab, canary, shadow, stop, trial
from rung.workload import Workload, load

if TYPE_CHECKING:
    from rung.ledger import Promotion

ROWS = 20  # of a table of cases
TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]

releases = typer.Typer(no_args_is_help=True, help="What is kept, what answered when, what differs, and trials.")


def promote(
    file: File,
    name: Annotated[str, typer.Argument(metavar="RELEASE", help="The release's id, or how it begins.")],
    why: Why,
    by: By = "",
    instead_of: Annotated[
        str, typer.Option(metavar="RELEASE", help="Only where this one answers until then: its id, how it begins, or nothing.")
    ] = "",
) -> None:
    """Let a release answer from now on. Running gateways follow within a second."""
    from rung.workflows import promote_gated

    workload = home_of(file)
    release, moved = promote_gated(workload, name, by or user(), why, stage, instead_of)
    say(f"{workload.name}: release {release.id[:12]} {'answers from now on' if moved else 'answers already'}")
    hint(f"next: rung report {path_of(workload)}; to undo it: rung rollback {path_of(workload)} --why ...")


def rollback(file: File, why: Why) -> None:
    """Undo the last promotion: the release before it answers again. Running gateways follow within a second."""
    from rung.release.pointer import rollback as undo

    workload, ledger = at_home(file)
    release, passed = undo(workload, ledger, user(), why)
    for reason in passed:
        say(f"passed over: {reason}")
    say(f"{workload.name}: release {release.id[:12]} answers again")
    hint(f"next: rung release history {path_of(workload)}")


@releases.command("list")
def list_kept(file: File, json_: Json = False) -> None:
    """Every release that is kept, the newest first: what it answers at which promise, and which one is in production."""
    from rung.release.pointer import list_releases

    workload, ledger = at_home(file)
    current = ledger.current_release(workload.name)
    rows = [_row(workload, each, current) for each in list_releases(workload)]
    if json_:
        say_json(rows)
        return
    columns = ("release", "", "made", "test cases>", "answered>", "error>", "at most>", "gate")
    say_table(columns, [(row["release"][:12], _mark(row), row["made"][:16], *_figures(row)) for row in rows])
    for row in rows:
        if "trouble" in row:
            say(f"\n{row['trouble']}")
    hint(f"next: rung release diff {path_of(workload)} A B, rung promote {path_of(workload)} RELEASE --why ...")


@releases.command("history")
def say_history(
    file: File,
    at: Annotated[datetime | None, typer.Option(help="Only what was in production at this time (UTC).", formats=TIMES)] = None,
    json_: Json = False,
) -> None:
    """Who put which release into production, when and why."""
    from rung.release.pointer import release_at

    workload, ledger = at_home(file)
    promotions = ledger.promotions(workload.name)
    if at is not None:
        found = release_at(promotions, at.replace(tzinfo=UTC))
        promotions = [found] if found else []
    if json_:
        say_json([_promotion(each) for each in promotions])
        return
    if not promotions:
        say(f"{workload.name}: nothing was in production" + ("" if at is None else f" at {at:%Y-%m-%d %H:%M} UTC"))
        return
    rows = [
        (
            f"{each.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            each.release[:12],
            "rolled back to" if each.back else "promoted",
            each.by or "-",
            each.why or "-",
        )
        for each in promotions
    ]
    say_table(("since (UTC)", "release", "", "by", "why"), rows)


@releases.command("diff")
def say_difference(
    file: File,
    before: Annotated[str, typer.Argument(metavar="A", help="A release's id, or how it begins, or current.")],
    after: Annotated[str, typer.Argument(metavar="B", help="Another one's.")],
    json_: Json = False,
) -> None:
    """What changed from one release to another, and which test cases they decide differently."""
    from rung.release.pointer import named_release
    from rung.workflows import compare_releases

    workload = load(file)
    found = compare_releases(workload, named_release(workload, before), named_release(workload, after), stage)
    if json_:
        say_json(found.document())
        return
    say(f"From release {found.before[:12]} to {found.after[:12]}")
    for text in found.files.values():
        say("\n" + text.rstrip())
    if found.parts:
        out.print()
        say_table(("what", "before", "after"), [(name, *map(_plain, pair)) for name, pair in found.parts.items()])
    if not (found.files or found.parts):
        say("\nNothing differs that decides a case.")
    counts = {kind: sum(flip.kind == kind for flip in found.flips) for kind in dict.fromkeys(each.kind for each in found.flips)}
    told = ", ".join(f"{kind} {count:,}" for kind, count in counts.items()) or "none"
    say(f"\nOf {found.cases:,} test cases {len(found.flips):,} are decided differently: {told}")
    rows = [
        (str(flip.line), flip.kind, " ".join(flip.text.split())[:60], *map(short_fields, flip.apart()))
        for flip in found.flips[:ROWS]
    ]
    if rows:
        say_table(("line>", "", "text", "before", "after", "agreed"), rows)
    if len(found.flips) > ROWS:
        hint(f"{len(found.flips) - ROWS:,} more with --json")


for verb in (shadow, canary, ab, trial, stop, tighten):
    releases.command()(verb)


def _row(workload: Workload, name: str, current: str | None) -> dict[str, Any]:
    from rung.release.frozen import ReleaseError, load_release, made_at

    folder = workload.state / "releases" / name
    made = made_at(folder).isoformat(timespec="seconds")
    row: dict[str, Any] = {"release": name, "current": name == current, "made": made}
    try:
        release = load_release(folder)
    except ReleaseError as error:
        return {**row, "trouble": str(error)}
    figures = {key: release.evidence.get(key) for key in ("cases", "answered", "error", "error_at_most", "promise", "parent")}
    return {**row, "gated": release.gated, **figures}


def _mark(row: dict[str, Any]) -> str:
    return "in production" if row["current"] else ""


def _figures(row: dict[str, Any]) -> list[str]:
    if "trouble" in row:
        return [*"----", "damaged"]
    cases, answered = row["cases"] or 0, row["answered"] or 0
    shares = [f"{answered / cases:.1%}" if cases else "-"]
    shares += ["-" if row[key] is None else f"{row[key]:.2%}" for key in ("error", "error_at_most")]
    return [f"{cases:,}", *shares, "passed" if row["gated"] else "not passed"]


def _promotion(promotion: Promotion) -> dict[str, Any]:
    return {
        "release": promotion.release,
        "at": promotion.at.isoformat(),
        "by": promotion.by,
        "why": promotion.why,
        "rollback": promotion.back,
    }


def _plain(value: Any) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)[:60]
