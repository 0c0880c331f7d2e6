"""A frozen cascade and its evidence: a folder with one content hash, what points to it, and what answers from it."""

from rung.release.frozen import (
    FORMAT,
    TIERS,
    Parts,
    Release,
    ReleaseError,
    find_release,
    freeze,
    inputs_of,
    learnt_by,
    load_release,
    source_files,
    unlabelled_files,
)
from rung.release.live import LONGEST, CaseError, Live, open_live
from rung.release.opening import asked_schema, build_cascade, close_models, open_release, open_specialist, open_tiers
from rung.release.pointer import current_release, ledger_of, named_release, promote

__all__ = [
    "FORMAT",
    "LONGEST",
    "TIERS",
    "CaseError",
    "Live",
    "Parts",
    "Release",
    "ReleaseError",
    "asked_schema",
    "build_cascade",
    "close_models",
    "current_release",
    "find_release",
    "freeze",
    "inputs_of",
    "learnt_by",
    "ledger_of",
    "load_release",
    "named_release",
    "open_live",
    "open_release",
    "open_specialist",
    "open_tiers",
    "promote",
    "source_files",
    "unlabelled_files",
]
