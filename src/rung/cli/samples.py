"""The messages that `rung up` plays when nobody is at the terminal: the workload's own samples, or the first of its gold."""

from __future__ import annotations

from rung.batch import read_cases
from rung.core import Case
from rung.workload import Workload

SAMPLES = "samples.jsonl"  # beside the workload file
MOST = 12


def read_samples(workload: Workload) -> list[str]:
    """A dozen texts. Raises `BatchError` or `GoldError` naming every line that is none."""
    own = workload.folder / SAMPLES
    return [case.text for case in (read_cases(own) if own.exists() else _gold_cases(workload))[:MOST]]


def _gold_cases(workload: Workload) -> list[Case]:
    from rung.gold import read_gold  # here, so that a process that serves does not load what reads gold

    return [example.case for example in read_gold(workload).examples]
