"""Turns a file of cases into a file of decisions, in order, resumable at any moment. Knows nothing about models."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from rung.boxes import read_page
from rung.core import Case, RungError
from rung.ledger import Record
from rung.release.live import Live

AT_ONCE = 64
MOST_NAMED = 50
LOOKED_UP = 500  # decisions at once
_OPENING = b'{"id": "'  # how every line of the output begins


class BatchError(RungError):
    """The input is not a file of cases, or the output belongs to another one."""

    code = "batch_invalid"


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    input: str | list[Any]  # a text, or the lines of a scanned page
    context: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


def read_cases(file: Path) -> list[Case]:
    """The cases of a JSON Lines file: `{"input": ..., "context": {...}}` a line, the input a text or a scanned page's lines.

    Raises `BatchError` naming every bad line.
    """
    cases: list[Case] = []
    mistakes: list[str] = []
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise BatchError(f"{file}: cannot be read ({error.strerror}).") from error
    for number, line in enumerate(lines, 1):
        try:
            cases.append(_case(line))
        except (ValueError, RecursionError) as error:
            mistakes.append(f"\n  line {number}: {error}")
    if mistakes:
        more = f"\n  and {len(mistakes) - MOST_NAMED} more" if len(mistakes) > MOST_NAMED else ""
        count = f"{len(mistakes)} of {len(lines)} lines are not"
        shape = '{"input": "text"} or {"input": [{"text": ..., "box": [...]}, ...]}, with "context": {...} if there is one:'
        raise BatchError(f"{file}: {count} {shape}{''.join(mistakes[:MOST_NAMED])}{more}\nNothing was decided.")
    return cases


def _case(line: bytes) -> Case:
    # json.loads, not msgspec's reader: that one refuses halves of a character, which real texts do hold.
    read = msgspec.convert(json.loads(line), _Line)
    text = read.input if isinstance(read.input, str) else read_page(read.input)
    if not text.strip():
        raise ValueError("the text is blank")
    return Case(text, read.context, "batch")


def count_done(output: Path, cases: list[Case], live: Live) -> int:
    """How many cases the output already holds; a last line cut short by an interruption is removed.

    The ledger knows what each decision answered: an output that is not this release's answer to this input, line by line, is
    refused, not continued.
    """
    if not output.exists():
        return 0
    if not output.is_file():  # what went to a device or a pipe cannot be read again, so it could not be resumed
        raise BatchError(f"{output}: is not a plain file. Name another output.")
    content = output.read_bytes()
    whole = content.rfind(b"\n") + 1
    lines, torn = content[:whole].splitlines(), content[whole:]
    if torn[: len(_OPENING)] != _OPENING[: len(torn)]:
        raise BatchError(f"{output}: is not a file of decisions. Name another output.")
    if len(lines) > len(cases):
        raise BatchError(f"{output}: line {len(cases) + 1} answers nothing: the input ends before it. Name another output.")
    for start in range(0, len(lines), LOOKED_UP):
        ids = [_id_of(line) for line in lines[start : start + LOOKED_UP]]
        records = live.ledger.find_all(ids)
        for number, decision in enumerate(ids, start + 1):
            if objection := _objection(records.get(decision), cases[number - 1], live):
                raise BatchError(f"{output}: line {number} {objection}.")
    if torn:
        os.truncate(output, whole)
    return len(lines)


def _id_of(line: bytes) -> str:
    try:
        return str(json.loads(line)["id"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""


def _objection(record: Record | None, case: Case, live: Live) -> str | None:
    """Why this is not the release's decision on the case."""
    if record is None or record.workload != live.workload.name:
        return f"is no decision of {live.workload.name} in this ledger. Name another output"
    if _asked(record.case) != _asked(case):
        return "does not answer the same line of the input. Name another output"
    if record.decision.release != live.release:
        was, now = record.decision.release[:12], live.release[:12]
        return f"was decided by release {was}; now {now} answers: name another output or serve {was} again"
    return None


def _asked(case: Case) -> tuple[str, str]:
    return case.text, json.dumps(dict(case.context))  # as JSON, where not-a-number is like itself


async def decide_all(live: Live, cases: list[Case], output: Path, advance: Callable[[int], None]) -> None:
    """Append each case's decision to the output, in order; a part is on disk before the next is begun."""
    with output.open("ab") as out:
        for part in _parts(cases):
            decisions = await asyncio.gather(*map(live.decide, part))
            out.write(b"".join(json.dumps(decision.document()).encode() + b"\n" for decision in decisions))
            out.flush()
            os.fsync(out.fileno())
            advance(len(part))


def _parts(cases: list[Case]) -> Iterator[list[Case]]:
    for start in range(0, len(cases), AT_ONCE):
        yield cases[start : start + AT_ONCE]
