"""`rung review`: what waits for a person, listed or settled one after the other."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import typer

from rung.cli.console import hint, say, say_json
from rung.core import Verdict
from rung.ledger import Ledger
from rung.review import ReviewError, Waiting, settle, waiting
from rung.workload import Field, Workload


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
        hint(f"next: rung review {workload.folder} --settle {found[0].id} --answer JSON")


def settle_one(ledger: Ledger, workload: Workload, verdict: Verdict, json_: bool) -> None:
    """Settle one decision."""
    settled = settle(ledger, workload, verdict, datetime.now(UTC))
    if json_:
        say_json({"decision": settled.decision, "answer": dict(settled.answer), "by": settled.by, "note": settled.note})
    else:
        say(f"settled {settled.decision}: {json.dumps(dict(settled.answer), ensure_ascii=False)}")


def settle_in_turn(ledger: Ledger, workload: Workload, by: str) -> None:
    """Show each waiting case and ask for its fields; Enter keeps the suggestion, `s` skips the case, `q` ends."""
    asked = [field for field in workload.fields if field.name in workload.asked]
    for each in waiting(ledger, workload):
        say(f"\n{each.id}, {each.at:%Y-%m-%d %H:%M} UTC\n{each.text}\n")
        for problem in each.problems:
            say(f"  {problem.check}: {problem.message}")
        answer = _ask(asked, dict(each.suggestion or {}))
        if answer == "q":
            break
        if not isinstance(answer, dict):
            continue
        try:
            settle_one(ledger, workload, Verdict(each.id, answer, by), json_=False)
        except ReviewError as error:
            say(str(error))
    say(f"{ledger.count_waiting(workload.name):,} waiting")


def _ask(fields: list[Field], suggestion: dict[str, Any]) -> dict[str, Any] | str:
    answer: dict[str, Any] = {}
    for field in fields:
        suggested = suggestion.get(field.name)
        labels = f" ({', '.join(map(str, field.labels))})" if field.labels else " (- for none)"
        given = typer.prompt(f"{field.name}{labels}, s to skip, q to end", default=_shown(suggested)).strip()
        if given in ("s", "q"):
            return given
        answer[field.name] = suggested if given == _shown(suggested) else _parsed(given, field)
    return answer


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)


def _parsed(given: str, field: Field) -> Any:
    if given == "-":
        return None
    by_text = {str(label): label for label in field.labels}
    if given in by_text:
        return by_text[given]
    try:
        return (
            json.loads(given)
            if "number" in str(field.schema.get("type")) or "integer" in str(field.schema.get("type"))
            else given
        )
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
