"""The verbs of the command line: arguments in, one function of the package called, its result printed."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from rung.cli.arguments import File, Host, Json, user
from rung.cli.console import err, hint, path_of, say, say_json, short, stage, visible
from rung.cli.keys import keys
from rung.cli.people import people
from rung.cli.releasing import promote, releases, rollback
from rung.cli.standing import undone
from rung.core import RungError, Verdict
from rung.workload import load

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Answer every case on the lowest rung that holds. Begin with: rung up WORKLOAD",
)
app.add_typer(keys, name="keys")
app.add_typer(people, name="people")
gold = typer.Typer(no_args_is_help=True, help="The agreed answers that everything is learnt from and judged by.")
app.add_typer(gold, name="gold")
app.add_typer(releases, name="release")

app.command()(promote)
app.command()(rollback)

Part = Literal["train", "calibration", "test"]

INTERRUPTED = 130


def main() -> None:
    """Run a verb. Ends with 0 done, 1 a gate or promise fails, 2 the input is wrong, 130 interrupted."""
    try:
        app()
    except RungError as error:
        _fail(str(error), error.exit_status)
    except OSError as error:
        where, why = error.filename or "a file", error.strerror or error
        _fail(f"{where}: cannot be read or written ({why}). Run the same command again once it can.", 2)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            hint("interrupted; run the same command again to go on")
        raise


def _fail(text: str, status: int) -> None:
    err.print(visible(f"rung: {text}"), style="red", markup=False)
    sys.exit(status)


@app.command()
def up(
    file: File,
    host: Host = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(help="The port to serve on, 0 for a free one.", show_default="8080, without a terminal a free one"),
    ] = None,
) -> None:
    """Check the file, train what is missing, gate it, and serve. Without a terminal: play the samples and end."""
    from rung.cli.samples import read_samples
    from rung.cli.serving import up as run

    attended = sys.stdin.isatty() and sys.stdout.isatty()
    workload = load(file)
    samples = None if attended else read_samples(workload)
    run(workload, host, (8080 if attended else 0) if port is None else port, samples, user())


@app.command()
def serve(
    file: File,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to serve on, 0 for a free one.")] = 8080,
) -> None:
    """Serve the current release until Ctrl-C or SIGTERM; nothing is trained."""
    from rung.cli.serving import serve as run

    run(load(file), host, port)


@app.command()
def check(file: File, json_: Json = False) -> None:
    """Check the workload file and its gold; every mistake is reported at once."""
    from rung.cascade.checks import open_checks
    from rung.gold import near_duplicate_share, read_gold

    workload = load(file)
    open_checks(workload)
    agreed = read_gold(workload)
    share = near_duplicate_share([example.case.text for example in agreed.examples])
    document = {"workload": workload.name, "gold": len(agreed.examples), "near_duplicates": share, "warnings": agreed.warnings}
    if json_:
        say_json(document)
        return
    say(f"{workload.name}: the file is right, {len(agreed.examples):,} gold cases, {share:.2%} near-duplicates")
    for warning in agreed.warnings:
        say(f"  {warning}")
    hint(f"next: rung up {path_of(workload)}, or rung gold check {path_of(workload)} for a long look at the gold")


@app.command()
def train(
    file: File,
    ladder: Annotated[
        bool,
        typer.Option("--ladder", help="Train and measure every size of specialist instead, and name the smallest that holds."),
    ] = False,
    parent: Annotated[
        str | None, typer.Option("--from", metavar="RELEASE", help="Go on from a release's encoders: its id, or current.")
    ] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Do not promote it: rung promote does, later.")] = False,
    json_: Json = False,
) -> None:
    """Train, calibrate, evaluate and gate; freeze a release and promote it. What was done before is reused."""
    from rung.release.pointer import ledger_of, left_behind, named_release
    from rung.workflows import train as run

    if ladder and parent:
        raise typer.BadParameter("goes without --from: every rung is trained from all gold", param_hint="--ladder")
    workload = load(file)
    if ladder:
        from rung.cli.climbing import show_ladder

        show_ladder(workload, json_)
        return
    origin = named_release(workload, parent) if parent else None
    release = run(workload, stage, parent=origin, by=user(), hold=hold)
    ledger = ledger_of(workload)
    answers = ledger.current_release(workload.name) == release.id
    if json_:
        say_json({"release": release.id, "folder": str(release.folder), "promoted": answers, "evidence": release.evidence})
        return
    say(release.report)
    say(f"Release {release.id[:12]} in {release.folder}" + ("" if answers else ", not promoted: another one answers, or none"))
    if left := left_behind(workload, release, ledger):
        say(f"Note: {undone(release, left)}")
    if answers:
        hint(f"next: rung serve {path_of(workload)}, or rung decide {path_of(workload)} TEXT")
    else:
        hint(f"next: rung promote {path_of(workload)} {release.id[:12]} --why ...")


@app.command()
def evaluate(
    file: File,
    release: Annotated[
        str, typer.Option(metavar="RELEASE[:TIER]", help="Its id, or how it begins; with a tier, that tier alone.")
    ] = "current",
    split: Annotated[Part, typer.Option(help="Which part of the gold.")] = "test",
    load_: Annotated[
        bool,
        typer.Option(
            "--load", help="Also measure times and energy under the workload's arrivals, and ask limits.p99; costs tokens."
        ),
    ] = False,
    page: Annotated[list[Path] | None, typer.Option(help="Write the whole report there too: .html or .md.")] = None,
    json_: Json = False,
) -> None:
    """Judge a release again, from its own files, on cases that it was not made from, and put it through the gate."""
    from rung.cli.evaluating import evaluate_named

    evaluate_named(load(file), release, split, _pages(page, "--page"), timed=load_, json=json_)


@app.command()
def bakeoff(
    file: File,
    memo: Annotated[list[Path] | None, typer.Option(help="Write the selection memo there: .html or .md.")] = None,
    json_: Json = False,
) -> None:
    """Try every candidate on the same test cases within the budget, and say which to take and why. What was done is reused."""
    from rung.cli.baking import show_bakeoff

    show_bakeoff(load(file), _pages(memo, "--memo"), json_)


@app.command()
def decide(
    file: File,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The text, or - to read it from standard input.")],
    json_: Json = False,
) -> None:
    """Decide one case and record it."""
    from rung.embedded import Embedded

    text = sys.stdin.read() if text == "-" else text
    if not text.strip():
        raise typer.BadParameter("there is no text to decide", param_hint="TEXT")
    workload = load(file)
    with Embedded(workload, follow=False) as rung:
        decision = rung.decide(text, asked_by=user())
    if json_:
        say_json(decision.document())
        return
    say(f"{decision.outcome}: {short(decision.document())}")
    say(f"  by {decision.tier}, confidence {decision.confidence:.3f}, {decision.seconds * 1000:.1f} ms, decision {decision.id}")
    for problem in decision.problems:
        say(f"  {problem.check}: {problem.message}")
    if decision.answer is None:
        hint(f"next: rung review {path_of(workload)}")


@app.command()
def run(
    file: File,
    input_: Annotated[Path, typer.Option("--input", help='Cases as JSON Lines: {"input": "..."}.')],
    output: Annotated[Path, typer.Option("--output", help="Decisions as JSON Lines, in the order of the input.")],
) -> None:
    """Decide a file of cases. Run it again after an interruption: it goes on where it was."""
    from rung.batch import count_done, decide_all, read_cases
    from rung.embedded import Embedded

    workload = load(file)
    cases = read_cases(input_)
    with Embedded(workload, follow=False) as rung:
        done = count_done(output, cases, rung.live)
        with stage("deciding", len(cases)) as advance:
            advance(done)
            rung.run(decide_all(rung.live, cases[done:], output, advance))
    say(f"{len(cases):,} decisions in {output}" + (f", {done:,} of them from before" if done else ""))
    hint(f"next: rung report {path_of(workload)}")


@app.command()
def review(
    file: File,
    settle: Annotated[str | None, typer.Option(metavar="ID", help="The decision to settle.")] = None,
    answer: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="With --settle: the right answer; fields left out are taken from the suggestion."),
    ] = None,
    note: Annotated[str, typer.Option(help="Why, kept with the verdict.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many cases at most.")] = 50,
    json_: Json = False,
) -> None:
    """List what waits for a person; settle one by --settle ID --answer JSON, or one after the other in a terminal."""
    from rung.cli.reviewing import list_waiting, settle_in_turn, settle_one
    from rung.release.pointer import ledger_of

    if settle is None and (answer is not None or note):
        raise typer.BadParameter("needs --settle: which decision is it about?", param_hint="--answer" if answer else "--note")
    fields = _fields(answer)
    workload = load(file)
    ledger = ledger_of(workload)
    if settle is not None:
        settle_one(ledger, workload, Verdict(settle, fields, user(), note), json_)
    elif json_ or not sys.stdin.isatty():
        list_waiting(ledger, workload, user(), limit, json_)
    else:
        settle_in_turn(ledger, workload, user(), limit)


def _pages(paths: list[Path] | None, option: str) -> list[Path]:
    """The files to write, each of a kind and in a folder that can be: said before anything takes long."""
    for each in paths or []:
        if each.suffix not in (".html", ".md"):
            raise typer.BadParameter(f"{each} ends in neither .html nor .md", param_hint=option)
        if not each.parent.is_dir():
            raise typer.BadParameter(f"{each.parent} is no folder: make it first", param_hint=option)
    return paths or []


def _fields(answer: str | None) -> dict[str, Any]:
    try:
        fields = json.loads(answer or "{}")
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"is not JSON: {error}", param_hint="--answer") from error
    if not isinstance(fields, dict):
        raise typer.BadParameter('must be a JSON object such as {"intent": "other"}', param_hint="--answer")
    return fields  # pyright: ignore[reportUnknownVariableType]  # a JSON object's keys are text


@app.command()
def report(
    file: File,
    days: Annotated[float | None, typer.Option(min=0, max=36_500, help="Only the last so many days.")] = None,
    json_: Json = False,
) -> None:
    """What was decided by whom, how often wrongly as far as people settled it, how fast, and what it cost."""
    from datetime import timedelta

    from rung.monitor import report as make
    from rung.release.pointer import ledger_of

    workload = load(file)
    since = None if days is None else datetime.now(UTC) - timedelta(days=days)
    made = make(ledger_of(workload), workload, since)
    if json_:
        say_json(made.document())
    else:
        say(made.text())


@gold.command("check")
def check_gold(file: File, json_: Json = False) -> None:
    """Look long at the gold: balance, slices, near-duplicates, leaks, likely label errors, odd lengths, personal data.

    Findings are advice, each with its lines; nothing is changed. `rung check` is the quick look.
    """
    from rung.cli.curating import check_gold as run

    run(load(file), json_)


@gold.command()
def candidates(
    file: File,
    output: Annotated[Path, typer.Option(help="Lines that may become gold, as JSON Lines; written anew.")],
    json_: Json = False,
) -> None:
    """Write what people settled, and what is not in gold yet, as lines that may become gold, each with where it comes from."""
    from rung.cli.reviewing import write_candidates
    from rung.release.pointer import ledger_of

    workload = load(file)
    write_candidates(ledger_of(workload), workload, output, json_)


@gold.command()
def agreement(file: File, json_: Json = False) -> None:
    """How far people agree, field by field, on the cases that two of them settled without knowing of each other."""
    from rung.cli.reviewing import show_agreement
    from rung.release.pointer import ledger_of

    workload = load(file)
    show_agreement(ledger_of(workload), workload, json_)
