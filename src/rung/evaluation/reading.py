"""Turns the document of metrics that a release keeps back into them. What the document leaves out is left out: disagreements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from rung.evaluation.confidence import Calibration, RiskCoverage
from rung.evaluation.fields import FieldMetrics
from rung.evaluation.metrics import Metrics, TierMetrics
from rung.evaluation.rates import Estimate, Rate
from rung.evaluation.slices import Slice, Worse

_RATES = ("answered", "error", "whole", "refused", "objected", "hallucinated", "accepted_hallucinated")


def read_metrics(document: Mapping[str, Any]) -> Metrics:
    """The metrics whose `Metrics.document` this is. Raises KeyError or `msgspec.ValidationError` for one of another shape."""
    slices = msgspec.convert(document["slices"], tuple[Slice, ...])
    named = {(one.by, one.value): one for one in slices}
    return Metrics(
        cases=document["cases"],
        **{name: msgspec.convert(document[name], Rate) for name in _RATES},
        cost=msgspec.convert(document["cost_usd_per_case"], Estimate | None),
        tiers=msgspec.convert(document["tiers"], tuple[TierMetrics, ...]),
        fields=tuple(_field(one) for one in document["fields"]),
        calibration=msgspec.convert(document["calibration"], Calibration | None),
        risk_coverage=msgspec.convert(document["risk_coverage"], RiskCoverage | None),
        slices=slices,
        worst=tuple(
            Worse(named[one["by"], one["value"]], msgspec.convert(one["rest"], Rate), one["p"], one["compared"])
            for one in document["worst"]
        ),
        disagreements=(),
    )


def _field(document: Mapping[str, Any]) -> FieldMetrics:
    about = {"name": document["field"]} | ({"f1": document["macro_f1"]} if document["fill"] == "label" else document["values"])
    return msgspec.convert({**document, **about}, FieldMetrics)
