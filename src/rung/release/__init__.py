"""A frozen cascade and its evidence: a folder with one content hash, what points to it, what answers from it, and trials."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rung.release.changes import changed_files, changed_parts
    from rung.release.frozen import (
        FORMAT,
        TIERS,
        Parts,
        Release,
        ReleaseError,
        Shown,
        Ungated,
        find_release,
        freeze,
        freeze_at,
        inputs_of,
        learnt_by,
        load_release,
        load_workload,
        made_at,
        require_gated,
        seen_by,
        source_files,
        unlabelled_files,
    )
    from rung.release.live import LONGEST, CaseError, Live, open_live
    from rung.release.opening import (
        asked_schema,
        build_cascade,
        close_models,
        open_release,
        open_specialist,
        open_tiers,
        require_openable,
    )
    from rung.release.pointer import (
        NothingBefore,
        answered_before,
        current_release,
        gated_against,
        ledger_of,
        left_behind,
        list_releases,
        must_compare,
        named_release,
        promote,
        release_at,
        rollback,
    )
    from rung.release.trial import METRICS, Terms, assign, start_trial, stop_trial
    from rung.release.trial_measures import ALPHA
    from rung.release.trial_report import describe_trial, report_trial
    from rung.release.trial_tally import Tally, Watch

__all__ = [
    "ALPHA",
    "FORMAT",
    "LONGEST",
    "METRICS",
    "TIERS",
    "CaseError",
    "Live",
    "NothingBefore",
    "Parts",
    "Release",
    "ReleaseError",
    "Shown",
    "Tally",
    "Terms",
    "Ungated",
    "Watch",
    "answered_before",
    "asked_schema",
    "assign",
    "build_cascade",
    "changed_files",
    "changed_parts",
    "close_models",
    "current_release",
    "describe_trial",
    "find_release",
    "freeze",
    "freeze_at",
    "gated_against",
    "inputs_of",
    "learnt_by",
    "ledger_of",
    "left_behind",
    "list_releases",
    "load_release",
    "load_workload",
    "made_at",
    "must_compare",
    "named_release",
    "open_live",
    "open_release",
    "open_specialist",
    "open_tiers",
    "promote",
    "release_at",
    "report_trial",
    "require_gated",
    "require_openable",
    "rollback",
    "seen_by",
    "source_files",
    "start_trial",
    "stop_trial",
    "unlabelled_files",
]

_HOMES = {
    "changes": "changed_files changed_parts",
    "frozen": (
        "FORMAT TIERS Parts Release ReleaseError Shown Ungated find_release freeze freeze_at inputs_of learnt_by "
        "load_release load_workload made_at require_gated seen_by source_files unlabelled_files"
    ),
    "live": "LONGEST CaseError Live open_live",
    "opening": "asked_schema build_cascade close_models open_release open_specialist open_tiers require_openable",
    "pointer": (
        "NothingBefore answered_before current_release gated_against ledger_of left_behind list_releases must_compare "
        "named_release promote release_at rollback"
    ),
    "trial": "METRICS Terms assign start_trial stop_trial",
    "trial_measures": "ALPHA",
    "trial_report": "describe_trial report_trial",
    "trial_tally": "Tally Watch",
}


def __getattr__(name: str) -> Any:
    """Load a public name's home when it is first asked for: who rolls back in a hurry waits for no model's library."""
    for home, names in _HOMES.items():
        if name in names.split():
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
