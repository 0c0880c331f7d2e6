"""The documentation is true: what it shows was made from the code, and what it tells to do works."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import shutil
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

import rung
from gateway_stage import ask, staged
from rung.boxes import read_page
from rung.cascade.redaction import redact
from rung.gateway import digest, new_key
from rung.gateway.guard import GuardedRoute
from rung.gateway.keys import ROLES
from rung.gateway.wire import _TROUBLE
from rung.gold import read_gold
from rung.ledger import LedgerError
from rung.models.encoder import Encoder
from rung.workflows import train
from rung.workload import load
from small_workload import write_workload

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))

import make  # noqa: E402

PAGES = [path for pattern in ("*.md", "docs/*.md", "examples/*/*.md", "benchmarks/*.md") for path in ROOT.glob(pattern)]


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def without_chance(text: str) -> str:
    """The page without what differs from one run to the next: identifiers and times."""
    text = re.sub(r"\b[0-9a-f]{28}\b", "ID", text)
    text = re.sub(r'"at": "[^"]+"', '"at": "TIME"', text)
    return re.sub(r'"created":( ?)\d+', r'"created":\1TIME', text)


@pytest.mark.parametrize("page", make.PAGES)
def test_every_made_part_agrees_with_the_code(page: str) -> None:
    written, made = (ROOT / page).read_text(encoding="utf-8"), make.page(page)
    assert without_chance(written) == without_chance(made), "run `.venv/bin/python docs/make.py`"


def test_every_file_that_the_tree_names_exists() -> None:
    assert [name for name in make.FILES if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_the_python_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minilm: Encoder, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = blocks("README.md", "python")
    write_workload(tmp_path / "examples" / "support", workload="support")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RUNG_LEDGER", raising=False)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "support. Promise:" in printed and names["decision"].tier in ("specialist", "person")
    status, body = asyncio.run(ask(names["app"], "GET", "/v1/models"))
    assert status == 200 and json.loads(body)["data"][0]["id"] == "support"
    assert len(code.strip().splitlines()) <= 20


def test_the_readme_imports_nothing_but_rungs_public_names() -> None:
    (code,) = blocks("README.md", "python")
    assert set(re.findall(r"\brung\.(\w+)", code)) <= set(rung.__all__)


def stub(folder: Path, content: dict[str, Any]) -> None:
    """The files that a documented workload names, so that it can really be loaded."""
    properties = content.get("answer", {}).get("properties", {})
    for label in properties.get("intent", {}).get("enum", []):
        (folder / "replies").mkdir(exist_ok=True)
        (folder / "replies" / f"{label}.md").write_text("Order {order_id}\n", encoding="utf-8")
    for check in content.get("checks", []):
        file, name = check.split(":")
        (folder / file).write_text(f"def {name}(case, answer):\n    return None\n", encoding="utf-8")
    (folder / content["gold"]).write_text("", encoding="utf-8")
    (folder / "GUIDE.md").write_text("How cases are settled.\n")


@pytest.mark.parametrize("text", blocks("docs/workload.md", "yaml workload") + blocks("README.md", "yaml"))
def test_every_documented_workload_loads(text: str, tmp_path: Path) -> None:
    (endpoints,) = blocks("docs/workload.md", "yaml endpoints")
    (tmp_path / "endpoints.yaml").write_text(endpoints, encoding="utf-8")
    (tmp_path / "workload.yaml").write_text(text, encoding="utf-8")
    stub(tmp_path, yaml.safe_load(text))
    assert load(tmp_path).name == yaml.safe_load(text)["workload"]


def test_the_full_example_uses_every_key() -> None:
    full, short = (yaml.safe_load(text) for text in blocks("docs/workload.md", "yaml workload"))
    schema = json.loads((ROOT / "src/rung/workload/workload.schema.json").read_text(encoding="utf-8"))
    assert full.keys() | short.keys() == schema["properties"].keys()
    (endpoints,) = blocks("docs/workload.md", "yaml endpoints")
    one = json.loads((ROOT / "src/rung/workload/endpoints.schema.json").read_text(encoding="utf-8"))["additionalProperties"]
    assert {key for endpoint in yaml.safe_load(endpoints).values() for key in endpoint} == one["properties"].keys()


def test_the_documented_gold_is_gold(tmp_path: Path) -> None:
    """Each shown line three times over, with another number or twice: a label needs more than one example."""
    full, short = (yaml.safe_load(text) for text in blocks("docs/workload.md", "yaml workload"))
    (line,) = blocks("docs/workload.md", "json gold")
    stub(tmp_path, full)
    (tmp_path / "endpoints.yaml").write_text(blocks("docs/workload.md", "yaml endpoints")[0], encoding="utf-8")
    (tmp_path / "workload.yaml").write_text(yaml.safe_dump(full), encoding="utf-8")
    (tmp_path / "gold.jsonl").write_text("".join(line.replace("lamp", f"lamp {n}") for n in range(3)), encoding="utf-8")
    assert len(read_gold(load(tmp_path)).examples) == 3
    (table,) = blocks("docs/workload.md", "csv")
    rows = list(csv.reader(io.StringIO(table)))
    again = "".join(
        f"{text} {n},{label}\n" for n in range(3) for text, label in ((r[0].replace(",", ""), r[1]) for r in rows[1:])
    )
    (tmp_path / "workload.yaml").write_text(yaml.safe_dump(short), encoding="utf-8")
    (tmp_path / "gold.csv").write_text(table + again, encoding="utf-8")
    assert len(read_gold(load(tmp_path)).examples) == 4 * (len(rows) - 1)


def test_the_documented_places_hold_the_documented_values() -> None:
    (line,) = map(json.loads, blocks("docs/workload.md", "json spans"))
    assert line["spans"].keys() == line["expected"].keys()
    for name, places in line["spans"].items():
        assert {line["input"][start:end] for start, end in places} <= {str(line["expected"][name]), f"{line['expected'][name]}0"}


def test_the_documented_page_becomes_the_documented_text() -> None:
    (page,), (text,) = blocks("docs/workload.md", "json page"), blocks("docs/workload.md", "text page")
    assert read_page(json.loads(page)) == text.rstrip("\n")


def test_every_route_is_documented_and_no_other(tmp_path: Path) -> None:
    table = re.findall(r"^\| `([A-Z]+) (/[^`]*)` \|.*\| (\w+) \|$", (ROOT / "docs/http.md").read_text("utf-8"), re.MULTILINE)
    with staged(tmp_path) as stage:
        routes = [route for route in stage.app._router.routes if isinstance(route, GuardedRoute)]  # pages are for people
        served = {(method, route.path) for route in routes for method in (route.methods or set()) - {"HEAD"}}
    with staged(tmp_path, open_access=False) as stage:
        keys = {role: new_key() for role in ROLES}
        for role, key in keys.items():
            stage.ledger.add_key(role, digest(key), datetime.now(UTC), role)

        def least(method: str, path: str) -> str:
            """What a caller must have to be told anything but that they may not."""
            shown = [("none", {}), *((role, {"authorization": f"Bearer {key}"}) for role, key in keys.items())]
            told = ((who, asyncio.run(ask(stage.app, method, path, headers=header))[0]) for who, header in shown)
            return next(who for who, status in told if status not in (401, 403))

        closed = {(method, path, least(method, path)) for method, path, _ in table}
    assert {(method, path) for method, path, _ in table} == served
    assert {*table} == closed


def test_every_error_code_is_documented_and_no_other() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src/rung/gateway").glob("*.py"))
    given = set(re.findall(r'Refusal\(\s*[0-9]{3}, "(\w+)"', sources)) | {code for code, _ in _TROUBLE.values()}
    rows = re.findall(r"^\| [0-9, ]+ \| (`.+`) \|", (ROOT / "docs/http.md").read_text("utf-8"), re.MULTILINE)
    told = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert told == given | {LedgerError.code, "internal_error"}


def test_the_documented_masking_is_what_is_masked() -> None:
    (shown,) = blocks("docs/workload.md", "text redact")
    text, masked = shown.splitlines()
    assert redact(text, ["email", "phone", "card", "iban"]).text == masked


def test_every_metric_is_documented_and_no_other(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        asyncio.run(ask(stage.app, "POST", "/v1/workloads/support/decisions", b'{"input": "hello"}'))
        text = asyncio.run(ask(stage.app, "GET", "/metrics"))[1].decode()
    told = set(re.findall(r"^\| `(rung_\w+)`", (ROOT / "docs/operating.md").read_text("utf-8"), re.MULTILINE))
    exposed = set(re.findall(r"^# HELP (rung_\w+)", text, re.MULTILINE))
    assert told == {name for name in exposed if not name.endswith("_created")}


def test_the_documented_openai_client_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("docs/http.md", "python")
    with staged(tmp_path) as stage:
        exec(compile(code, "docs/http.md", "exec"), {"url": stage.url})
    assert json.loads(capsys.readouterr().out) == {"intent": "refund"}


def test_the_documented_decision_has_the_fields_of_a_decision(tmp_path: Path) -> None:
    (shown,) = blocks("docs/cli.md", "json")
    with staged(tmp_path) as stage:
        body = asyncio.run(ask(stage.app, "POST", "/v1/workloads/support/decisions", b'{"input": "hello"}'))[1]
    assert list(json.loads(shown)) == list(json.loads(body))


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    from rung.gateway import app, chat, guard, server, wire

    page = (ROOT / "docs/http.md").read_text(encoding="utf-8")
    numbers = (
        server.HEADER_BYTES,
        wire.BODY_BYTES,
        wire.DEPTH,
        wire.VALUES,
        wire.TEXT,
        chat.MESSAGES,
        app.NOTE,
        guard.CONCURRENT,
    )
    rows = re.findall(r"^\| [^|]+ \| ([0-9,]+)(?: bytes, within \d+ s)? \|$", page, re.MULTILINE)
    assert [int(row.replace(",", "")) for row in rows] == list(numbers)


def test_the_examples_counts_are_those_of_its_gold() -> None:
    page = (ROOT / "examples/support/README.md").read_text(encoding="utf-8")
    gold = [json.loads(line) for line in (ROOT / "examples/support/gold.jsonl").read_text("utf-8").splitlines()]
    channels = Counter(line["context"]["channel"] for line in gold)
    told = dict(re.findall(r"^\| (\w+) \| ([0-9,]+) \|$", page, re.MULTILINE))
    assert {name: int(count.replace(",", "")) for name, count in told.items()} == dict(channels)
    expected = [line["expected"] for line in gold]
    priorities = Counter(each["priority"] for each in expected)
    assert f"{priorities['normal']:,} normal, {priorities['high']:,} high, {priorities['low']:,} low" in page
    has = {name: sum(each[name] is not None for each in expected) for name in ("order_id", "amount", "email")}
    assert f"{has['order_id']:,} messages have an order number, {has['amount']:,} an amount, {has['email']:,} an e-mail" in page
    assert f"The {len(gold):,} messages" in page


@pytest.mark.slow
def test_the_report_of_the_readme_is_the_examples_report(tmp_path: Path, minilm: Encoder) -> None:
    shutil.copytree(ROOT / "examples" / "support", tmp_path / "support", ignore=shutil.ignore_patterns(".rung"))
    release = train(load(tmp_path / "support"), encoder=minilm)
    lines = [line for line in release.report.splitlines() if line and not line.startswith("Time")]
    page, evidence = (ROOT / "README.md").read_text(encoding="utf-8"), release.evidence
    assert [line for line in lines if line not in page] == []
    example = " ".join((ROOT / "examples/support/README.md").read_text(encoding="utf-8").split())
    share, wrong = evidence["answered"] / evidence["cases"], evidence["wrong"]
    seen = f"{evidence['answered']} are answered ({share:.1%}), {wrong} of them wrongly"
    bounds = f"at least {evidence['error_at_least']:.2%} and at most {evidence['error_at_most']:.2%}"
    assert seen.replace("%", " %") in example and bounds.replace("%", " %") in example


def test_no_page_names_this_machine() -> None:
    assert [page.name for page in PAGES if re.search(r"/(?:home|root|tmp|work)/", page.read_text(encoding="utf-8"))] == []
