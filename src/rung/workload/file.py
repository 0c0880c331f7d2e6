"""Turns the workload file and `endpoints.yaml` into one typed object, or into every mistake in them at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import yaml

from rung.core import RungError
from rung.workload.mistakes import (
    Draft,
    Mistake,
    answer_mistakes,
    as_mapping,
    check_mistakes,
    examine,
    file_mistakes,
    fill_of,
    labels_of,
)
from rung.workload.nouns import (
    Boundary,
    Contest,
    Costs,
    Email,
    Endpoint,
    EndpointTier,
    Field,
    Limits,
    Price,
    Promise,
    ReviewPolicy,
    SpecialistTier,
    Webhook,
    Workload,
)
from rung.workload.patterns import patterns_of
from rung.workload.tiers import each_tier, named_endpoints, tier_mistakes, tier_name

ENDPOINTS = "endpoints.yaml"
GUIDELINES = "GUIDE.md"
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


class WorkloadError(RungError):
    """The workload file or one beside it is wrong. `mistakes` holds (path, what is wrong) for every mistake found."""

    code = "workload_invalid"

    def __init__(self, file: Path, mistakes: list[tuple[str, str]]) -> None:
        """Name the file and every mistake, a line each."""
        self.mistakes = mistakes
        count = f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
        lines = "".join(f"\n  {path}: {message}" for path, message in mistakes)
        super().__init__(f"{file}: {count}{lines}\nCorrect this and run the command again.")


def load(path: str | Path, gold: bool = True) -> Workload:
    """Read a workload: the file, or the folder that holds `workload.yaml`. Raises `WorkloadError` with every mistake.

    `gold` False is for a frozen release, which carries no gold.
    """
    file = Path(path)
    file = file / "workload.yaml" if file.is_dir() else file
    draft, mistakes = examine(_read(file), "workload.schema.json")
    declared, theirs = _declared(draft, file.parent / ENDPOINTS)
    mistakes += answer_mistakes(draft, file.parent)
    texts = [((*steps, "unlabelled"), as_mapping(tier).get("unlabelled")) for steps, tier in each_tier(draft)]
    guide = (("review", "guidelines"), draft.at("review", "guidelines"))
    mistakes += file_mistakes([(("gold",), draft.at("gold")), guide, *texts] if gold else (), file.parent)
    mistakes += check_mistakes(draft, file.parent)
    mistakes += tier_mistakes(draft, declared)
    if mistakes or theirs:
        raise WorkloadError(file, _named(mistakes) + [(f"{ENDPOINTS}: {path}", message) for path, message in theirs])
    return _typed(draft.raw, file, {} if declared is None else _endpoints(declared.raw))


def find_key(endpoint: Endpoint, file: Path) -> str | None:
    """The endpoint's API key from the environment. Raises `WorkloadError` if `file`, which declares it, names one not set."""
    if endpoint.key is None:
        return None
    if not os.environ.get(endpoint.key):
        mistake = (f"{endpoint.name}.key", f"the environment variable {endpoint.key} is not set: give it the API key")
        raise WorkloadError(file, [mistake])
    return os.environ[endpoint.key]


def seconds(text: str) -> float:
    """`300ms`, `2s`, `10m` or `1h` in seconds."""
    number = text.rstrip("msh")
    return float(number) * _UNITS[text[len(number) :]]


class _UniqueKeys(yaml.SafeLoader):
    """YAML keeps the last of two equal keys without a word; a contract must not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a plain word", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} stands here twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read(file: Path) -> Any:
    """The file's content in plain JSON values: dates become texts, keys too."""
    try:
        # The loader is a SafeLoader: nothing but plain values can come out of the file.
        value = yaml.load(file.read_text(encoding="utf-8"), Loader=_UniqueKeys)
        plain = json.dumps(value, default=str, ensure_ascii=False)
        plain.encode()
        return json.loads(plain)
    except OSError as error:
        raise WorkloadError(file, [("file", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise WorkloadError(file, [("file", f"is not UTF-8: byte {error.start} is {error.object[error.start]:#x}")]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise WorkloadError(file, [("file", f"is not YAML: {' '.join(str(error).split())}")]) from None


def _named(mistakes: list[Mistake]) -> list[tuple[str, str]]:
    return [(".".join(map(str, steps)) or "file", message) for steps, message in mistakes]


def _declared(draft: Draft, file: Path) -> tuple[Draft | None, list[tuple[str, str]]]:
    """The endpoints and what is wrong with them; None where they cannot be read. A workload without any needs no file."""
    if not file.exists() and not any(named_endpoints(tier) for _, tier in each_tier(draft)):
        return None, []
    try:
        declared, mistakes = examine(_read(file), "endpoints.schema.json")
    except WorkloadError as error:
        return None, error.mistakes
    return declared, _named(mistakes)


def _endpoints(raw: Mapping[str, Any]) -> dict[str, Endpoint]:
    said: dict[str, dict[str, Any]] = {
        name: {**given, "url": given["url"].rstrip("/"), "price": Price(**given["price"])} for name, given in raw.items()
    }
    return {name: Endpoint(name, **each) for name, each in said.items()}


def _boundary(raw: Mapping[str, Any]) -> Boundary:
    given = raw.get("boundary", "never")
    return Boundary() if given == "never" else Boundary(given["may_leave"], tuple(given.get("redact", ())))


def _review(raw: Mapping[str, Any], folder: Path) -> ReviewPolicy:
    said: dict[str, Any] = {**raw, "guidelines": folder / raw.get("guidelines", GUIDELINES)}
    if "lease" in said:
        said["lease"] = timedelta(seconds=seconds(said["lease"]))
    if "webhook" in said:
        said["webhook"] = Webhook(said["webhook"])
    return ReviewPolicy(**said)


def _typed(raw: Mapping[str, Any], file: Path, endpoints: Mapping[str, Endpoint]) -> Workload:
    answer: dict[str, Any] = raw.get("answer") or {
        "type": "object",
        "properties": {"label": {"enum": raw["labels"]}},
        "required": ["label"],
        "additionalProperties": False,
    }
    limits: dict[str, Any] = {**raw.get("limits", {})}
    if "p99" in limits:
        limits["p99"] = seconds(limits["p99"])
    return Workload(
        name=raw["workload"],
        task=raw["task"].strip(),
        file=file,
        schema=answer,
        fields=tuple(_field(name, schema) for name, schema in answer["properties"].items()),
        gold=file.parent / raw["gold"],
        checks=tuple(raw.get("checks", ())),
        tiers=tuple(_tier(tier, endpoints, file.parent) for tier in raw.get("tiers", ["specialist"])),
        promise=Promise(raw["promise"]["error"], raw["promise"]["confidence"]),
        limits=Limits(**limits),
        boundary=_boundary(raw),
        volume=int(raw["volume"].split("/")[0]) if "volume" in raw else None,
        bakeoff=_contest(raw.get("bakeoff", {}), endpoints, file.parent),
        costs=Costs(**raw.get("costs", {})),
        review=_review(raw.get("review", {}), file.parent),
        success=raw.get("success", "feedback"),
        alarms=tuple(
            Webhook(each["webhook"]) if "webhook" in each else Email(tuple(each["email"])) for each in raw.get("alarms", ())
        ),
    )


def _field(name: str, schema: Mapping[str, Any]) -> Field:
    fill = fill_of(schema)
    return Field(
        name=name,
        fill=fill,  # pyright: ignore[reportArgumentType]  # the file's mistakes have been refused
        schema=schema,
        labels=labels_of(schema) if fill == "label" else (),
        find=patterns_of(schema) if fill == "copy" else (),
        template=str(schema["template"]) if fill == "template" else "",
    )


def _contest(raw: Mapping[str, Any], endpoints: Mapping[str, Endpoint], folder: Path) -> Contest:
    given: list[Any] = raw.get("candidates", [])
    each = [cast("list[Any]", one) if isinstance(one, list) else [one] for one in given]
    candidates = tuple(tuple(_tier(tier, endpoints, folder) for tier in tiers) for tiers in each)
    return Contest(candidates, raw.get("budget", Contest().budget))


def _tier(tier: Any, endpoints: Mapping[str, Endpoint], folder: Path) -> SpecialistTier | EndpointTier:
    if tier == "specialist":
        return SpecialistTier()
    if "specialist" in tier:
        settings = {name: value for name, value in tier.items() if name != "specialist"}
        if "unlabelled" in settings:
            settings["unlabelled"] = folder / settings["unlabelled"]
        if "teacher" in settings:
            settings["teacher"] = _endpoint_tier(settings["teacher"], endpoints)
        return SpecialistTier(tier_name(tier), tier["specialist"], **settings)
    return _endpoint_tier(tier, endpoints)


def _endpoint_tier(raw: Mapping[str, Any], endpoints: Mapping[str, Endpoint]) -> EndpointTier:
    return EndpointTier(
        tier_name(raw), endpoints[raw["endpoint"]], raw["model"], seconds(raw.get("timeout", "20s")), raw.get("examples", 0)
    )
