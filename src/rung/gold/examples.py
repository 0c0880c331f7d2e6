"""Turns the workload's gold file into checked examples, or into every mistake in it with its line.

Knows nothing about models or splits. No line is dropped or repaired: what cannot be used is named, and the file is refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal, cast

import jsonschema_rs

from rung.boxes import read_page
from rung.core import Case, same
from rung.gold.records import PRINTED, GoldError, Mistake, of_template, read_records
from rung.gold.similarity import fold
from rung.gold.spans import Place, Spans, read_spans
from rung.workload import Field, Workload, WorkloadError

LONGEST = 100_000  # characters in a text
FEW = 100  # examples below which the file draws a warning


@dataclass(frozen=True, slots=True)
class Example:
    """A case and its agreed answer, without template fields. `pinned` is the part of the split that the file asks for.

    `spans` are the places that the file gives, by copied field: characters [start, end) of the case's text.
    """

    line: int
    case: Case
    expected: Mapping[str, Any]
    pinned: Literal["train", "test"] | None = None
    spans: Spans = dataclasses.field(default_factory=dict[str, tuple[Place, ...]])


@dataclass(frozen=True, slots=True)
class Gold:
    """The examples in the file's order. `label_fields` are the workload's, in its order.

    `digest` is the SHA-256 of what they say, whatever their order and format.
    """

    examples: tuple[Example, ...]
    label_fields: tuple[str, ...]
    digest: str
    warnings: tuple[str, ...]


def read_gold(workload: Workload) -> Gold:
    """Read and check the workload's gold file.

    Raises `GoldError` with every mistake, and `WorkloadError` if the answer schema itself cannot be used.
    """
    fields = {field.name: field for field in workload.fields}
    filled = {name: field for name, field in fields.items() if field.fill != "template"}
    validator = _validator(workload, filled)
    mistakes: list[Mistake] = []
    examples: list[Example] = []
    labelled: list[Example] = []  # whose labels are right, whatever else is wrong with them: counting labels needs no more
    for line, record in read_records(workload.gold, fields, mistakes):
        text, found = _text(record)
        found += _shape_mistakes(record)
        if not found:
            example = _example(line, text, record, filled)
            wrong = [*_label_mistakes(example.expected, filled)]
            spans, unplaced = read_spans(record, text, example.expected, fields)
            found = [*_key_mistakes(example.expected, fields), *wrong, *unplaced]
            found += _schema_mistakes(example.expected, validator, filled)
            labelled += [] if wrong else [example]
            examples += [] if found else [replace(example, spans=spans)]
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


# From records to examples, with the mistakes of one line.


def _text(record: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The text to decide, a scanned page's being read here and nowhere later, and what is wrong with it."""
    given = record.get("input")
    try:
        text = read_page(cast("list[object]", given)) if isinstance(given, list) else given
    except ValueError as error:
        return "", [f"input: {error}"]
    if not isinstance(text, str):
        return "", ["input is not a text, nor a page's lines" if "input" in record else "input is missing"]
    if not text.strip():
        return "", ["input is blank" if text else "input is empty"]
    if len(text) > LONGEST:
        return "", [f"input has {len(text):,} characters; at most {LONGEST:,} are allowed"]
    return text, []


def _shape_mistakes(record: Mapping[str, Any]) -> Iterator[str]:
    pin = record.get("split", "train")
    if "expected" not in record:
        yield "expected is missing"
    elif not isinstance(record["expected"], dict):
        yield "expected is not an object with the answer's fields"
    if not isinstance(record.get("context", {}), dict):
        yield "context is not an object"
    if pin not in ("train", "test"):
        yield f"split is {_shown(pin)}, neither train nor test"
    if not isinstance(record.get("source", {}), dict):
        yield "source is not an object"
    for name in record.keys() - {"input", "expected", "context", "split", "spans", "source"}:
        yield f"{name!r} is unknown: a line has input, expected, and if need be context, source, spans and split"


def _example(line: int, text: str, record: Mapping[str, Any], fields: Mapping[str, Field]) -> Example:
    """The values as the workload writes them: JSON Schema takes 2.0 for 2, and so labels and numbers may come as either."""
    expected = {name: _plain(value) for name, value in record["expected"].items()}
    in_order = {name: expected.pop(name) for name in fields if name in expected}
    return Example(line, Case(text, record.get("context", {})), in_order | expected, record.get("split"))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(one) for one in cast("list[Any]", value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _key_mistakes(expected: Mapping[str, Any], fields: Mapping[str, Field]) -> Iterator[str]:
    for name, field in fields.items():
        if field.fill == "template" and name in expected:
            yield of_template(name)
        elif field.fill == "copy" and name not in expected:
            nothing = " (null where the text has none)" if "null" in field.schema.get("type", ()) else ""
            yield f"{name} is missing from expected{nothing}"
    for name in expected.keys() - fields.keys():
        yield f"{name!r} in expected is not a field of the answer"


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
    said = ([e.case.text, e.case.context, e.expected, e.pinned, *([e.spans] if e.spans else [])] for e in examples)
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
