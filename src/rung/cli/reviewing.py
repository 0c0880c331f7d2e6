"""`rung review`: what waits for a person, listed or settled one after the other."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import typer

from rung.cli.console import hint, path_of, say, say_json, visible
from rung.core import Verdict
from rung.ledger import Ledger
from rung.review import ReviewError, Waiting, settle, waiting
from rung.workload import Field, Workload

SKIP, QUIT = "/s", "/q"  # not letters alone: a label may be one


def list_waiting(ledger: Ledger, workload: Workload, limit: int, json_: bool) -> None:
    """What waits, oldest first."""
    found = waiting(ledger, workload, limit)
    if json_:
        say_json([_document(each) for each in found])
        return
    for each in found:
        say(f"{each.id}  {each.at:%Y-%m-%d %H:%M}  {each.confidence:.3f}  {' '.join(each.text.split())[:90]}")
    say(f"{ledger.count_waiting(workload.name):,} waiting")
    if found:
        hint(f"next: rung review {path_of(workload)} --settle {found[0].id} --answer JSON")


def settle_one(ledger: Ledger, workload: Workload, verdict: Verdict, json_: bool) -> None:
    """Settle one decision."""
    settled = settle(ledger, workload, verdict, datetime.now(UTC))
    if json_:
        say_json({"decision": settled.decision, "answer": dict(settled.answer), "by": settled.by, "note": settled.note})
    else:
        say(f"settled {settled.decision}: {json.dumps(dict(settled.answer), ensure_ascii=False)}")


def settle_in_turn(ledger: Ledger, workload: Workload, by: str, limit: int) -> None:
    """Show each waiting case and ask for its fields until they fit, or the case is skipped, or the person has had enough."""
    found = waiting(ledger, workload, limit)
    if found:
        say(f"For each field: Enter keeps the suggestion, - is none, {SKIP} skips the case, {QUIT} ends.")
    for each in found:
        say(f"\n{each.id}, {each.at:%Y-%m-%d %H:%M} UTC\n{each.text}\n")
        for problem in each.problems:
            say(f"  {problem.check}: {problem.message}")
        if _settle_asking(ledger, workload, each, by) == QUIT:
            break
    say(f"{ledger.count_waiting(workload.name):,} waiting")


def _settle_asking(ledger: Ledger, workload: Workload, each: Waiting, by: str) -> str | None:
    asked = [field for field in workload.fields if field.name in workload.asked]
    while True:
        answer = _ask(asked, dict(each.suggestion or {}))
        if isinstance(answer, str):
            return answer
        try:
            return settle_one(ledger, workload, Verdict(each.id, answer, by), json_=False)
        except ReviewError as error:
            say(str(error))


def _ask(fields: list[Field], suggestion: dict[str, Any]) -> dict[str, Any] | str:
    answer: dict[str, Any] = {}
    for field in fields:
        suggested = suggestion.get(field.name)
        labels = f" ({', '.join(map(_shown, field.labels))})" if field.labels else ""
        try:
            given = str(typer.prompt(f"{field.name}{labels}", default=_shown(suggested))).strip()
        except typer.Abort:  # Ctrl-C or Ctrl-D: what was settled is kept
            return QUIT
        if given in (SKIP, QUIT):
            return given
        answer[field.name] = suggested if given == _shown(suggested) else _read(given, field)
    return answer


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return visible(value) if isinstance(value, str) else json.dumps(value)


def _read(given: str, field: Field) -> Any:
    """What was typed, as the field holds it; if it is nothing the field can hold, the schema will object."""
    by_text = {_shown(label): label for label in field.labels}
    if given in by_text or given == "-":
        return by_text.get(given)
    if "string" in str(field.schema.get("type")):
        return given
    try:
        return json.loads(given)
    except ValueError:
        return given


def _document(each: Waiting) -> dict[str, Any]:
    return {
        "id": each.id,
        "at": each.at.isoformat(),
        "text": each.text,
        "suggestion": None if each.suggestion is None else dict(each.suggestion),
        "confidence": round(each.confidence, 6),
        "problems": [{"check": problem.check, "message": problem.message} for problem in each.problems],
    }
