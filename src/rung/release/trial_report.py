"""Turns a trial and what the ledger has of it into a document for people and programs. Knows nothing about terminals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rung.core import Fields, same
from rung.ledger import Ledger, Trial
from rung.release.trial_tally import Tally
from rung.workload import Workload


def report_trial(ledger: Ledger, trial: Trial, workload: Workload | None = None) -> dict[str, Any]:
    """All of a trial as JSON: its terms, both arms, what is proven about each measure, and the first cases of a shadow trial that
    are decided differently, with the fields in which both answers part. The workload is that of the trial's releases: see
    `Tally`."""
    tally = Tally(trial, workload)
    tally.read(ledger, ledger.marks())
    return describe_trial(ledger, tally)


def describe_trial(ledger: Ledger, tally: Tally) -> dict[str, Any]:
    """The same of a trial that was read as far as it was."""
    trial = tally.trial
    end = trial.end and {"at": trial.end.at.isoformat(), "by": trial.end.by, "result": trial.end.result}
    terms = {name: getattr(trial, name) for name in ("id", "workload", "kind", "release", "against", "share", "unit", "metric")}
    told = {**terms, "at": trial.at.isoformat(), "by": trial.by, "why": trial.why, "ended": end, **tally.document()}
    return told if trial.kind != "shadow" else {**told, "differing": list(_differing(ledger, trial, tally.differing))}


def _differing(ledger: Ledger, trial: Trial, ids: list[str]) -> Iterator[dict[str, Any]]:
    records, unseen = ledger.find_all(ids), ledger.unseen(trial.id, ids)
    for one in ids:
        case, live, other = records[one].case, records[one].decision, unseen[one]
        yield {"decision": one, "text": case.text, **_apart(live.answer, other.answer)}


def _apart(live: Fields | None, challenger: Fields | None) -> dict[str, dict[str, Any] | None]:
    """What the two say in the fields in which they part; whole answers where a person decides one."""
    if live is None or challenger is None:
        return {arm: None if says is None else dict(says) for arm, says in (("live", live), ("challenger", challenger))}
    names = [name for name in {**live, **challenger} if not same(live.get(name), challenger.get(name))]
    return {arm: {name: says.get(name) for name in names} for arm, says in (("live", live), ("challenger", challenger))}
