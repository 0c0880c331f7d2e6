"""`rung release shadow`, `canary`, `ab`, `trial` and `stop`: a release tried beside the one that answers."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rung.cli.arguments import File, Json, Why, user
from rung.cli.console import hint, path_of, say, say_json, say_table, short_fields
from rung.cli.standing import at_home
from rung.workload import EndpointTier, Price, Workload, load

Name = Annotated[str, typer.Argument(metavar="RELEASE", help="The challenger: a release's id, or how it begins.")]
Share = Annotated[str, typer.Option(metavar="SHARE", help="Of the cases, such as 5% or 0.05.")]
Unit = Annotated[
    str, typer.Option(metavar="NAME", help="What is always drawn alike: user (no model is told), or an attribute of context.")
]


def shadow(file: File, name: Name, why: Why, share: Share = "100%") -> None:
    """Let a release decide what the live one answers, unseen, and compare. Running gateways begin within a second."""
    from rung.release.trial import Terms

    _start(file, name, Terms("shadow", _share(share)), why)


def canary(file: File, name: Name, why: Why, share: Share = "5%", unit: Unit = "") -> None:
    """Let a release answer a share of the cases, until it proves worse than the live one by more than the margins."""
    from rung.release.trial import Terms

    _start(file, name, Terms("canary", _share(share), unit), why)


def ab(file: File, name: Name, why: Why, share: Share = "50%", unit: Unit = "") -> None:
    """Let two releases answer, until the challenger proves worse by the file's `success`, or by more than a canary's margins."""
    from rung.release.trial import Terms

    _start(file, name, Terms("ab", _share(share), unit), why)


def trial(file: File, json_: Json = False) -> None:
    """The trial that runs, or the last one: both arms, what is proven about the difference, and what was decided."""
    from rung.release.frozen import load_workload
    from rung.release.pointer import named_release
    from rung.release.trial_report import report_trial

    workload, ledger = at_home(file)
    found = ledger.trial(workload.name)
    frozen = load_workload(named_release(workload, found.against)) if found and "hallucinated" in found.margins else None
    document = report_trial(ledger, found, frozen) if found else None
    if json_:
        say_json(document)
        return
    if document is None:
        say(f"{workload.name}: no release was tried yet")
        hint(f"next: rung release shadow {path_of(workload)} RELEASE --why ...")
        return
    _say_trial(document)
    hint(f"next: {_next(workload, document)}")


def stop(file: File, why: Why) -> None:
    """End the trial that runs: the live release answers alone within a second."""
    from rung.release.trial import stop_trial

    workload, ledger = at_home(file)
    ended = stop_trial(workload, ledger, user(), why)
    say(f"{workload.name}: release {ended.release[:12]} is no longer tried; {ended.against[:12]} answers alone")
    hint(f"next: rung release trial {path_of(workload)}")


def _start(file: File, name: str, terms: Any, why: str) -> None:
    from rung.release.frozen import load_workload
    from rung.release.pointer import ledger_of, named_release
    from rung.release.trial import start_trial

    workload = load(file)
    ledger, release = ledger_of(workload), named_release(workload, name)
    begun = start_trial(workload, release, ledger, terms, user(), why)
    what = {"shadow": "decides unseen", "canary": "answers", "ab": "answers"}[begun.kind]
    say(f"{workload.name}: release {begun.release[:12]} {what} {_drawn(begun.share, begun.unit)} beside {begun.against[:12]}")
    priced = [
        tier.name for tier in load_workload(release).tiers if isinstance(tier, EndpointTier) and tier.endpoint.price != Price()
    ]
    if begun.kind == "shadow" and priced:
        hint(f"what it asks {', '.join(priced)} is paid for on top, without a limit: --share asks less")
    hint(f"next: rung release trial {path_of(workload)}; to end it: rung release stop {path_of(workload)} --why ...")


def _share(text: str) -> float:
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError as error:
        raise typer.BadParameter("must be a share such as 5% or 0.05", param_hint="--share") from error


def _drawn(share: float, unit: str) -> str:
    return f"{100 * share:g}% of the cases" + (f" by {unit}" if unit else "")


def _say_trial(document: dict[str, Any]) -> None:
    kind = {"shadow": "shadow", "canary": "canary", "ab": "A/B"}[document["kind"]]
    say(f"{document['workload']}: {kind} of release {document['release'][:12]} beside {document['against'][:12]}")
    since = f"{document['at'][:19].replace('T', ' ')} UTC"
    say(f"  {_drawn(document['share'], document['unit'])}, since {since}, by {document['by']}: {document['why'] or '-'}")
    if end := document["ended"]:
        say(f"  until {end['at'][:19].replace('T', ' ')} UTC, by {end['by']}: {end['result']}")
    arms = [document["arms"][arm] for arm in ("live", "challenger")]
    costs = ["-" if (cost := arm["cost_usd_per_case"]) is None else f"${cost:.6f}" for arm in arms]
    rows = [["cases", *(f"{arm['cases']:,}" for arm in arms)], ["cost per case", *costs, "", _over(document["cost"])]]
    say_table(("", "live>", "challenger>", "difference>", ""), [*rows, *map(_row, document["measures"])])
    if counting := document["counting"]:
        say(counting)
    if agreement := document.get("agreement"):
        _say_agreement(agreement, document["differing"])
    if decision := document["decision"]:
        answered = next(each for each in document["measures"] if each["name"] == "answered")
        shares = ["-" if (share := answered[arm]["share"]) is None else f"{share:.1%}" for arm in ("challenger", "live")]
        told = "it answers {} of the cases without a person, the live release {}".format(*shares)
        say(f"by {document['metric']} the challenger is: {decision}; {told}")
    say(f"({document['error_control']})")


def _row(measure: dict[str, Any]) -> list[str]:
    arms = [measure[arm] for arm in ("live", "challenger")]
    shares = ["-" if arm["share"] is None else f"{arm['share']:.2%} of {arm['of']:,}" for arm in arms]
    low, high = 100 * measure["difference_at_least"], 100 * measure["difference_at_most"]
    margin = measure.get("margin")
    told = "" if margin is None else f"{'over' if measure['exceeded'] else 'not proven over'} the margin of {100 * margin:g}"
    between = f"{low:+.1f} to {high:+.1f} points" if low <= high else "it has moved"
    between = between if all(arm["of"] for arm in arms) else "-"
    return [measure["what"], *shares, between, told]


def _over(cost: dict[str, Any] | None) -> str:
    """What is proven about the challenger's mean cost."""
    proven = cost and ("over" if cost["exceeded"] else "not proven over")
    return f"{proven} the limit of ${cost['limit_usd_per_case']:g}" if cost else ""


def _say_agreement(agreement: dict[str, Any], differing: list[dict[str, Any]]) -> None:
    drawn, both, alike = (agreement[name] for name in ("drawn", "of", "alike"))
    say(f"of {drawn:,} cases the challenger has decided {both:,}, {alike:,} of them like the live release")
    if both:
        low, high = agreement["share_at_least"], agreement["share_at_most"]
        say(f"that is {alike / both:.1%}, and between {low:.1%} and {high:.1%} of all such cases")
    rows = [(" ".join(each["text"].split())[:60], _said(each["live"]), _said(each["challenger"])) for each in differing]
    if rows:
        say_table(("text", "live", "challenger"), rows)


def _said(answer: dict[str, Any] | None) -> str:
    """In a list of what differs, that there is no value is said too."""
    return short_fields(answer and {name: "-" if value is None else value for name, value in answer.items()})


def _next(workload: Workload, document: dict[str, Any]) -> str:
    if document["ended"]:
        return f"rung release history {path_of(workload)}"
    promote = f"rung promote {path_of(workload)} {document['release'][:12]} --why ..."
    return f"{promote}, or rung release stop {path_of(workload)} --why ..."
