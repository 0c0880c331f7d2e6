"""`rung review`, `rung gold candidates | agreement`: what people are to look at, settled case by case, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import typer

from rung.cli.console import hint, path_of, say, say_json, visible
from rung.core import Verdict
from rung.ledger import Ledger, Review, ReviewTaken
from rung.review import (
    Question,
    ReviewError,
    agreement,
    best_attempt,
    gold_lines,
    open_questions,
    question,
    settle,
    settle_review,
)
from rung.statistics.agreement import Agreement
from rung.workload import Field, Workload

SKIP, QUIT = "/s", "/q"  # not letters alone: a label may be one


def list_waiting(ledger: Ledger, workload: Workload, by: str, limit: int, json_: bool) -> None:
    """What this person may settle, the longest waiting first, and who has it."""
    found, ask = ledger.queue.list(workload.name, by, limit), open_questions(workload)
    if json_:
        say_json([_document(review, ask(review)) for review in found])
        return
    for review in found:
        case, held = review.record.case, f"  {holder} has it" if (holder := _holder(review)) else ""
        confidence = best_attempt(review.record.decision).confidence
        say(f"{case.id}  {review.at:%Y-%m-%d %H:%M}  {confidence:.3f}  {' '.join(case.text.split())[:90]}{held}")
    say(_count(ledger, workload, by))
    if found:
        hint(f"next: rung review {path_of(workload)} --settle {found[0].record.case.id} --answer JSON")


def settle_one(ledger: Ledger, workload: Workload, verdict: Verdict, json_: bool) -> None:
    """Settle one decision: from the queue, if it is in there."""
    now, review = datetime.now(UTC), ledger.queue.open_on(verdict.decision, verdict.by)
    if review is None:
        settled = settle(ledger, workload, verdict, now)
    else:
        settled = settle_review(ledger, workload, review, verdict, now, None)
    if json_:
        say_json({"decision": settled.decision, "answer": dict(settled.answer), "by": settled.by, "note": settled.note})
    else:
        _say_settled(settled)


def settle_in_turn(ledger: Ledger, workload: Workload, by: str, limit: int) -> None:
    """Show each waiting case and ask for its fields until they fit, or the case is skipped, or the person has had enough."""
    found = ledger.queue.list(workload.name, by, limit)
    if found:
        say(f"For each field: Enter keeps the suggestion, - is none, {SKIP} skips the case, {QUIT} ends.")
    for each in found:
        now = datetime.now(UTC)
        try:
            review = ledger.queue.hold(each.seq, by, now, now + workload.review.lease)
            said = _settle_asking(ledger, workload, review, by)
        except ReviewTaken as error:
            say(str(error))
            continue
        ledger.queue.release(each.seq, by)
        if said == QUIT:
            break
    say(_count(ledger, workload, by))


def show_agreement(ledger: Ledger, workload: Workload, json_: bool) -> None:
    """How far those agree who settled the same cases without knowing of each other."""
    found = agreement(ledger, workload)
    if json_:
        say_json({"confidence": 0.95, "fields": {name: _agreed(one) for name, one in found.items()}})
        return
    for name, one in found.items():
        known = "" if one.kappa is None else f", kappa {one.kappa:.2f}, with 95 % confidence in [{one.low:.2f}, {one.high:.2f}]"
        say(f"{name}: {one.agreed:,} of {one.n:,} cases settled alike by two{known}")
    if not any(one.n for one in found.values()):
        hint(f"nobody looked at a settled case again yet; {workload.review.second:.0%} of them are offered to somebody else")


def write_candidates(ledger: Ledger, workload: Workload, file: Path, json_: bool) -> None:
    """Write what was settled, and is not in gold yet, as lines of gold."""
    from rung.gold import read_gold
    from rung.gold.similarity import fold

    if file.resolve() == workload.gold.resolve():
        raise typer.BadParameter(f"{file} is the gold itself, which is not written over: name another.", param_hint="--output")
    known = {fold(example.case.text) for example in read_gold(workload).examples}
    settled = [*gold_lines(ledger, workload)]
    fresh = [line for line in settled if fold(line["input"]) not in known]
    lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in fresh)
    file.write_bytes(lines.encode("utf-8", "replace"))  # a text may hold half a surrogate pair, gold must not
    if json_:
        say_json({"output": str(file), "settled": len(settled), "written": len(fresh)})
    else:
        say(f"{len(fresh):,} of {len(settled):,} settled cases in {file}; the others are in gold already")
    hint(f"next: read {file}, add what is right to {workload.gold.name}, then rung gold check {path_of(workload)}")


def _settle_asking(ledger: Ledger, workload: Workload, review: Review, by: str) -> str | None:
    shown, began = question(workload, review), monotonic()
    say(f"\n{shown.decision}, {shown.waiting_since:%Y-%m-%d %H:%M} UTC\n{shown.text}\n")
    for each in shown.tries:
        said = [each.error] if each.error else [problem.message for problem in each.problems]
        say(f"  {each.tier}, {each.confidence:.3f}" + "".join(f"; {one}" for one in said))
    asked = [field for field in workload.fields if field.name in workload.asked]
    while True:
        answer = _ask(asked, {**(shown.suggestion or {}), **(shown.draft or {})})
        if isinstance(answer, str):
            return answer
        try:
            verdict = Verdict(shown.decision, answer, by)
            _say_settled(settle_review(ledger, workload, review, verdict, datetime.now(UTC), monotonic() - began))
            return None
        except ReviewError as error:
            say(str(error))


def _ask(fields: list[Field], suggestion: Mapping[str, Any]) -> dict[str, Any] | str:
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


def _agreed(one: Agreement) -> dict[str, Any]:
    return {"n": one.n, "agreed": one.agreed, "kappa": one.kappa, "interval": [one.low, one.high]}


def _say_settled(settled: Verdict) -> None:
    say(f"settled {settled.decision}: {json.dumps(dict(settled.answer), ensure_ascii=False)}")


def _count(ledger: Ledger, workload: Workload, by: str) -> str:
    return f"{sum(ledger.queue.count(workload.name, by).values()):,} waiting"


def _holder(review: Review) -> str | None:
    return review.holder if review.until and review.until >= datetime.now(UTC) else None


def _document(review: Review, shown: Question) -> dict[str, Any]:
    problems = best_attempt(review.record.decision).problems
    return {
        "id": shown.decision,
        "review": shown.review,
        "at": shown.waiting_since.isoformat(),
        "text": shown.text,
        "suggestion": None if shown.suggestion is None else dict(shown.suggestion),
        "confidence": round(shown.confidence, 6),
        "problems": [{"check": problem.check, "message": problem.message} for problem in problems],
        "held_by": _holder(review),
    }
