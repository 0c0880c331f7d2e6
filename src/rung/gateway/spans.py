"""Turns decisions into OpenTelemetry spans and sends them in the background. Knows names and numbers, never a text or an answer.

Names are those of OpenTelemetry's semantic conventions for generative AI (open-telemetry/semantic-conventions-genai, in
development in November 2026), and `rung.` where they have none.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from threading import Thread
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from rung.cascade.checks import Run
from rung.core import Attempt, Decision
from rung.workload import EndpointTier, Workload

CLOSING = 5.0  # seconds that spans not yet sent are given at the end

Attributes = dict[str, str | int | float | bool]


class Spans:
    """What sends them, to where OpenTelemetry's environment variables say; those also name the service and sample."""

    def __init__(self) -> None:
        """Begin to send. A collector that is down or slow costs spans, which is logged, and no request anything."""
        resource = Resource.create({"service.name": "rung"}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("rung")
        self._callers = TraceContextTextMapPropagator()

    def add(
        self, workload: Workload, decision: Decision, began: int, headers: Mapping[str, str], checks: Sequence[Run] = ()
    ) -> None:
        """A span for the decision, below the caller's by the header `traceparent`, one below it for each attempt, and one below
        that for each of the `checks` of its answer.

        The decision's lasts from `began` (Unix nanoseconds) until now. Attempts are laid one after another from there, each as
        long as its decision says, and until its last check is done: what is left at the end is the time the record took.
        """
        caller = self._callers.extract(headers, Context())
        attributes: Attributes = {
            "rung.workload": workload.name,
            "rung.decision.id": decision.id,
            "rung.release": decision.release,
            "rung.outcome": decision.outcome.value,
            "rung.tier": decision.tier,
            "rung.confidence": decision.confidence,
            "rung.cost": decision.cost,
        }
        name = f"rung.decide {workload.name}"
        root = self._tracer.start_span(name, caller, SpanKind.SERVER, attributes, start_time=began)
        ends = began
        if root.is_recording():
            below = set_span_in_context(root, Context())
            for attempt in decision.attempts:
                its = [run for run in checks if attempt.answer is not None and run.answer is attempt.answer.fields]
                ends = self._add_attempt(workload, attempt, ends, below, its)
        root.end(max(ends, time.time_ns()))

    async def close(self) -> None:
        """Send what is left, for at most `CLOSING` seconds: a collector that is down must not keep the server."""
        last = Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        await asyncio.to_thread(last.join, CLOSING)

    def _add_attempt(self, workload: Workload, attempt: Attempt, began: int, below: Context, checks: Sequence[Run]) -> int:
        """Its span, with an event for each check that objected and a span for each that ran; returns when it ended."""
        ended = began + round(attempt.seconds * 1e9)
        attributes: Attributes = {
            "rung.tier": attempt.tier,
            "rung.confidence": attempt.confidence,
            "rung.trusted": attempt.trusted,
            "rung.cost": attempt.cost,
        }
        if generation := _generation(workload, attempt):
            name, kind = f"chat {generation['gen_ai.request.model']}", SpanKind.CLIENT
        else:
            name, kind = f"rung.tier {attempt.tier}", SpanKind.INTERNAL
        span = self._tracer.start_span(name, below, kind, attributes | generation, start_time=began)
        if attempt.answer is None:
            span.set_attribute("error.type", _kind_of_failure(attempt))
            span.set_status(Status(StatusCode.ERROR))
        else:
            for problem in attempt.problems:
                span.add_event("rung.objection", {"rung.check": problem.check}, ended)
        inside = set_span_in_context(span, Context())
        for run in checks:
            at = max(run.began, began)  # a model may say that it took longer than it did
            told: Attributes = {"rung.check": run.check, "rung.objected": run.objected}
            check = self._tracer.start_span(f"rung.check {run.check}", inside, SpanKind.INTERNAL, told, start_time=at)
            ended = max(ended, at + round(run.seconds * 1e9))
            check.end(at + round(run.seconds * 1e9))
        span.end(ended)
        return ended


def _generation(workload: Workload, attempt: Attempt) -> Attributes:
    """What is told of an endpoint's attempt, nothing of others. The provider is the protocol's, whoever serves the model."""
    endpoint, slash, model = attempt.tier.partition("/")  # that of a trial's challenger may not be among the workload's own
    if not slash:
        return {}
    attributes: Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": model,
        "gen_ai.output.type": "json",
        "rung.endpoint": endpoint,
    }
    tier = next((tier for tier in workload.tiers if isinstance(tier, EndpointTier) and tier.name == attempt.tier), None)
    if tier is not None:
        server = urlsplit(tier.endpoint.url)
        attributes |= {"gen_ai.request.model": tier.model, "rung.endpoint": tier.endpoint.name}
        attributes |= {
            "server.address": server.hostname or "",
            "server.port": server.port or (443 if server.scheme == "https" else 80),
        }
    if attempt.answer is not None and any(attempt.answer.tokens):
        read, written = attempt.answer.tokens
        attributes |= {"gen_ai.usage.input_tokens": read, "gen_ai.usage.output_tokens": written}
    return attributes


def _kind_of_failure(attempt: Attempt) -> str:
    """The name of what a model raised, or `timeout`. Nothing else of its words is told: they may repeat the case."""
    words = attempt.problems[0].message if attempt.problems else ""
    if words.startswith("no answer within"):
        return "timeout"
    named = re.match(r"[A-Za-z_][\w.]*(?=:|\Z)", words)
    return named[0] if named else "_OTHER"
