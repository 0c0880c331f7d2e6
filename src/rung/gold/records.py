"""Turns a gold file's bytes, JSONL or CSV, into records with their lines: `{"input": ..., "expected": {...}}`, not yet checked.

Knows nothing about what a record must say.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from rung.boxes import read_page
from rung.core import RungError
from rung.workload import Field

PRINTED = 50  # mistakes in an error's text; all are in `mistakes`

Mistake = tuple[int, str]


class GoldError(RungError):
    """The gold file is wrong. `mistakes` holds (line, what is wrong) for every mistake; line 0 is the file as a whole."""

    code = "gold_invalid"

    def __init__(self, file: Path, mistakes: Sequence[Mistake]) -> None:
        """Name the file and the first mistakes, a line each, and how many more there are."""
        self.mistakes = sorted(mistakes)
        lines = [f"\n  {f'line {line}' if line else 'file'}: {message}" for line, message in self.mistakes[:PRINTED]]
        if len(mistakes) > PRINTED:
            lines.append(f"\n  and {len(mistakes) - PRINTED} more, which `rung gold check` shows")
        count = f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
        super().__init__(f"{file}: {count}{''.join(lines)}\nCorrect the file and run the command again.")


def read_records(file: Path, fields: Mapping[str, Field], mistakes: list[Mistake]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each record with its line; what is no record is added to `mistakes`. Raises `GoldError` if the file cannot be read."""
    text = _decoded(file, mistakes)
    return (_csv_records if file.suffix == ".csv" else _json_records)(text, fields, mistakes)


def read_texts(file: Path) -> list[str]:
    """The texts of a file of `{"input": ...}` lines, whatever else they say, or of a `.csv` file with that one column. Raises
    `GoldError` naming every bad line."""
    mistakes: list[Mistake] = []
    texts: list[str] = []
    for line, record in read_records(file, {}, mistakes):
        given = record.get("input")
        try:
            text = read_page(cast("list[Any]", given)) if isinstance(given, list) else given
            if not isinstance(text, str) or not text.strip():
                raise ValueError("has no text")
            texts.append(text)
        except ValueError as error:
            mistakes.append((line, f"input: {error}"))
    if mistakes:
        raise GoldError(file, mistakes)
    return texts


def _decoded(file: Path, mistakes: list[Mistake]) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise GoldError(file, [(0, f"cannot be read: {error.strerror}")]) from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise GoldError(file, [(0, "is UTF-16; save it as UTF-8")])
    lines: list[str] = []
    for number, line in enumerate(data.removeprefix(codecs.BOM_UTF8).split(b"\n"), 1):
        try:
            lines.append(line.decode())
        except UnicodeDecodeError as error:
            byte = line[error.start]
            mistakes.append((number, f"is not UTF-8: byte {error.start + 1} of the line is {byte:#04x}; save the file as UTF-8"))
            lines.append(line.decode(errors="replace"))  # so that the line's other mistakes are found too
    return "\n".join(lines)


def _json_records(text: str, fields: Mapping[str, Field], mistakes: list[Mistake]) -> Iterator[tuple[int, dict[str, Any]]]:
    short = [*fields] == ["label"] and fields["label"].fill == "label"
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = _json(line)
        except (ValueError, RecursionError) as error:
            mistakes.append((number, f"is not JSON: {error}"))
            continue
        if not isinstance(record, dict):
            mistakes.append((number, 'is not an object like {"input": ..., "expected": {...}}'))
            continue
        given = cast("dict[str, Any]", record)
        if short and isinstance(given.get("expected"), str):
            given["expected"] = {"label": given["expected"]}
        yield number, given


def _json(text: str) -> Any:
    """JSON as the standard has it: no NaN, no number beyond a float, no key twice, no half of a surrogate pair."""
    value = json.loads(text, object_pairs_hook=_without_repeats)
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _csv_records(text: str, fields: Mapping[str, Field], mistakes: list[Mistake]) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(text, newline="\n"), strict=True)
    line, columns = 1, list[str]()
    try:
        for row in reader:
            if row and not columns:
                columns = row
                found = [*_column_mistakes(columns, fields)]
                mistakes += ((line, message) for message in found)
                if found:  # without its columns no row can be read
                    return
            elif row and len(row) != len(columns):
                mistakes.append((line, f"has {len(row)} cells where the first line has {len(columns)}"))
            elif row:
                cells = dict(zip(columns, row, strict=True))
                pin = {"split": cells["split"]} if cells.get("split") else {}
                expected = {name: _cell(cells[name], field) for name, field in fields.items() if name in cells}
                yield line, {"input": cells["input"], "expected": expected, **pin}
            line = reader.line_num + 1
    except csv.Error as error:
        mistakes.append((line, f"is not CSV: {error}; nothing after it was checked"))


def _column_mistakes(columns: Sequence[str], fields: Mapping[str, Field]) -> Iterator[str]:
    wanted = ["input", *(name for name, field in fields.items() if field.fill != "template")]
    for name in wanted:
        if name not in columns:
            yield f"lacks the column {name} (it has {', '.join(columns)}; columns are separated by commas)"
    for name in dict.fromkeys(columns):
        if columns.count(name) > 1:
            yield f"has the column {name} twice"
        if name in fields and name not in wanted:
            yield of_template(name)
        elif name not in [*wanted, "split"]:
            yield f"has the unknown column {name!r}"


def of_template(name: str) -> str:
    """What is said of a value that gold gives for a template field."""
    return f"{name} is filled by a template: it follows from the other fields and is not given in gold"


def _cell(cell: str, field: Field) -> Any:
    """The value a cell means to its field, or the cell itself where it means none: the schema then objects to it."""
    if field.fill == "label":
        return next((label for label in field.labels if cell in _spellings(label)), cell)
    types = cast("list[str]", kinds if isinstance(kinds := field.schema.get("type", "string"), list) else [kinds])
    if not cell and "null" in types:
        return None
    if "string" in types:
        return cell
    try:
        return _json(cell)
    except (ValueError, RecursionError):
        return cell


def _spellings(label: Any) -> tuple[str, ...]:
    if isinstance(label, str):
        return (label,)
    written = json.dumps(label)
    if isinstance(label, bool):
        return (written, written.title(), written.upper())
    return (written, "") if label is None else (written,)
