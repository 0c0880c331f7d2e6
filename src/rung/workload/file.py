"""Turns the workload file and `endpoints.yaml` into one typed object, and reports every mistake at once, with its path."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import jsonschema_rs
import re2
import yaml

from rung.core import RungError
from rung.workload.nouns import Boundary, Endpoint, EndpointTier, Field, Limits, Price, Promise, SpecialistTier, Workload

EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"  # what `format: email` finds


class WorkloadError(RungError):
    """The workload file or one beside it is wrong. `mistakes` holds (file and path, what is wrong) for every mistake found."""

    code = "workload_invalid"

    def __init__(self, file: Path, mistakes: list[tuple[str, str]]) -> None:
        """Name the file and every mistake, a line each."""
        self.mistakes = mistakes
        count = f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
        lines = "".join(f"\n  {path}: {message}" for path, message in mistakes)
        super().__init__(f"{file}: {count}{lines}\nCorrect the file and run `rung check {file}`.")


def load(path: str | Path, gold: bool = True) -> Workload:
    """Read a workload: the file, or the folder that holds `workload.yaml`. Raises `WorkloadError` with every mistake.

    `gold` False is for a frozen release, which carries no gold.
    """
    file = Path(path)
    file = file / "workload.yaml" if file.is_dir() else file
    raw = _read(file)
    mistakes = [*_against(raw, "workload.schema.json")]
    if mistakes:  # what follows trusts the shape
        raise WorkloadError(file, [*mistakes, *_field_mistakes(raw, file.parent)])
    mistakes += _field_mistakes(raw, file.parent)
    mistakes += _file_mistakes(raw, file.parent, gold)
    endpoints = _endpoints(file.parent / "endpoints.yaml", needed=any(t != "specialist" for t in raw.get("tiers", [])))
    mistakes += _tier_mistakes(raw, endpoints)
    if mistakes:
        raise WorkloadError(file, mistakes)
    return _typed(raw, file, endpoints)


def find_key(endpoint: Endpoint) -> str | None:
    """The endpoint's API key from the environment. Raises `WorkloadError` if it names one that is not set."""
    if endpoint.key is None:
        return None
    if not os.environ.get(endpoint.key):
        mistake = (f"{endpoint.name}.key", f"the environment variable {endpoint.key} is not set")
        raise WorkloadError(Path("endpoints.yaml"), [mistake])
    return os.environ[endpoint.key]


def seconds(text: str) -> float:
    """`300ms` or `2s` in seconds."""
    return float(text[:-2]) / 1000 if text.endswith("ms") else float(text[:-1])


class _UniqueKeys(yaml.SafeLoader):
    """YAML keeps the last of two equal keys without a word; a contract must not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} stands here twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _mapping(value: object) -> dict[str, Any]:
    """The value where it is a mapping, else an empty one: a wrong shape is reported by the format's schema, once."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _read(file: Path) -> Any:
    try:
        # The loader is a SafeLoader: nothing but plain values can come out of the file.
        return yaml.load(file.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except FileNotFoundError:
        raise WorkloadError(file, [("file", "does not exist")]) from None
    except IsADirectoryError:
        raise WorkloadError(file, [("file", "is a folder")]) from None
    except UnicodeDecodeError as error:
        raise WorkloadError(file, [("file", f"is not UTF-8: byte {error.start} is {error.object[error.start]:#x}")]) from None
    except yaml.YAMLError as error:
        raise WorkloadError(file, [("file", f"is not YAML: {' '.join(str(error).split())}")]) from None


@cache
def _format(name: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(json.loads(files("rung.workload").joinpath(name).read_text(encoding="utf-8")))


def _against(raw: Any, name: str) -> Iterator[tuple[str, str]]:
    if not isinstance(raw, Mapping):
        yield "file", "must hold keys and values"
        return
    for error in _format(name).iter_errors(json.loads(json.dumps(raw, default=str))):
        yield ".".join(map(str, error.instance_path)) or "file", error.message


def _properties(raw: Any) -> dict[str, dict[str, Any]]:
    properties = _mapping(_mapping(_mapping(raw).get("answer")).get("properties"))
    return {str(name): _mapping(schema) for name, schema in properties.items()}


def _fill(schema: Mapping[str, Any]) -> str | None:
    """How a field is filled, from what its schema says; None where it says nothing that Rung can fill."""
    kinds = schema.get("type", [])
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    if "fill" in schema:
        return str(schema["fill"])
    if "template" in schema:
        return "template"
    if "enum" in schema or kinds == {"boolean"}:
        return "label"
    if "find" in schema or "pattern" in schema or schema.get("format") == "email":
        return "copy"
    return None


def _field_mistakes(raw: Any, folder: Path) -> Iterator[tuple[str, str]]:
    properties = _properties(raw)
    for name, schema in properties.items():
        path = f"answer.properties.{name}"
        fill = _fill(schema)
        if fill is None:
            yield path, "cannot be filled: give it an enum (a label), a pattern, find or format: email (a copy), or a template"
        elif fill == "label" and not _labels(schema):
            yield path, "is filled by a label and needs an enum or type: boolean"
        elif fill == "copy":
            yield from _copy_mistakes(path, schema)
        elif fill == "template":
            yield from _template_mistakes(path, schema, properties, folder)
    if properties and not any(_fill(schema) == "label" for schema in properties.values()):
        yield "answer.properties", "needs at least one field with an enum: the specialist learns labels"
    yield from _schema_mistakes(_mapping(_mapping(raw).get("answer")))


def _schema_mistakes(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    plain = json.loads(json.dumps(schema, default=str))
    try:
        jsonschema_rs.meta.validate(plain)
    except jsonschema_rs.ValidationError as error:
        yield ".".join(["answer", *map(str, error.instance_path)]), error.message


def _copy_mistakes(path: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    patterns = {"pattern": schema["pattern"]} if "pattern" in schema else {}
    patterns |= {f"find.{position}": pattern for position, pattern in enumerate(schema.get("find", ()))}
    if not patterns and schema.get("format") != "email":
        yield path, "is copied from the text and needs pattern, find or format: email"
    for key, pattern in patterns.items():
        try:
            re2.compile(str(pattern))
        except re2.error as error:
            yield f"{path}.{key}", f"is not a pattern RE2 accepts: {error}"


def _template_mistakes(
    path: str, schema: Mapping[str, Any], properties: Mapping[str, Mapping[str, Any]], folder: Path
) -> Iterator[tuple[str, str]]:
    template = schema.get("template")
    if not isinstance(template, str):
        yield path, "is filled by a template and needs template: the file's name"
        return
    files_of: list[str] = [template]
    for name, other in properties.items():
        if f"{{{name}}}" in template:
            files_of = [f.replace(f"{{{name}}}", str(label)) for f in files_of for label in _labels(other)]
    for name in files_of:
        if not (folder / name).is_file():
            yield f"{path}.template", f"the file {name} does not exist"


def _labels(schema: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(schema["enum"]) if "enum" in schema else (True, False) if schema.get("type") == "boolean" else ()


def _file_mistakes(raw: Mapping[str, Any], folder: Path, gold: bool) -> Iterator[tuple[str, str]]:
    if gold and not (folder / raw["gold"]).is_file():
        yield "gold", f"the file {raw['gold']} does not exist"
    for position, check in enumerate(raw.get("checks", [])):
        if not (folder / check.split(":")[0]).is_file():
            yield f"checks.{position}", f"the file {check.split(':')[0]} does not exist"


def _endpoints(file: Path, needed: bool) -> dict[str, Endpoint]:
    if not needed and not file.exists():
        return {}
    raw = _read(file)
    mistakes = [*_against(raw, "endpoints.schema.json")]
    if mistakes:
        raise WorkloadError(file, mistakes)
    return {
        name: Endpoint(
            name=name,
            url=given["url"].rstrip("/"),
            size=given["size"],
            weights=given["weights"],
            boundary=given["boundary"],
            price=Price(**given["price"]),
            key=given.get("key"),
        )
        for name, given in raw.items()
    }


def _tier_mistakes(raw: Mapping[str, Any], endpoints: Mapping[str, Endpoint]) -> Iterator[tuple[str, str]]:
    tiers: list[Any] = raw.get("tiers", ["specialist"])
    leave = _boundary(raw).may_leave
    for position, tier in enumerate(tiers):
        if tier == "specialist":
            if position:
                yield f"tiers.{position}", "the specialist is the smallest tier and stands first, once"
            continue
        name = tier["endpoint"]
        if name not in endpoints:
            yield f"tiers.{position}.endpoint", f"{name} is not in endpoints.yaml (it has {', '.join(endpoints) or 'nothing'})"
        elif endpoints[name].boundary == "outside" and leave == "never":
            yield f"tiers.{position}.endpoint", f"{name} is outside and the boundary is never: nothing may leave for it"
    names = [_tier_name(tier) for tier in tiers]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield "tiers", f"{name} stands there twice"


def _tier_name(tier: Any) -> str:
    return "specialist" if tier == "specialist" else f"{tier['endpoint']}/{tier['model']}"


def _boundary(raw: Mapping[str, Any]) -> Boundary:
    given = raw.get("boundary", "never")
    return Boundary() if given == "never" else Boundary(given["may_leave"], tuple(given.get("redact", ())))


def _typed(raw: Mapping[str, Any], file: Path, endpoints: Mapping[str, Endpoint]) -> Workload:
    answer: dict[str, Any] = raw.get("answer") or {
        "type": "object",
        "properties": {"label": {"enum": raw["labels"]}},
        "required": ["label"],
        "additionalProperties": False,
    }
    limits = raw.get("limits", {})
    return Workload(
        name=raw["workload"],
        task=raw["task"].strip(),
        file=file,
        schema=answer,
        fields=tuple(_field(name, schema) for name, schema in answer["properties"].items()),
        gold=file.parent / raw["gold"],
        checks=tuple(raw.get("checks", ())),
        tiers=tuple(_tier(tier, endpoints) for tier in raw.get("tiers", ["specialist"])),
        promise=Promise(raw["promise"]["error"], raw["promise"]["confidence"]),
        limits=Limits(
            p99=seconds(limits["p99"]) if "p99" in limits else None,
            cost_per_case=limits.get("cost_per_case"),
            escalated=limits.get("escalated"),
        ),
        boundary=_boundary(raw),
        volume=int(raw["volume"].split("/")[0]) if "volume" in raw else None,
    )


def _field(name: str, schema: Mapping[str, Any]) -> Field:
    fill = _fill(schema)
    find = tuple(schema.get("find", ()))
    if fill == "copy" and not find:
        find = (schema["pattern"].removeprefix("^").removesuffix("$"),) if "pattern" in schema else (EMAIL,)
    return Field(
        name=name,
        fill=fill,  # pyright: ignore[reportArgumentType]  # the file's mistakes have been refused
        schema=schema,
        labels=_labels(schema) if fill == "label" else (),
        find=find if fill == "copy" else (),
        template=str(schema.get("template", "")) if fill == "template" else "",
    )


def _tier(tier: Any, endpoints: Mapping[str, Endpoint]) -> SpecialistTier | EndpointTier:
    if tier == "specialist":
        return SpecialistTier()
    return EndpointTier(_tier_name(tier), endpoints[tier["endpoint"]], tier["model"], seconds(tier.get("timeout", "20s")))
