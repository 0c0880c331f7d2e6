"""Turns a file of cases into a file of decisions, in order, resumable at any moment. Knows nothing about models."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from rung.core import Case, RungError
from rung.ledger import Ledger
from rung.release import Live

AT_ONCE = 64
MOST_NAMED = 50
_OPENING = b'{"id": "'  # how every line of the output begins


class BatchError(RungError):
    """The input is not a file of cases, or the output belongs to another one."""

    code = "batch_invalid"


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    input: str
    context: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


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
            cases.append(_case(line))
        except (ValueError, RecursionError) as error:
            mistakes.append(f"\n  line {number}: {error}")
    if mistakes:
        more = f"\n  and {len(mistakes) - MOST_NAMED} more" if len(mistakes) > MOST_NAMED else ""
        count = f"{len(mistakes)} of {len(lines)} lines are not"
        shape = '{"input": "text"}, with "context": {...} if there is one:'
        raise BatchError(f"{file}: {count} {shape}{''.join(mistakes[:MOST_NAMED])}{more}\nNothing was decided.")
    return cases


def _case(line: bytes) -> Case:
    # json.loads, not msgspec's reader: that one refuses halves of a character, which real texts do hold.
    read = msgspec.convert(json.loads(line), _Line)
    if not read.input.strip():
        raise ValueError("the text is blank")
    return Case(read.input, read.context, "batch")


def count_done(output: Path, cases: list[Case], ledger: Ledger) -> int:
    """How many cases the output already holds; a last line cut short by an interruption is removed.

    The ledger knows which text each decision answered: an output that belongs to other input is refused, not continued.
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
    for number in {1, len(lines)} if lines else ():
        if number > len(cases) or _text_of(lines[number - 1], ledger) != cases[number - 1].text:
            raise BatchError(f"{output}: line {number} does not answer line {number} of the input. Name another output.")
    if torn:
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
