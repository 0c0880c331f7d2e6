"""Turns a release's workload and evidence into its lineage and its model card. Knows nothing about how they came to be."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import yaml

from rung.workload import EndpointTier, Precision, Recipe, SpecialistTier, Workload

SEED = 0  # of every draw in training, splitting and resampling
_LIBRARIES = ("rung", "numpy", "onnxruntime", "tokenizers", "safetensors", "torch", "peft")
_TRAINED: frozenset[Recipe] = frozenset({"finetune", "lora", "distil", "prune"})


def lineage_of(workload: Workload, evidence: Mapping[str, Any]) -> dict[str, Any]:
    """What a release was made from and with: gold, the release it goes on from, the one it is with a higher acceptance
    level, each tier's recipe, seed, versions."""
    tiers = [_tier(tier) for tier in workload.tiers]
    learnt = any(tier.get("recipe") in _TRAINED for tier in tiers)
    names = [name for name in _LIBRARIES if learnt or name not in ("torch", "peft")]
    return {
        "workload": workload.name,
        "gold": evidence.get("gold", {}),
        "parent": evidence.get("parent"),
        **({"tightened": evidence["tightened"]["from"]} if "tightened" in evidence else {}),
        "tiers": tiers,
        "seed": SEED,
        "python": platform.python_version(),
        "libraries": {name: found for name in names if (found := _version(name))},
    }


def card_of(workload: Workload, evidence: Mapping[str, Any], lineage: Mapping[str, Any], report: str) -> str:
    """A model card as Hugging Face has it: metadata in YAML, then what it is for, what it showed, and what it does not say."""
    precisions: dict[Precision, None] = {tier["precision"]: None for tier in lineage["tiers"] if "precision" in tier}
    labels = all(field.fill != "copy" for field in workload.fields)
    metadata = {
        "library_name": "rung",
        "pipeline_tag": "text-classification" if labels else "token-classification",
        "base_model": "sentence-transformers/all-MiniLM-L6-v2",
        "tags": ["rung", "cascade", *precisions],
        "model-index": [{"name": workload.name, "results": [_results(workload, evidence)]}],
    }
    promise = workload.promise
    asked = "\n".join(f"- `{field.name}`, filled by {field.fill}" for field in workload.fields)
    made = "\n".join(f"- {_line(tier)}" for tier in lineage["tiers"])
    gold = lineage["gold"]
    before = f", as release {lineage['tightened']}, which it is with a higher level" if "tightened" in lineage else ""
    return f"""---
{yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True).rstrip()}
---

# {workload.name}

{workload.task}

## Intended use

It answers cases like those of its gold, and leaves to people what it may not be trusted with: of the cases that it answers
without a person at most {promise.error * 100:g} % are wrong, with {promise.confidence * 100:g} % confidence. It is not meant for
cases from elsewhere: the promise says nothing about them.

{asked}

## How it was made

{made}
- Gold: {gold.get("cases", "?")} agreed cases, hash `{gold.get("digest", "?")}`; train {gold.get("train", "?")}, calibration \
{gold.get("calibration", "?")}, test {gold.get("test", "?")}.
- Goes on from: {lineage["parent"] or "no earlier release"}{before}. Seed {lineage["seed"]}. Python {lineage["python"]}, \
{", ".join(f"{name} {number}" for name, number in lineage["libraries"].items())}.

## Evidence

```text
{report}
```

All figures are in `evidence.json`, each with the number of cases behind it; `manifest.json` has the SHA-256 of every file.

## Limits

The promise holds over all answered cases together, not for a part of them, not for one answer, and not for cases that differ from
the gold. Wrong gold is promised as faithfully as right gold.
"""


def _tier(tier: SpecialistTier | EndpointTier) -> dict[str, Any]:
    if isinstance(tier, EndpointTier):
        return {"name": tier.name, "model": tier.model, "size": tier.endpoint.size, "boundary": tier.endpoint.boundary}
    return {name: value for name, value in asdict(tier).items() if name not in ("unlabelled", "teacher")} | {
        "teacher": tier.teacher and tier.teacher.name
    }


def _line(tier: Mapping[str, Any]) -> str:
    if "recipe" not in tier:
        return f"`{tier['name']}`: {tier['model']} behind an endpoint {tier['boundary']} the user's walls, size {tier['size']}"
    return f"`{tier['name']}`: recipe {tier['recipe']}, {tier['precision']}"


def _results(workload: Workload, evidence: Mapping[str, Any]) -> dict[str, Any]:
    cases, answered = evidence.get("cases") or 0, evidence.get("answered") or 0
    metrics: list[dict[str, Any]] = [
        {"type": "coverage", "name": "answered without a person", "value": round(answered / cases, 6) if cases else None},
        {"type": "error_rate", "name": "wrong among the answered", "value": evidence.get("error")},
        {"type": "error_rate", "name": "the same, exact upper bound", "value": evidence.get("error_at_most")},
    ]
    return {
        "task": {"type": "text-classification", "name": workload.task.splitlines()[0][:100]},
        "dataset": {"type": "gold", "name": f"{workload.name} gold, test split ({cases} cases)"},
        "metrics": [each for each in metrics if each["value"] is not None],
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
