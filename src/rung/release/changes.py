"""Turns two releases into what changed between them that decides cases, without asking a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import unified_diff
from hashlib import sha256
from pathlib import Path
from typing import Any

from rung.release.frozen import TIERS, Release


def changed_files(before: Release, after: Release) -> Mapping[str, str]:
    """What decides besides weights: each changed file of the workload, of its endpoints, checks and templates, with its unified
    diff."""
    found: dict[str, str] = {}
    texts = [
        {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*") if _is_text(path)}
        for folder in (release.folder / "workload" for release in (before, after))
    ]
    for name in sorted(texts[0].keys() | texts[1].keys()):
        one, other = (each.get(name, "").splitlines(keepends=True) for each in texts)
        if one != other:
            found[name] = "".join(unified_diff(one, other, f"{before.id[:12]}/{name}", f"{after.id[:12]}/{name}"))
    return found


def changed_parts(before: Release, after: Release) -> Mapping[str, tuple[Any, Any]]:
    """What else two releases hold that differs, in a few numbers and digests, by name: before and after."""
    one, other = _facts(before), _facts(after)
    return {name: (one.get(name), other.get(name)) for name in {**one, **other} if one.get(name) != other.get(name)}


def _is_text(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _facts(release: Release) -> dict[str, Any]:
    evidence = release.evidence
    manifest = json.loads((release.folder / "manifest.json").read_text(encoding="utf-8"))
    cascade = json.loads((release.folder / "cascade.json").read_text(encoding="utf-8"))
    gold = evidence.get("gold", {})
    return {
        "acceptance level": cascade["level"],
        "test cases answered": evidence.get("answered"),
        "of these wrong": evidence.get("wrong"),
        "test cases": evidence.get("cases"),
        "error at most": evidence.get("error_at_most"),
        "cost per case": evidence.get("cost"),
        "goes on from": evidence.get("parent"),
        "gold": gold.get("digest"),
        "gold cases": gold.get("cases"),
        **{f"calibration of {name}": _calibration(each) for name, each in cascade["calibrations"].items()},
        **{name: digest[:12] for name, digest in manifest["files"].items() if name.startswith(f"{TIERS}/")},
    }


def _calibration(document: Mapping[str, Any]) -> str:
    """What each signal and the bias weigh in one calibration, and a digest of all its numbers."""
    weights = [f"{name} {weight:.3g}" for name, (weight, _, _) in document["weights"].items()]
    digest = sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    return ", ".join([digest[:12], f"bias {document['bias']:.3g}", *weights])
