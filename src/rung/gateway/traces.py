"""Turns the environment into whatever sends traces, or into nothing: OpenTelemetry is loaded only where somebody listens."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rung.core import RungError

if TYPE_CHECKING:
    from rung.gateway.spans import Spans

ADDRESSES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class TracesError(RungError):
    """Traces are asked for, and what sends them is not installed."""

    code = "traces_unavailable"


def open_spans() -> Spans | None:
    """What sends traces to the collector that the environment names by OpenTelemetry's own variables; None where it names none.

    Raises `TracesError` where the extra `otel` is missing.
    """
    named = next((name for name in ADDRESSES if os.environ.get(name)), None)
    if named is None:
        return None
    try:
        from rung.gateway.spans import Spans
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise TracesError(
            f"{named} is set, and traces need the extra otel. Next: pip install 'rung[otel]', or unset it."
        ) from None
    return Spans()
