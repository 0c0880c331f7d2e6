"""Turns the workload's gold file into checked examples, and those into train, calibration and test.

Knows nothing about models, thresholds or the ledger.
"""

from rung.gold.examples import Example, Gold, GoldError, read_gold
from rung.gold.parts import Part, Shares, Split, digest_of, split
from rung.gold.records import read_texts
from rung.gold.similarity import near_duplicate_share, near_duplicates, near_groups
from rung.gold.survey import Survey, survey

__all__ = [
    "Example",
    "Gold",
    "GoldError",
    "Part",
    "Shares",
    "Split",
    "Survey",
    "digest_of",
    "near_duplicate_share",
    "near_duplicates",
    "near_groups",
    "read_gold",
    "read_texts",
    "split",
    "survey",
]
