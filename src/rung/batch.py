"""Turns a file of cases into a file of decisions, in order, resumable at any moment. Knows nothing about models."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rung.core import Case, RungError
from rung.ledger import Ledger
from rung.release import Live

AT_ONCE = 64
MOST_NAMED = 50


class BatchError(RungError):
    """The input is not a file of cases, or the output belongs to another one."""

    code = "batch_invalid"


def read_cases(file: Path) -> list[Case]:
    """The cases of a JSON Lines file: `{"input": text, "context": {...}}` a line. Raises `BatchError` naming every bad line."""
    cases: list[Case] = []
    mistakes: list[str] = []
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise BatchError(f"{file}: cannot be read ({error.strerror}).") from error
    for number, line in enumerate(lines, 1):
        try:
            cases.append(_case(json.loads(line)))
        except (ValueError, TypeError, KeyError, RecursionError):
            mistakes.append(f'  line {number}: is not {{"input": "text", "context": {{...}}}} with a text that is not blank')
    if mistakes:
        more = f"\n  and {len(mistakes) - MOST_NAMED} more" if len(mistakes) > MOST_NAMED else ""
        named = "\n".join(mistakes[:MOST_NAMED])
        raise BatchError(f"{file}: {len(mistakes)} of {len(lines)} lines cannot be used\n{named}{more}\nNothing was decided.")
    return cases


def _case(raw: dict[str, Any]) -> Case:
    if set(raw) - {"input", "context"} or not raw["input"].strip():
        raise ValueError
    return Case(raw["input"], dict(raw.get("context", {})), "batch")


def count_done(output: Path, cases: list[Case], ledger: Ledger) -> int:
    """How many cases the output already holds; a last line cut short by an interruption is removed.

    The ledger knows which text each decision answered: an output that belongs to other input is refused, not continued.
    """
    if not output.exists():
        return 0
    content = output.read_bytes()
    whole = content.rfind(b"\n") + 1
    lines = content[:whole].splitlines()
    for number in {1, len(lines)} if lines else ():
        if number > len(cases) or _text_of(lines[number - 1], ledger) != cases[number - 1].text:
            raise BatchError(f"{output}: line {number} does not answer line {number} of the input. Name another output.")
    if whole < len(content):
        os.truncate(output, whole)
    return len(lines)


def _text_of(line: bytes, ledger: Ledger) -> str | None:
    try:
        record = ledger.find(json.loads(line)["id"])
    except (ValueError, TypeError, KeyError):
        return None
    return None if record is None else record.case.text


async def decide_all(live: Live, cases: list[Case], output: Path, advance: Callable[[int], None]) -> None:
    """Append each case's decision to the output, in order; every line is flushed before the next part is begun."""
    with output.open("ab") as out:
        for part in _parts(cases):
            decisions = await asyncio.gather(*map(live.decide, part))
            out.write(b"".join(json.dumps(decision.document()).encode() + b"\n" for decision in decisions))
            out.flush()
            advance(len(part))


def _parts(cases: list[Case]) -> Iterator[list[Case]]:
    for start in range(0, len(cases), AT_ONCE):
        yield cases[start : start + AT_ONCE]
