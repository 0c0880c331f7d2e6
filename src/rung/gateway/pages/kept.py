"""Turns the releases beside a workload into what the pages show of them: rows of figures, and one of them in full.

Asks no model, and knows nothing about requests. What is read of a frozen release is remembered: it does not change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from rung.charts import Axis, Bar, Block, Code, Fact, Reference, bars, spell
from rung.core import RungError
from rung.ledger import Promotion
from rung.release.frozen import Release, load_release, made_at
from rung.release.pointer import list_releases
from rung.workload import Workload

COMPARED = 8  # releases in a chart
DASH = "\u2013"
SHARES = ("answered", "error", "whole")


@dataclass(frozen=True, slots=True)
class Row:
    """A release in a list. `shares` are the documents of the rates of `SHARES`; `trouble` says why there are none."""

    id: str
    made: datetime | None
    workload: str = ""
    parent: str | None = None
    tiers: tuple[str, ...] = ()
    cases: int = 0
    shares: Mapping[str, Mapping[str, Any]] | None = None
    at_most: float | None = None
    confidence: float | None = None
    passed: bool = False
    trouble: str = ""


def rows(workload: Workload, first: Sequence[str | None], most: int) -> list[Row]:
    """The workload's releases, the newest first, so many at most; before them those whose ids are given, if there are any."""
    named = [_row(workload, each) for each in dict.fromkeys(first) if each]
    others = (_row(workload, each) for each in list_releases(workload) if each not in first)
    return [*named, *islice((one for one in others if one.trouble or one.workload == workload.name), most)]


def verified(workload: Workload, name: str) -> Release:
    """The release, every file of it checked against its manifest, unless none was touched since that was done. Raises
    `ReleaseError`."""
    folder = workload.state / "releases" / name
    touched = [(path.as_posix(), at.st_mtime_ns, at.st_ctime_ns, at.st_size) for path in _files(folder) for at in [path.stat()]]
    return _verify(folder, tuple(touched))


def trouble(error: RungError, workload: Workload) -> str:
    """What is wrong with a release, without saying where on this machine it lies."""
    return str(error).replace(f"{workload.state / 'releases'}/", "release ").replace(f"{workload.folder}/", "")


def files(release: Release) -> list[tuple[str, int, str]]:
    """Every file with its size in bytes and its sha256."""
    manifest = json.loads((release.folder / "manifest.json").read_text(encoding="utf-8"))
    return [(name, (release.folder / name).stat().st_size, digest) for name, digest in sorted(manifest["files"].items())]


def lineage(release: Release) -> Mapping[str, Any]:
    """What it was made from and with, each tier in words."""
    found = json.loads((release.folder / "lineage.json").read_text(encoding="utf-8"))
    return {**found, "tiers": [(tier["name"], _made(tier)) for tier in found["tiers"]], "tightened": found.get("tightened")}


def figures(shown: Sequence[Row], promised: float) -> list[Block]:
    """The releases beside each other: the newest, if there are two that have figures."""
    told = [one for one in shown if one.shares and one.shares["answered"]["of"]][:COMPARED]
    if len(told) < 2:
        return []
    answered = [_bar(one, "answered") for one in told]
    error = [_bar(one, "error") for one in told if one.shares and one.shares["error"]["of"]]
    whiskers = "Whiskers: exact 95 % intervals, on each release's own test cases."
    found: list[Block] = [bars("Answered without a person", answered, Axis("Of the test cases", "share"), (), whiskers)]
    if error:
        axis, promise = Axis("Of the answered", "share", include=(promised,)), Reference("Promised", promised, "x")
        found.append(bars("Wrong among the answered", error, axis, [promise], whiskers))
    return found


@lru_cache(32)
def evidence(release: str, folder: Path) -> list[Block]:
    """The evidence that is frozen in a release, as its evaluation had it; the report in words where that is all there is."""
    # Here, not above: what serves loads this only if somebody looks.
    from rung.cascade.promise import Threshold
    from rung.evaluation.reading import read_metrics
    from rung.evaluation.report import evaluation_blocks
    from rung.workload import Promise

    told = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))
    if "metrics" not in told:
        return [Code((folder / "report.txt").read_text(encoding="utf-8"))]
    threshold, promise = Threshold(**told["threshold"]), Promise(**told["promise"])
    return evaluation_blocks(f"Release {release[:12]}", read_metrics(told["metrics"]), promise, threshold, _facts(told))


def put_there(promotions: Sequence[Promotion]) -> Mapping[str, Promotion]:
    """The last promotion of each release."""
    return {one.release: one for one in promotions}


def _facts(told: Mapping[str, Any]) -> list[Fact]:
    times, facts = told.get("times", {}), list[Fact]()
    for name in ("p50", "p99"):
        if quantile := times.get(name):
            ends = [DASH if quantile[end] is None else spell(quantile[end], "seconds") for end in ("low", "high")]
            facts.append(
                Fact(
                    f"Time of a case, {name}",
                    spell(quantile["seconds"], "seconds"),
                    f"{' to '.join(ends)}, n = {times['cases']:,}",
                )
            )
    if (drop := told.get("gate", {}).get("drop")) and drop["cases"]:
        seen, low, high = (drop["gained"] - drop["lost"]) / drop["cases"], drop["change_at_least"], drop["change_at_most"]
        ends = f"{100 * low:+.1f} to {100 * high:+.1f} points, n = {drop['cases']:,}"
        facts.append(Fact(f"Answered rightly, against {drop['against'][:12]}", f"{100 * seen:+.1f} points", ends))
    return facts


def _bar(row: Row, name: str) -> Bar:
    share = (row.shares or {})[name]
    return Bar(row.id[:12], share["share"], (share["low"], share["high"]), share["of"])


def _row(workload: Workload, name: str) -> Row:
    folder = workload.state / "releases" / name
    try:
        at = (folder / "manifest.json").stat().st_mtime_ns
    except OSError:
        return Row(name, None, trouble="its folder is not on this machine")
    return _read(folder, at)  # read again when it was touched


@lru_cache(1024)
def _read(folder: Path, at: int) -> Row:
    made = made_at(folder)
    try:
        told, made_from = (json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("evidence", "lineage"))
        metrics = told.get("metrics")
        return Row(
            folder.name,
            made,
            made_from["workload"],
            told.get("parent"),
            tuple(f"{tier['name']}: {_made(tier)}" for tier in made_from["tiers"]),
            told.get("cases") or 0,
            metrics and {share: metrics[share] for share in SHARES},
            told.get("error_at_most") if told.get("answered") else None,
            told.get("promise", {}).get("confidence"),
            Release(folder.name, folder, "", told, "").gated,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Row(folder.name, made, trouble="it cannot be read: it is damaged, or of another Rung")


def _made(tier: Mapping[str, Any]) -> str:
    """A tier's recipe, or the model behind its endpoint."""
    if "recipe" in tier:
        return f"{tier['recipe']}, {tier['precision']}"
    return f"{tier['model']}, {tier['size']}, {tier['boundary']} the walls"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


@lru_cache(64)
def _verify(folder: Path, touched: tuple[tuple[str, int, int, int], ...]) -> Release:
    return load_release(folder)
