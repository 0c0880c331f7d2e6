"""Turns a cascade and agreed answers into evidence: what each tier answers, how often wrongly, how fast, at what cost."""

from rung.evaluation.asking import Agreed, Tick, ask_all, climb, judge, right
from rung.evaluation.evidence import Evidence, TierEvidence, describe, describe_outcome, evaluate
from rung.evaluation.gates import Drop, GateError, Ruling, doubts, gate, gate_drop, rulings
from rung.evaluation.metrics import Metrics, measure
from rung.evaluation.times import Times, times_of

__all__ = [
    "Agreed",
    "Drop",
    "Evidence",
    "GateError",
    "Metrics",
    "Ruling",
    "Tick",
    "TierEvidence",
    "Times",
    "ask_all",
    "climb",
    "describe",
    "describe_outcome",
    "doubts",
    "evaluate",
    "gate",
    "gate_drop",
    "judge",
    "measure",
    "right",
    "rulings",
    "times_of",
]
