"""Turns what the gateway does into Prometheus metrics. Knows nothing about what they are used for."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from rung.core import Decision

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """The metrics of one application, in a registry of their own."""

    def __init__(self) -> None:
        """Start from zero."""
        self._registry = CollectorRegistry()
        of = ("workload", "tier", "outcome")
        self._seconds = Histogram("rung_decision_seconds", "Wall time per decision", of, buckets=SECONDS, registry=self._registry)
        self._decisions = Counter("rung_decisions_total", "Decisions made", of, registry=self._registry)
        self._cost = Counter("rung_cost_dollars_total", "US dollars spent on models", of, registry=self._registry)
        self._requests = Counter(
            "rung_http_requests_total", "Requests answered; 499: the caller left", ("route", "status"), registry=self._registry
        )

    def decided(self, workload: str, decision: Decision) -> None:
        """Count a decision."""
        labels = (workload, decision.tier, decision.outcome.value)
        self._seconds.labels(*labels).observe(decision.seconds)
        self._decisions.labels(*labels).inc()
        self._cost.labels(*labels).inc(decision.cost)

    def answered(self, route: str, status: int) -> None:
        """Count a request under its route's path, not its own: what callers type must not become labels."""
        self._requests.labels(route, str(status)).inc()

    def text(self) -> bytes:
        """Everything counted so far, in Prometheus's text format."""
        return generate_latest(self._registry)
