"""What Prometheus is told of decisions and of how things stand, and the dashboard that asks for exactly that."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

import rung.gateway.metrics
from gateway_stage import Stage, ask, decide, staged
from rung.core import Answer, Attempt, Case, Decision, Outcome
from rung.gateway.metrics import Metrics
from rung.ledger import Ledger, LedgerError

DASHBOARD = json.loads((Path(__file__).resolve().parent.parent / "dashboards/grafana.json").read_text("utf-8"))
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def escalated() -> Decision:
    small = Attempt("specialist", Answer({"intent": "other"}), (), 0.4, 0.01)
    failed = Attempt("vendor/large", None, (), 0.0, 1.0, 0.001)
    large = Attempt("vendor/large", Answer({"intent": "refund"}, tokens=(312, 17)), (), 0.97, 1.0, 0.002, trusted=True)
    return Decision("1", Outcome.ESCALATED, {"intent": "refund"}, 0.97, "vendor/large", "r1", 0.003, 2.01, (small, failed, large))


def samples(text: bytes) -> dict[str, float]:
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in text.decode().splitlines() if line[0] != "#")}


def scraped(stage: Stage) -> dict[str, float]:
    status, body = asyncio.run(ask(stage.app, "GET", "/metrics"))
    assert status == 200
    return samples(body)


def test_each_tiers_answers_are_counted_with_their_confidence_and_tokens() -> None:
    metrics = Metrics()
    metrics.decided("support", escalated())
    told = samples(metrics.text())
    small, large = '{tier="specialist",workload="support"}', '{tier="vendor/large",workload="support"}'
    assert told[f"rung_confidence_count{small}"] == 1 and told[f"rung_confidence_sum{small}"] == pytest.approx(0.4)
    assert told[f"rung_confidence_count{large}"] == 1 and told[f"rung_confidence_sum{large}"] == pytest.approx(0.97)
    tokens = {name: value for name, value in told.items() if name.startswith("rung_tokens_total")}
    assert tokens == {
        'rung_tokens_total{direction="input",tier="vendor/large",workload="support"}': 312,
        'rung_tokens_total{direction="output",tier="vendor/large",workload="support"}': 17,
    }


def test_the_queue_is_counted_anew_only_once_the_last_count_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with staged(tmp_path) as stage:
        queue = 'rung_queue_cases{workload="support"}'
        assert scraped(stage)[queue] == 0
        asyncio.run(ask(stage.app, "POST", "/v1/workloads/support/decisions", b'{"input": "hard"}'))
        assert scraped(stage)[queue] == 0
        monkeypatch.setattr(rung.gateway.metrics, "FRESH", 0.0)
        assert scraped(stage)[queue] == 1


def test_while_the_ledger_cannot_tell_there_is_no_queue_and_everything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(ledger: Ledger, workload: str) -> int:
        raise LedgerError("gone")

    monkeypatch.setattr(rung.gateway.metrics, "FRESH", 0.0)
    with staged(tmp_path) as stage:
        assert 'rung_queue_cases{workload="support"}' in scraped(stage)
        monkeypatch.setattr(Ledger, "count_waiting", lost)
        told = scraped(stage)
        assert 'rung_queue_cases{workload="support"}' not in told and told['rung_release_behind{workload="support"}'] == 0


def test_a_gateway_that_cannot_open_the_promoted_release_says_that_it_is_behind(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        behind = 'rung_release_behind{workload="support"}'
        assert scraped(stage)[behind] == 0
        stage.live.pointed = "another"
        assert scraped(stage)[behind] == 1
        stage.live.pointed = stage.live.release
        assert scraped(stage)[behind] == 0


# The dashboard


def exported(folder: Path) -> dict[str, set[str]]:
    """Every series that is exported once something was decided, with the names of its labels."""
    with staged(folder) as stage:
        stage.app._metrics.decided("support", escalated())
        stage.app._metrics.decided("support", decide(Case("hard")))
        asyncio.run(ask(stage.app, "GET", "/healthz"))
        stage.live.pointed = "another"
        asyncio.run(stage.app._watches["support"].look())  # an alarm rings
        found: dict[str, set[str]] = {}
        for name in scraped(stage):
            series, _, labels = name.partition("{")
            found.setdefault(series, set()).update(re.findall(r'(\w+)="', labels))
        return found


def test_every_query_of_the_dashboard_asks_for_what_is_exported(tmp_path: Path) -> None:
    told = exported(tmp_path)
    for query in QUERIES:
        asked = re.findall(r"\b(rung_\w+)(?:\{([^}]*)\})?", query)
        assert asked, query
        for name, selectors in asked:
            labels = set(re.findall(r"(\w+)[!=~]+\"", selectors))
            labels |= {label for by in re.findall(r"by \(([^)]*)\)", query) for label in by.split(", ")} - {"instance"}
            assert name in told and labels <= told[name], (query, name, told.get(name))


def test_the_dashboard_shows_every_metric(tmp_path: Path) -> None:
    asked = set(re.findall(r"rung_\w+?(?=_bucket|\b)", " ".join(QUERIES)))
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exported(tmp_path) if not name.endswith("_created")}
    assert asked == families


def test_the_dashboard_names_no_data_source_of_its_own_and_lays_no_panel_over_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        places: Any = panel["gridPos"]
        cells = {(places["x"] + x, places["y"] + y) for x in range(places["w"]) for y in range(places["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        assert panel["title"] and panel["description"] and panel["fieldConfig"]["defaults"]["unit"]
        assert {each["datasource"]["uid"] for each in (panel, *panel["targets"])} == {"${datasource}"}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
