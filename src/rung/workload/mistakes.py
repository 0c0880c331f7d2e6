"""Turns what stands in the workload file and in `endpoints.yaml` into all that is wrong with it, each with its path.

What the format objects to is left alone afterwards; everything else is still examined, so that one mistake hides no other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from textwrap import shorten
from typing import Any, cast

import jsonschema_rs

from rung.workload.patterns import compile_pattern, patterns_of, types_of
from rung.workload.places import expand, places

Steps = tuple[str | int, ...]  # from the top of a file to the place of a mistake
Mistake = tuple[Steps, str]

_META = jsonschema_rs.Draft202012Validator({"$ref": "https://json-schema.org/draft/2020-12/schema"})


@dataclass(frozen=True, slots=True)
class Draft:
    """A file's content, plain JSON that nothing has been proven about, and where its format objects."""

    raw: Mapping[str, Any]
    wrong: frozenset[Steps]

    def at(self, *steps: str | int) -> Any:
        """What stands there; None where nothing does, or where the format objects above it, to it or inside it."""
        if any(wrong and wrong[: len(steps)] == steps[: len(wrong)] for wrong in self.wrong):
            return None
        value: Any = self.raw
        for step in steps:
            value = value.get(step) if isinstance(step, str) else value[step]
            if value is None:
                return None
        return value

    def sound(self, *steps: str | int) -> list[tuple[Steps, Any]]:
        """The members of the list or mapping there that the format does not object to, with their paths."""
        value: Any = self.raw
        for step in steps:
            value = value[step] if isinstance(step, int) else as_mapping(value).get(step)
        names: Sequence[str | int] = list(as_mapping(value)) or range(
            len(cast("list[Any]", value) if isinstance(value, list) else ())
        )
        return [((*steps, name), found) for name in names if (found := self.at(*steps, name)) is not None]


def examine(raw: Any, name: str) -> tuple[Draft, list[Mistake]]:
    """A file's content as a draft, and everything that the format of this name, and the answer's meta-schema, object to."""
    if not isinstance(raw, Mapping):
        return Draft({}, frozenset()), [((), "must hold keys and values")]
    draft = cast("Mapping[str, Any]", raw)
    mistakes = [mistake for error in _validator(name).iter_errors(draft) for mistake in _said(error, _format(name))]
    seen = {steps for steps, _ in mistakes}
    answer = as_mapping(draft.get("answer")) if "answer" in _format(name).get("properties", {}) else {}
    found = dict.fromkeys((("answer", *error.instance_path), error.message) for error in _META.iter_errors(answer))
    mistakes += [mistake for mistake in found if mistake[0] not in seen]
    return Draft(draft, frozenset(steps for steps, _ in mistakes)), mistakes


def as_mapping(value: object) -> dict[str, Any]:
    """The value where it is a mapping, else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def fill_of(schema: Mapping[str, Any]) -> str | None:
    """How a field is filled, from what its schema says; None where it says nothing that Rung can fill."""
    if "fill" in schema:
        return str(schema["fill"])
    if "template" in schema:
        return "template"
    if "enum" in schema or types_of(schema) == {"boolean"}:
        return "label"
    if "find" in schema or "pattern" in schema or schema.get("format") in ("email", "date"):
        return "copy"
    return "copy" if types_of(schema) & {"number", "integer", "array"} else None


def labels_of(schema: Mapping[str, Any]) -> tuple[Any, ...]:
    """The labels a field may have; none where its schema does not count them."""
    return tuple(schema["enum"]) if "enum" in schema else (True, False) if types_of(schema) == {"boolean"} else ()


def answer_mistakes(draft: Draft, folder: Path) -> Iterator[Mistake]:
    """What is wrong with how the answer's fields are filled, and with the answer as a JSON Schema."""
    fields = {steps: as_mapping(schema) for steps, schema in draft.sound("answer", "properties")}
    found = [mistake for steps, schema in fields.items() for mistake in _field_mistakes(steps, schema, draft, folder)]
    yield from found
    answer = draft.at("answer")
    if answer is None:
        return
    if not any(fill_of(schema) in ("label", "copy") for schema in fields.values()):
        yield (
            ("answer", "properties"),
            "needs at least one field with an enum or a copied one: templates follow from others",
        )
    for name in answer.get("required", ()):
        if name not in answer["properties"]:
            yield ("answer", "required"), f"names {name}, which is not among the properties"
    if not found:
        yield from _schema_mistakes(answer)


def file_mistakes(named: Iterable[tuple[Steps, Any]], folder: Path) -> Iterator[Mistake]:
    """Files to learn from that are named and not there."""
    for steps, name in named:
        if name is not None and not (folder / name).is_file():
            yield steps, f"the file {name} does not exist"


def check_mistakes(draft: Draft, folder: Path) -> Iterator[Mistake]:
    """Check functions whose files are not there, or that no release could carry."""
    for steps, check in draft.sound("checks"):
        yield from ((steps, message) for message in _carried(check.partition(":")[0], folder))


@cache
def _format(name: str) -> dict[str, Any]:
    return json.loads(files("rung.workload").joinpath(name).read_text(encoding="utf-8"))


@cache
def _validator(name: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(_format(name))


def _said(error: jsonschema_rs.ValidationError, node: Any) -> Iterator[Mistake]:
    """One violation of a format in plain words, with what the format says about the place."""
    steps, kind = tuple(error.instance_path), error.kind
    told = ""
    for step in error.schema_path[:-1]:
        node = node[step]
        told = as_mapping(node).get("description", told)
    match kind.name:
        case "additionalProperties":
            known = list(node["properties"])
            for name in kind.as_dict()["unexpected"]:
                near = get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                yield (*steps, name), f"is unknown; {hint}"
        case "required":
            yield (*steps, kind.as_dict()["property"]), "is missing"
        case "oneOf":
            yield steps, "needs either answer or labels, and not both"
        case _:
            message = shorten(error.message, 200, placeholder=" ...")
            yield steps, f"{message}. {told}" if told else message


def _field_mistakes(steps: Steps, schema: Mapping[str, Any], draft: Draft, folder: Path) -> Iterator[Mistake]:
    match fill_of(schema):
        case "label":
            yield from _label_mistakes(steps, labels_of(schema))
        case "copy":
            yield from _copy_mistakes(steps, schema)
        case "template":
            yield from _template_mistakes(steps, schema.get("template"), draft, folder)
        case _:
            ways = "an enum (a label), a type of number, a pattern, a format or fill: copy (a copy), or a template"
            yield steps, f"cannot be filled: give it {ways}"


def _label_mistakes(steps: Steps, labels: Sequence[Any]) -> Iterator[Mistake]:
    if any(isinstance(label, list | dict) for label in labels):
        yield (*steps, "enum"), "holds a list or a mapping; a label is a text, a number, true, false or null"
    elif len({(isinstance(label, bool), label) for label in labels}) < max(len(labels), 2):
        twice = "holds a label twice" if len(labels) > 1 else "has fewer than two labels"
        yield steps, f"{twice}; a field filled by a label needs an enum of different ones, or type: boolean"


def _copy_mistakes(steps: Steps, schema: Mapping[str, Any]) -> Iterator[Mistake]:
    patterns: dict[Steps, str] = {(*steps, "find", place): pattern for place, pattern in enumerate(schema.get("find", ()))}
    if "pattern" in schema:
        patterns[*steps, "pattern"] = schema["pattern"]
    if not patterns_of(schema):
        yield from _learnt_mistakes(steps, schema)
    for place, pattern in patterns.items():
        try:
            compile_pattern(pattern)
        except ValueError as error:
            yield place, f"is not a pattern RE2 accepts: {error}"


def _learnt_mistakes(steps: Steps, schema: Mapping[str, Any]) -> Iterator[Mistake]:
    """What is wrong with a field whose spans are learnt: a scalar, a list of them, or a list of objects made of them."""
    if "array" not in types_of(schema):
        yield from _scalar_mistakes(steps, schema)
        return
    item = as_mapping(schema.get("items"))
    if "null" in types_of(schema) | types_of(item):
        yield steps, "is a list, and neither a list nor what is in it can be null: a text without any has an empty list"
    if "object" not in types_of(item):
        yield from _scalar_mistakes((*steps, "items"), item)
        return
    if not as_mapping(item.get("properties")):
        yield (*steps, "items"), "is a list of objects and needs properties"
    for name, one in as_mapping(item.get("properties")).items():
        yield from _scalar_mistakes((*steps, "items", "properties", name), as_mapping(one))


def _scalar_mistakes(steps: Steps, schema: Mapping[str, Any]) -> Iterator[Mistake]:
    kinds = types_of(schema) - {"null"}
    if kinds - {"string", "number", "integer"} or not (kinds or "enum" in schema):
        yield (
            steps,
            "cannot be copied: that takes a string, a number, an integer, or a list of such or of objects with such",
        )
    if "pattern" in schema:
        try:
            compile_pattern(schema["pattern"])
        except ValueError as error:
            yield (*steps, "pattern"), f"is not a pattern RE2 accepts: {error}"
    values = labels_of(schema)
    meanings: dict[str, Any] = {}
    for value in values:
        if meanings.setdefault(_written(str(value)), value) is not value:
            yield (*steps, "enum"), f"has two values that are written alike: {meanings[_written(str(value))]!r} and {value!r}"
    for value, words in as_mapping(schema.get("synonyms")).items():
        if value not in map(str, values):
            yield (*steps, "synonyms", value), f"is not one of the enum's values ({', '.join(map(str, values))})"
        for word in words:
            if str(meanings.setdefault(_written(word), value)) != value:
                yield (*steps, "synonyms", value), f"{word!r} stands for {meanings[_written(word)]} already"


def _written(word: str) -> str:
    return " ".join(word.split()).lower()


def _template_mistakes(steps: Steps, template: object, draft: Draft, folder: Path) -> Iterator[Mistake]:
    if not isinstance(template, str):
        yield steps, "is filled by a template and needs template: the file's name"
        return
    names = as_mapping(as_mapping(draft.raw["answer"]).get("properties"))
    fields = {str(place[-1]): as_mapping(schema) for place, schema in draft.sound("answer", "properties")}
    labels = {name: labels_of(schema) for name, schema in fields.items() if fill_of(schema) == "label"}
    for name in places(template):
        if name not in names or (name in fields and name not in labels):
            yield (*steps, "template"), f"names {{{name}}}, which is not a field with labels"
    usable = names.keys() - {name for name, schema in fields.items() if fill_of(schema) == "template"}
    for name in expand(template, labels):
        yield from (((*steps, "template"), message) for message in _text_mistakes(name, usable, folder))


def _text_mistakes(name: str, fields: set[str], folder: Path) -> Iterator[str]:
    missing = list(_carried(name, folder))
    yield from missing
    if missing:
        return
    try:
        text = (folder / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        yield f"the file {name} is not UTF-8"
        return
    for place in places(text):
        if place not in fields:
            yield f"the file {name} names {{{place}}}, which is not a field that a model fills"


def _carried(name: str, folder: Path) -> Iterator[str]:
    """A release carries the files that decide; what lies outside the folder it could not."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        yield f"the file {name} lies outside the workload's folder; put it inside, so that a release can carry it"
    elif not (folder / name).is_file():
        yield f"the file {name} does not exist"


def _schema_mistakes(answer: dict[str, Any]) -> Iterator[Mistake]:
    try:
        jsonschema_rs.validator_for(
            answer,
            validate_formats=True,
            ignore_unknown_formats=False,
            pattern_options=jsonschema_rs.RegexOptions(),
            offline=True,
        )
    except jsonschema_rs.ValidationError as error:
        hint = "" if error.instance_path else ". A $ref must point into the schema itself: Rung fetches nothing"
        yield ("answer", *error.instance_path), error.message + hint
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        yield ("answer",), str(error)
