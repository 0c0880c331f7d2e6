"""The workload's file, explained: each part of it in words, beside its lines, as the release at work was made from it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rung.charts import Block, Callout, Paragraph, spell
from rung.gateway.pages.explained import SECTIONS
from rung.gateway.pages.site import Site, fragment
from rung.workload import Workload

ENDPOINTS = "endpoints.yaml"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the file in words, and its lines; none where the file does not speak of it."""

    title: str
    words: Markup
    lines: str


@dataclass(frozen=True, slots=True)
class Explained:
    """A workload's file and the endpoints beside it, as they are; its parts in the file's order, those left to defaults last."""

    text: str
    endpoints: str
    parts: Sequence[Part]


def routes(site: Site) -> list[Route]:
    """The page. What was read of a release is remembered: it does not change."""
    known: dict[str, tuple[str, Explained]] = {}

    async def show(request: Request) -> Response:
        live = site.live(request)
        name, release = live.workload.name, live.release
        if name not in known or known[name][0] != release:
            known[name] = release, await asyncio.to_thread(_explain, live.workload, live.level)
        return site.render(request, "workload.html", title="Workload", tab="workload", since=live.since, explained=known[name][1])

    return [site.page("/w/{workload}/workload", show)]


def _explain(workload: Workload, level: float) -> Explained:
    text = _text(workload.file)
    lines = _cut(text)
    order = [*lines]
    said: list[tuple[int, Part]] = []
    for section in SECTIONS:
        blocks = [*section.explain(workload), *(_accepted(workload, level) if section.title == "Promise" else ())]
        mine = [key for key in order if key in section.keys]
        first = order.index(mine[0]) if mine else len(order)
        said.append((first, Part(section.title, fragment(blocks), "\n".join(lines.pop(key) for key in mine))))
    new = [Paragraph("This part is described in the documentation of workload files.")]
    said += [(order.index(key), Part(key, fragment([*new]), cut)) for key, cut in lines.items()]
    return Explained(text, _text(workload.folder / ENDPOINTS), [part for _, part in sorted(said, key=lambda one: one[0])])


def _cut(text: str) -> dict[str, str]:
    """The lines of each of the file's keys, with the comment right above it; nothing for a file that is all on one line."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        return {}
    begins = [_above(text, key.start_mark.index - key.start_mark.column) for key, _ in root.value]
    ends = [*begins[1:], len(text)]
    return {key.value: text[begin:end].rstrip() for (key, _), begin, end in zip(root.value, begins, ends, strict=True)}


def _above(text: str, begin: int) -> int:
    """Where the comment begins that ends where this line begins."""
    while begin > 0:
        line = text.rfind("\n", 0, begin - 1) + 1
        if not text.startswith("#", line):
            break
        begin = line
    return begin


def _accepted(workload: Workload, level: float) -> list[Block]:
    """The acceptance level of the release at work, and what shows that it keeps the promise."""
    title, evidence = f"Acceptance level: {spell(level, 'share')}", _evidence(workload)
    if "threshold" not in evidence:
        return [Callout("neutral", title, "What it was derived from is not kept on this machine.")]
    found = evidence["threshold"]
    promise, source = workload.promise, found.get("source", "calibration cases")
    bound, error, sure = (spell(share, "share") for share in (found["bound"], promise.error, promise.confidence))
    derived = (
        f"Of {found['cases']:,} {source} {found['answered']:,} are answered at this level, {found['wrong']:,} of them wrongly: "
        f"at most {bound}, so the promise of {error} is kept with {sure} confidence. Lower levels were tried until one failed."
    )
    blocks: list[Block] = [Callout("good", title, derived)]
    if tightened := evidence.get("tightened"):
        before = spell(tightened["level_before"], "share")
        blocks.append(Paragraph(f"It was {before} until the promise was proven broken on live traffic, and was raised since."))
    if tested := evidence.get("metrics", {}).get("error"):
        between = f"95 % interval {spell(tested['low'], 'share')} to {spell(tested['high'], 'share')}"
        wrong = f"{tested['count']:,} of {tested['of']:,} answers were wrong, {spell(tested['share'], 'share')} ({between})"
        blocks.append(Paragraph(f"On test cases, which neither training nor the level has seen, {wrong}."))
    return blocks


def _evidence(workload: Workload) -> Mapping[str, Any]:
    """What the release was let out on; nothing for a workload that comes from no release."""
    release = workload.folder.parent
    if not (release / "manifest.json").is_file():
        return {}
    return json.loads((release / "evidence.json").read_text(encoding="utf-8"))


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
