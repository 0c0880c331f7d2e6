"""Turns a cascade and agreed answers into evidence: what each tier answers, how often wrongly, how fast, at what cost."""

from rung.evaluation.asking import Agreed, Tick, ask_all, climb, judge, right
from rung.evaluation.evidence import Evidence, TierEvidence, describe, describe_outcome, evaluate
from rung.evaluation.gates import Drop, GateError, gate, gate_drop
from rung.evaluation.metrics import Metrics, measure

__all__ = [
    "Agreed",
    "Drop",
    "Evidence",
    "GateError",
    "Metrics",
    "Tick",
    "TierEvidence",
    "ask_all",
    "climb",
    "describe",
    "describe_outcome",
    "evaluate",
    "gate",
    "gate_drop",
    "judge",
    "measure",
    "right",
]
