"""Turns what the gateway does, and how it stands, into Prometheus metrics. Knows nothing about what they are used for."""

from __future__ import annotations

import asyncio
import time
from collections import Counter as Counted
from collections.abc import Collection
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from rung.core import Decision
from rung.ledger import Ledger, LedgerError

if TYPE_CHECKING:
    from rung.gateway.watching import Watch

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1)
STATES = {"broken": -1, "unknown": 0, "kept": 1}
FRESH = 5.0  # seconds that a count of the waiting cases is good for: each costs a query


class Metrics:
    """The metrics of one application, in a registry of their own."""

    def __init__(self) -> None:
        """Start from zero."""
        self._registry = registry = CollectorRegistry()
        of, tier = ("workload", "tier", "outcome"), ("workload", "tier")
        self._seconds = Histogram("rung_decision_seconds", "Wall time per decision", of, buckets=SECONDS, registry=registry)
        self._decisions = Counter("rung_decisions_total", "Decisions made", of, registry=registry)
        self._cost = Counter("rung_cost_dollars_total", "US dollars spent on models", of, registry=registry)
        self._confidence = Histogram(
            "rung_confidence", "Probability that a tier's answer is right, as given", tier, buckets=CONFIDENCE, registry=registry
        )
        self._tokens = Counter("rung_tokens_total", "Tokens that models read and wrote", (*tier, "direction"), registry=registry)
        self._requests = Counter(
            "rung_http_requests_total", "Requests answered; 499: the caller left", ("route", "status"), registry=registry
        )
        self._behind = Gauge(
            "rung_release_behind", "1: another release is promoted and cannot be opened here", ("workload",), registry=registry
        )
        self._queue = Gauge("rung_queue_cases", "Cases that wait for a person", ("workload",), registry=registry)
        self._wrong = Gauge(
            "rung_promise_error", "Share wrong among answers, as proven by now", ("workload", "part", "bound"), registry=registry
        )
        self._state = Gauge(
            "rung_promise_state", "-1: proven broken, 0: not known yet, 1: proven kept", ("workload", "part"), registry=registry
        )
        self._ringing = Gauge("rung_alarms_ringing", "Alarms that ring", ("workload", "kind"), registry=registry)
        self._counting = asyncio.Lock()
        self._counted = -FRESH

    def decided(self, workload: str, decision: Decision) -> None:
        """Count a decision, and each attempt that led to it."""
        labels = (workload, decision.tier, decision.outcome.value)
        self._seconds.labels(*labels).observe(decision.seconds)
        self._decisions.labels(*labels).inc()
        self._cost.labels(*labels).inc(decision.cost)
        for attempt in decision.attempts:
            if attempt.answer is not None:
                self._confidence.labels(workload, attempt.tier).observe(attempt.confidence)
                for direction, count in zip(("input", "output"), attempt.answer.tokens, strict=True):
                    if count:
                        self._tokens.labels(workload, attempt.tier, direction).inc(count)

    def answered(self, route: str, status: int) -> None:
        """Count a request under its route's path, not its own: what callers type must not become labels."""
        self._requests.labels(route, str(status)).inc()

    async def look(self, watches: Collection[Watch], ledger: Ledger) -> None:
        """See how the releases and their promises stand and, where the last count is older than `FRESH` seconds, how many cases
        wait. While the ledger cannot tell, there is no such number."""
        lives = [watch.live for watch in watches]
        for live in lives:
            self._behind.labels(live.workload.name).set(live.pointed not in (None, live.release))
        for gauge in (self._wrong, self._state, self._ringing):
            gauge.clear()  # parts and alarms come and go
        for watch in watches:
            name = watch.live.workload.name
            for part, standing in watch.standings.items():
                self._wrong.labels(name, part, "at_least").set(standing.at_least)
                self._wrong.labels(name, part, "at_most").set(standing.at_most)
                self._state.labels(name, part).set(STATES[standing.state])
            for kind, count in Counted(alarm.kind for alarm in watch.ringing).items():
                self._ringing.labels(name, kind).set(count)
        async with self._counting:
            if time.monotonic() < self._counted + FRESH:
                return
            try:
                for name in [live.workload.name for live in lives]:
                    self._queue.labels(name).set(await asyncio.to_thread(ledger.count_waiting, name))
            except LedgerError:
                self._queue.clear()
            self._counted = time.monotonic()

    def text(self) -> bytes:
        """Everything counted so far, in Prometheus's text format."""
        return generate_latest(self._registry)
