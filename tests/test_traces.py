"""Decisions as OpenTelemetry spans, received by a collector on this machine: what they are called, hang below, and never say."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway_stage import workload as small_workload
from rung.cascade import Cascade, Tier
from rung.cascade.checks import Run, open_checks, watch_checks
from rung.core import Answer, Case, Fields, Problem
from rung.gateway import application, serving
from rung.gateway.traces import TracesError
from rung.ledger import open_ledger
from rung.release.live import Live
from rung.testing import FakeModel
from rung.workload import Endpoint, EndpointTier, Price, SpecialistTier, Workload

SECRET = "Rosa Hubermann, 12 Himmel Street"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
VENDOR = EndpointTier(
    "vendor/large-instruct",
    Endpoint("vendor", "https://llm.example:8443/v1", "upper", "open", "inside", Price()),
    "large-instruct",
)


@dataclass
class Span:
    """A span as a collector received it."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    start: int
    end: int
    failed: bool
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    service: str


@dataclass
class Collector:
    """An OTLP collector over HTTP: every span it was sent, and the bytes they came as."""

    url: str
    received: list[bytes] = field(default_factory=list)
    status: int = 200

    def spans(self) -> list[Span]:
        """Every span, by the time it began."""
        found: list[Span] = []
        for body in self.received:
            request = ExportTraceServiceRequest.FromString(body)
            for group in request.resource_spans:
                service = _plain(group.resource.attributes)["service.name"]
                found += [_span(span, service) for scope in group.scope_spans for span in scope.spans]
        return sorted(found, key=lambda span: (span.start, -span.end))


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def _span(span: Any, service: str) -> Span:
    events = [(event.name, _plain(event.attributes)) for event in span.events]
    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
    times = span.start_time_unix_nano, span.end_time_unix_nano
    return Span(span.name, *ids, span.kind, *times, span.status.code == 2, _plain(span.attributes), events, service)


@contextmanager
def collecting() -> Iterator[Collector]:
    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if collector.status == 200 and self.path == "/v1/traces":
                collector.received.append(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
            self.send_response(collector.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that the environment names."""
    with collecting() as running:
        for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SDK_DISABLED"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
        yield running


def check(case: Case, fields: Fields) -> tuple[Problem, ...]:
    return (Problem("names_an_order", f"{case.text} names none"),) if fields["intent"] == SECRET else ()


def tier(name: str, script: Any, **settings: Any) -> Tier:
    return Tier(name, FakeModel(script), lambda signals: 0.75, **settings)


@asynccontextmanager
async def served(
    folder: Path, *tiers: Tier, declared: Workload | None = None, checks: Callable[[Case, Fields], tuple[Problem, ...]] = check
) -> AsyncIterator[str]:
    ledger = open_ledger(f"sqlite:///{folder}/ledger.db")
    live = Live(declared or small_workload(folder), Cascade(tiers, 0.5, "r1", lambda fields: fields, checks), ledger)
    async with serving(application([live], ledger, open_access=True), "127.0.0.1", 0) as url:
        yield url
    await ledger.close()


def ask(folder: Path, *tiers: Tier, headers: Mapping[str, str] = CALLER, **stage: Any) -> dict[str, Any]:
    """One decision, with the server begun before and ended after it."""

    async def go() -> dict[str, Any]:
        async with served(folder, *tiers, **stage) as url, aiohttp.ClientSession() as caller:
            body = {"input": SECRET, "context": {"name": SECRET}, "user": SECRET}
            async with caller.post(f"{url}/v1/workloads/support/decisions", json=body, headers=headers) as reply:
                assert reply.status == 200
                return await reply.json()

    return asyncio.run(go())


def answers(answer: Answer | None) -> Any:
    return lambda case, objections: answer


def test_a_decision_is_a_span_below_the_callers_and_each_attempt_one_below_it(tmp_path: Path, collector: Collector) -> None:
    sure = Answer({"intent": "refund"}, cost=0.002, seconds=0.05, tokens=(312, 17))
    declared = replace(small_workload(tmp_path), tiers=(SpecialistTier(), VENDOR))
    cascade = tier("specialist", answers(Answer({"intent": SECRET}, seconds=0.25))), tier(VENDOR.name, answers(sure))
    told = ask(tmp_path, *cascade, declared=declared)
    root, small, large = collector.spans()
    assert (root.name, root.trace, root.parent, root.kind) == ("rung.decide support", TRACE, "00f067aa0ba902b7", 2)
    assert root.attributes == {
        "rung.workload": "support",
        "rung.decision.id": told["id"],
        "rung.release": "r1",
        "rung.outcome": "escalated",
        "rung.tier": "vendor/large-instruct",
        "rung.confidence": 0.75,
        "rung.cost": 0.002,
    }
    assert {span.trace for span in (small, large)} == {TRACE} and {small.parent, large.parent} == {root.id}
    assert (small.name, small.kind, small.failed) == ("rung.tier specialist", 1, False)
    assert small.attributes == {"rung.tier": "specialist", "rung.confidence": 0.75, "rung.trusted": False, "rung.cost": 0.0}
    assert small.events == [("rung.objection", {"rung.check": "names_an_order"})]
    assert small.end - small.start == 250_000_000 and large.start == small.end and large.end - large.start == 50_000_000
    assert (large.name, large.kind) == ("chat large-instruct", 3)
    assert large.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "large-instruct",
        "gen_ai.output.type": "json",
        "gen_ai.usage.input_tokens": 312,
        "gen_ai.usage.output_tokens": 17,
        "server.address": "llm.example",
        "server.port": 8443,
        "rung.endpoint": "vendor",
        "rung.tier": "vendor/large-instruct",
        "rung.confidence": 0.75,
        "rung.trusted": True,
        "rung.cost": 0.002,
    }


SLOW = """
import time

def slow(case, answer):
    time.sleep(0.05)
    return f"{case.text} is no intent" if answer["intent"] == "refund" else None

def never(case, answer):
    return None
"""


def test_each_check_of_an_answer_is_a_span_below_its_attempt_with_the_time_it_had(tmp_path: Path, collector: Collector) -> None:
    (tmp_path / "checks.py").write_text(SLOW)
    names = ("checks.py:slow", "checks.py:never")
    checks = open_checks(replace(small_workload(tmp_path), checks=names))
    cascade = (
        tier("specialist", answers(Answer({"intent": "refund"}))),
        tier(VENDOR.name, answers(Answer({"intent": SECRET}))),
        tier("vendor/broken", lambda case, _: ValueError(case.text)),
        tier("vendor/last", answers(Answer({"intent": "other"}, seconds=0.25))),
    )
    began = time.time_ns()
    ask(tmp_path, *cascade, checks=checks)
    spans, ended = collector.spans(), time.time_ns()
    attempts = [span for span in spans if span.attributes.get("rung.tier") and not span.name.startswith("rung.decide")]
    below = {one.name: [span for span in spans if span.parent == one.id] for one in attempts}
    assert {name: [(each.name, each.attributes) for each in its] for name, its in below.items()} == {
        name: [
            (f"rung.check {check}", {"rung.check": check, "rung.objected": check == objecting})
            for check in ("schema", *names)
            if objecting is not None
        ]
        for name, objecting in (
            ("rung.tier specialist", names[0]),
            ("chat large-instruct", "schema"),
            ("chat broken", None),
            ("chat last", ""),
        )
    }
    for one in attempts:
        for span in below[one.name]:
            assert one.start <= span.start <= span.end <= one.end and (span.kind, span.failed) == (1, False)
            assert span.end - span.start >= 50_000_000 or not span.name.endswith("slow")
    first = below["rung.tier specialist"]
    assert began < first[0].start <= first[0].end <= first[1].start < first[1].end <= first[2].start < ended
    assert attempts[1].start == attempts[0].end and all(SECRET.encode() not in body for body in collector.received)


def test_checks_are_watched_where_somebody_traces_alone(tmp_path: Path) -> None:
    checks = open_checks(small_workload(tmp_path))
    case, fields = Case("x"), {"intent": SECRET}

    async def unwatched() -> tuple[Problem, ...]:
        return checks(case, fields)

    async def watched() -> tuple[Sequence[Run], tuple[Problem, ...]]:
        return watch_checks(), checks(case, fields)

    runs, found = asyncio.run(watched())
    assert [(run.check, run.objected, run.answer is fields) for run in runs] == [("schema", True, True)]
    assert asyncio.run(unwatched()) == found != () and len(runs) == 1


def test_no_span_holds_a_text_or_an_answer(tmp_path: Path, collector: Collector) -> None:
    fails = tier("vendor/large", lambda case, _: ValueError(f"cannot read {case.text}"))
    ask(tmp_path, tier("specialist", answers(Answer({"intent": SECRET})), repairs=True), fails)
    assert len(collector.spans()) == 4 and collector.received
    for word in (SECRET, "Rosa", "Himmel", "cannot read"):
        assert all(word.encode() not in body for body in collector.received)


def test_an_attempt_that_fails_says_of_which_kind(tmp_path: Path, collector: Collector) -> None:
    hangs = tier("vendor/large", answers(None), timeout=0.05)
    ask(tmp_path, tier("specialist", lambda case, _: ValueError(case.text)), hangs)
    root, *attempts = collector.spans()
    assert not root.failed and root.attributes["rung.outcome"] == "review"
    assert [(span.failed, span.attributes["error.type"], span.events) for span in attempts] == [
        (True, "ValueError", []),
        (True, "timeout", []),
    ]
    assert attempts[1].attributes["gen_ai.request.model"] == "large"
    assert not {"gen_ai.usage.input_tokens", "server.address"} & attempts[1].attributes.keys()


@pytest.mark.parametrize("given", [{}, {"traceparent": "00-nonsense-01"}, {"traceparent": f"00-{'0' * 32}-{'0' * 16}-01"}])
def test_without_a_usable_parent_a_decision_begins_a_trace(tmp_path: Path, collector: Collector, given: dict[str, str]) -> None:
    ask(tmp_path, tier("specialist", answers(Answer({"intent": "other"}))), headers=given)
    root, attempt = collector.spans()
    assert root.parent == "" and len(root.trace) == 32 and attempt.parent == root.id and attempt.trace == root.trace


def test_what_the_caller_does_not_sample_is_not_sent(tmp_path: Path, collector: Collector) -> None:
    ask(
        tmp_path,
        tier("specialist", answers(Answer({"intent": "other"}))),
        headers={"traceparent": CALLER["traceparent"][:-1] + "0"},
    )
    assert collector.spans() == []


def test_the_service_is_rung_unless_the_environment_names_it(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
    ask(tmp_path / "one", tier("specialist", answers(Answer({"intent": "other"}))))
    monkeypatch.setenv("OTEL_SERVICE_NAME", "triage")
    ask(tmp_path / "other", tier("specialist", answers(Answer({"intent": "other"}))))
    assert [span.service for span in collector.spans()] == ["rung", "rung", "triage", "triage"]


def test_a_collector_that_is_down_keeps_neither_callers_nor_the_server(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rung.gateway.spans.CLOSING", 0.1)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    collector.status = 503  # which the exporter tries again and again
    assert ask(tmp_path, tier("specialist", answers(Answer({"intent": "other"}))))["outcome"] == "accepted"
    assert collector.spans() == []


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=environment)


OPEN = "from rung.gateway.traces import open_spans; import sys; spans = open_spans(); "


def test_opentelemetry_is_loaded_only_where_the_environment_asks_for_it() -> None:
    script = OPEN + "import rung.gateway; print(spans, any(name.startswith('opentelemetry') for name in sys.modules))"
    for environment in ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}):
        assert run(script, **environment).stdout.split() == ["None", "False"]


def test_without_the_extra_the_error_says_what_to_install() -> None:
    script = "import sys; sys.modules['opentelemetry'] = None\n" + OPEN
    ended = run(script, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert f"{TracesError.__name__}: OTEL_EXPORTER_OTLP_ENDPOINT is set" in ended.stderr and "rung[otel]" in ended.stderr
