"""The page of the workload: what the file says, in words, and nothing of it left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Page, expect

from browser import findings
from gateway_stage import FakeLive, Stage, staged
from rung.ledger import Ledger
from rung.models.calibration import Calibration
from rung.release.frozen import Parts, freeze, load_workload
from rung.workload import Workload, load
from small_workload import CONTENT, write_workload
from test_pages import call

FILE = """\
# What Larkfield's desk does all day.
workload: small
task: >
  Name the intent of the message
  and copy its order number.
answer:
  type: object
  properties:
    intent: {enum: [refund, login, weather]}
    order: {type: [string, "null"], pattern: "^AB[0-9]{4}$", find: ['(?i)\\bAB[ -]?[0-9]{4}\\b']}
    amount: {type: [number, "null"]}
    reply: {type: string, template: "replies/{intent}.md"}
  required: [intent, order, amount, reply]
  additionalProperties: false
gold: gold.jsonl
tiers:
  - specialist
  # the large one
  - {endpoint: slm, model: llm, timeout: 2s, examples: 3}
promise: {error: 0.05, confidence: 0.95}
limits: {p99: 300ms, cost_per_case: 0.002, escalated: 0.4, slices: {intent: 0.2}}
boundary: {may_leave: redacted, redact: [email, card]}
review: {sample: 0.03, second: 0.1, on_broken: tighten}
alarms: [{email: [ops@example.org]}]
volume: 40_000/month

# Money
costs: {machine_hour: 0.2}
"""
ENDPOINTS = """\
slm: {url: "https://slm.example/v1", size: core, weights: open, boundary: outside, price: {input: 1.0, output: 2.0}}
"""
EVIDENCE: dict[str, Any] = {
    "promise": {"error": 0.05, "confidence": 0.95},
    "threshold": {"level": 0.9, "cases": 814, "answered": 536, "wrong": 18, "bound": 0.0494},
    "metrics": {"error": {"count": 21, "of": 524, "share": 0.04, "low": 0.025, "high": 0.061}},
    "gate": {"passed": True, "drop": None},
    "gold": {},
}
SAID = (
    "Name the intent of the message and copy its order number.",
    "one of 3: refund, login, weather",
    "a text like ^AB[0-9]{4}$ from the text, found by 1 pattern; or none",
    "a number from the text, found as the gold answers teach; or none",
    "replies/{intent}.md",
    "llm at slm, outside your walls",
    "$1 in and $2 out a million tokens, shown 3 examples, 2 s at most",
    "at most 5.0 % are wrong, with 95.0 % confidence",
    "Acceptance level: 90.0 %",
    "Of 814 calibration cases 536 are answered at this level, 18 of them wrongly: at most 4.9 %",
    "21 of 524 answers were wrong, 4.0 % (95 % interval 2.5 % to 6.1 %)",
    "99 of 100 cases are decided within 300 ms.",
    "A case costs $0.002 at most on average",
    "leave at most 40.0 % of the cases",
    "Within each intent, at most 20.0 % of the answers are wrong.",
    "asked with these masked: email, card",
    "3.0 % of the answers given without them are drawn at random",
    "what follows is an alarm, and a higher acceptance level",
    "E-mail to ops@example.org",
    "the machine at $0.2 an hour and people at $30 an hour and 60 s a case. Some 40,000 cases are expected a month.",
)


@contextmanager
def showing(folder: Path, file: str = FILE, evidence: Mapping[str, Any] = EVIDENCE) -> Iterator[Stage]:
    """A gateway whose workload comes from a frozen release, as it does in production."""
    write_workload(folder, 6)
    (folder / "workload.yaml").write_text(file, encoding="utf-8")
    (folder / "endpoints.yaml").write_text(ENDPOINTS, encoding="utf-8")
    parts = Parts({}, {name: Calibration({}, 0.0) for name in ("specialist", "slm/llm")}, 0.9)
    release = freeze(load(folder), parts, "inputs", evidence, "")

    def live(workload: Workload, ledger: Ledger) -> FakeLive:
        return FakeLive(workload, ledger, release.id)

    with staged(folder, make=live, given=load_workload(release)) as stage:
        yield stage


def test_each_part_is_told_beside_its_lines(tmp_path: Path, tab: Page) -> None:
    with showing(tmp_path) as stage:
        tab.goto(f"{stage.url}/w/small/workload")
        for words in SAID:
            expect(tab.locator("main")).to_contain_text(words)
        told = {part.locator("h2").inner_text(): part.locator("pre") for part in tab.locator(".part").all()}
        assert [*told][:6] == ["Task", "Answer", "Gold", "Tiers", "Promise", "Limits"]  # as in the file
        assert [name for name, lines in told.items() if lines.count() == 0] == ["Checks", "Trials", "Bake-off"]
        assert told["Task"].inner_text().startswith("# What Larkfield's desk does all day.\nworkload: small\ntask: >\n  Name")
        assert told["Tiers"].inner_text().splitlines()[2] == "  # the large one"
        assert told["Costs"].inner_text() == "volume: 40_000/month\n# Money\ncosts: {machine_hour: 0.2}"


def test_the_file_is_shown_word_for_word(tmp_path: Path, tab: Page) -> None:
    with showing(tmp_path) as stage:
        (stage.live.workload.folder.parents[3] / "workload.yaml").write_text("workload: another\n", encoding="utf-8")
        tab.goto(f"{stage.url}/w/small/workload")
        for summary, text in (("The whole file", FILE), ("The endpoints beside it", ENDPOINTS)):
            tab.get_by_text(summary, exact=True).click()
            assert tab.get_by_role("region", name=summary.replace(" beside it", ""), exact=True).inner_text() == text


@pytest.mark.parametrize("file", [yaml.safe_dump(CONTENT, default_flow_style=True, width=1e9), yaml.safe_dump(CONTENT)])
def test_a_file_without_comments_or_lines_is_explained_too(tmp_path: Path, file: str) -> None:
    with showing(tmp_path, file, {"gate": {"passed": True}, "gold": {}, "promise": {}}) as stage:
        status, _, page = call(stage, "GET", "/w/small/workload")
        assert status == 200 and "one of 3: refund, login, weather" in page
        assert "What it was derived from is not kept on this machine." in page
        assert "Nobody is told of alarms" in page and "No text ever leaves" in page


def test_what_the_file_holds_is_only_text(tmp_path: Path, tab: Page) -> None:
    hostile = "</pre><script>document.title='x'</script><img src=x onerror=document.title='x'>{{ 7 * 7 }}"
    content = {**CONTENT, "task": hostile, "answer": None, "labels": [hostile, "other"]}
    with showing(tmp_path, yaml.safe_dump({name: value for name, value in content.items() if value is not None})) as stage:
        tab.goto(f"{stage.url}/w/small/workload")
        expect(tab.get_by_text(hostile, exact=True).first).to_be_visible()
        assert tab.title().endswith("Rung") and tab.locator("main script, main img").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_is_for_everyone(tmp_path: Path, tab: Page, theme: str) -> None:
    tab.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    with showing(tmp_path) as stage:
        for width in (1280, 390):
            tab.set_viewport_size({"width": width, "height": 800})
            tab.goto(f"{stage.url}/w/small/workload")
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            assert findings(tab) == []
