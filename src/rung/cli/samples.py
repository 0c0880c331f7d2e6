"""The messages that `rung up` plays when nobody is at the terminal: the workload's own samples, or the first of its gold."""

from __future__ import annotations

from rung.batch import read_cases
from rung.gold import read_gold
from rung.workload import Workload

SAMPLES = "samples.jsonl"  # beside the workload file
MOST = 12


def read_samples(workload: Workload) -> list[str]:
    """A dozen texts. Raises `BatchError` or `GoldError` naming every line that is none."""
    own = workload.folder / SAMPLES
    cases = read_cases(own) if own.exists() else [example.case for example in read_gold(workload).examples]
    return [case.text for case in cases[:MOST]]
