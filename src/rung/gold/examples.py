"""Turns the workload's gold file, JSONL or CSV, into checked examples, or into every mistake in it with its line.

Knows nothing about models or splits. No line is dropped or repaired: what cannot be used is named, and the file is refused.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, cast

import jsonschema_rs

from rung.core import Case, RungError, same
from rung.gold.similarity import fold
from rung.workload import Field, Workload, WorkloadError

LONGEST = 100_000  # characters in a text
PRINTED = 50  # mistakes in an error's text; all are in `mistakes`
FEW = 100  # examples below which the file draws a warning

Mistake = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Example:
    """A case and its agreed answer, without template fields. `pinned` is the part of the split that the file asks for."""

    line: int
    case: Case
    expected: Mapping[str, Any]
    pinned: Literal["train", "test"] | None = None


@dataclass(frozen=True, slots=True)
class Gold:
    """The examples in the file's order. `label_fields` are the workload's, in its order.

    `digest` is the SHA-256 of what they say, whatever their order and format.
    """

    examples: tuple[Example, ...]
    label_fields: tuple[str, ...]
    digest: str
    warnings: tuple[str, ...]


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


def read_gold(workload: Workload) -> Gold:
    """Read and check the workload's gold file.

    Raises `GoldError` with every mistake, and `WorkloadError` if the answer schema itself cannot be used.
    """
    fields = {field.name: field for field in workload.fields}
    filled = {name: field for name, field in fields.items() if field.fill != "template"}
    validator = _validator(workload, filled)
    mistakes: list[Mistake] = []
    text = _decoded(workload.gold, mistakes)
    records = _csv_records if workload.gold.suffix == ".csv" else _json_records
    examples: list[Example] = []
    labelled: list[Example] = []  # whose labels are right, whatever else is wrong with them: counting labels needs no more
    for line, record in records(text, fields, mistakes):
        found = [*_shape_mistakes(record)]
        if not found:
            example = _example(line, record, filled)
            wrong = [*_label_mistakes(example.expected, filled)]
            found = [*_key_mistakes(example.expected, fields), *wrong, *_schema_mistakes(example.expected, validator, filled)]
            labelled += [] if wrong else [example]
            examples += [] if found else [example]
        mistakes += ((line, message) for message in found)
    labels = [field for field in filled.values() if field.fill == "label"]
    mistakes += _count_mistakes(labelled, labels)
    same = _same_texts(examples)
    mistakes += _contradictions(same, filled)
    if not examples and not mistakes:
        mistakes.append((0, "holds no example"))
    if mistakes:
        raise GoldError(workload.gold, mistakes)
    label_fields = tuple(field.name for field in labels)
    return Gold(tuple(examples), label_fields, _digest(examples), tuple(_warnings(examples, labels, same)))


# From bytes to records: {"input": ..., "expected": {...}, "context": {...}, "split": ...} with its line, not yet checked.


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
            yield _of_template(name)
        elif name not in [*wanted, "split"]:
            yield f"has the unknown column {name!r}"


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


# From records to examples, with the mistakes of one line.


def _shape_mistakes(record: Mapping[str, Any]) -> Iterator[str]:
    text, pin = record.get("input"), record.get("split", "train")
    if "input" not in record:
        yield "input is missing"
    elif not isinstance(text, str):
        yield "input is not a text"
    elif not text.strip():
        yield "input is empty" if not text else "input is blank"
    elif len(text) > LONGEST:
        yield f"input has {len(text):,} characters; at most {LONGEST:,} are allowed"
    if "expected" not in record:
        yield "expected is missing"
    elif not isinstance(record["expected"], dict):
        yield "expected is not an object with the answer's fields"
    if not isinstance(record.get("context", {}), dict):
        yield "context is not an object"
    if pin not in ("train", "test"):
        yield f"split is {_shown(pin)}, neither train nor test"
    for name in record.keys() - {"input", "expected", "context", "split"}:
        yield f"{name!r} is unknown: a line has input, expected, and if need be context and split"


def _example(line: int, record: Mapping[str, Any], fields: Mapping[str, Field]) -> Example:
    """The values as the workload writes them: JSON Schema takes 2.0 for 2, and so a label or a number may come as either."""
    expected = {name: _plain(value) for name, value in record["expected"].items()}
    in_order = {name: expected.pop(name) for name in fields if name in expected}
    return Example(line, Case(record["input"], record.get("context", {})), in_order | expected, record.get("split"))


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _key_mistakes(expected: Mapping[str, Any], fields: Mapping[str, Field]) -> Iterator[str]:
    for name, field in fields.items():
        if field.fill == "template" and name in expected:
            yield _of_template(name)
        elif field.fill == "copy" and name not in expected:
            nothing = " (null where the text has none)" if "null" in field.schema.get("type", ()) else ""
            yield f"{name} is missing from expected{nothing}"
    for name in expected.keys() - fields.keys():
        yield f"{name!r} in expected is not a field of the answer"


def _of_template(name: str) -> str:
    return f"{name} is filled by a template: it follows from the other fields and is not given in gold"


def _label_mistakes(expected: Mapping[str, Any], fields: Mapping[str, Field]) -> Iterator[str]:
    for name, field in fields.items():
        if field.fill != "label":
            continue
        if name not in expected:
            yield f"{name} is missing from expected"
        elif not any(same(expected[name], label) for label in field.labels):
            near = get_close_matches(str(expected[name]), [label for label in field.labels if isinstance(label, str)], 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it may be {', '.join(map(_shown, field.labels))}"
            yield f"{name} is {_shown(expected[name])}, which is not one of its labels; {hint}"


def _schema_mistakes(
    expected: Mapping[str, Any], validator: jsonschema_rs.Validator, fields: Mapping[str, Field]
) -> Iterator[str]:
    # Labels and missing or unknown fields have been named in plainer words, and a template's value is nobody's business.
    for error in validator.iter_errors({name: value for name, value in expected.items() if name in fields}):
        path = [str(step) for step in error.instance_path]
        if path and fields[path[0]].fill == "copy":
            yield f"{'.'.join(path)}: {_cut(error.message)}"
        elif not path and fields.keys() <= expected.keys():
            yield f"expected: {_cut(error.message)}"


def _validator(workload: Workload, fields: Mapping[str, Field]) -> jsonschema_rs.Validator:
    shape = {"properties": {name: field.schema for name, field in fields.items()}, "required": [*fields]}
    schema = json.loads(json.dumps({**workload.schema, **shape}, default=str))
    try:
        return jsonschema_rs.validator_for(
            schema, validate_formats=True, retriever=_refuse_to_fetch, pattern_options=jsonschema_rs.RegexOptions()
        )
    except jsonschema_rs.ValidationError as error:
        raise WorkloadError(workload.folder, [("answer", error.message)]) from None


def _refuse_to_fetch(uri: str) -> Any:
    raise ValueError(f"{uri} lies outside the workload's schema, and Rung fetches nothing")


def _shown(value: Any) -> str:
    return _cut(json.dumps(value, ensure_ascii=False, default=str))


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."


# Over all examples.


def _count_mistakes(examples: Sequence[Example], fields: Sequence[Field]) -> Iterator[Mistake]:
    for field in fields:
        for label, having in _by_label(examples, field):
            if len(having) == 1:
                yield having[0].line, f"{field.name}: this is the only example of {_shown(label)}; a label needs at least two"
            elif having and all(example.pinned == "test" for example in having):
                lines = _cut(", ".join(str(example.line) for example in having))
                yield (
                    having[0].line,
                    f"{field.name}: {_shown(label)} has no example to learn from: all are pinned to test (lines {lines})",
                )
    if examples and all(example.pinned for example in examples):
        yield 0, "every line is pinned to train or test; calibration needs lines without a split"


def _by_label(examples: Sequence[Example], field: Field) -> Iterator[tuple[Any, list[Example]]]:
    for label in field.labels:
        yield label, [example for example in examples if same(example.expected[field.name], label)]


def _same_texts(examples: Sequence[Example]) -> list[list[Example]]:
    texts: defaultdict[str, list[Example]] = defaultdict(list)
    for example in examples:
        texts[fold(example.case.text)].append(example)
    return [same for same in texts.values() if len(same) > 1]


def _contradictions(same_texts: Sequence[Sequence[Example]], fields: Mapping[str, Field]) -> Iterator[Mistake]:
    for first, *others in same_texts:
        for other in others:
            differ = [name for name in fields if _answer(first, fields[name]) != _answer(other, fields[name])]
            if differ:
                answers = "; ".join(f"{name} {_shown(first.expected[name])}, {_shown(other.expected[name])}" for name in differ)
                yield other.line, f"the same text as line {first.line} with another answer: {answers}"


def _answer(example: Example, field: Field) -> str:
    # Texts that differ in case may have copies that differ in case.
    value = json.dumps(example.expected[field.name], sort_keys=True)
    return fold(value) if field.fill == "copy" else value


def _digest(examples: Sequence[Example]) -> str:
    said = ([e.case.text, e.case.context, e.expected, e.pinned] for e in examples)
    lines = sorted(json.dumps(one, ensure_ascii=False, sort_keys=True).encode() for one in said)
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def _warnings(examples: Sequence[Example], labels: Sequence[Field], same_texts: Sequence[Sequence[Example]]) -> Iterator[str]:
    if len(examples) < FEW:
        yield f"only {len(examples)} examples: collect 500 to 2,000 before you rely on a promise"
    if same_texts:
        lines = [" and ".join(str(example.line) for example in same) for same in same_texts]
        more = f"; and {len(lines) - PRINTED} more" if len(lines) > PRINTED else ""
        yield f"the same text with the same answer stands in lines {'; '.join(lines[:PRINTED])}{more}; all are kept"
    for field in labels:
        for label, having in _by_label(examples, field):
            if not having:
                yield f"{field.name}: no example of {_shown(label)}, so the specialist will never answer it"
