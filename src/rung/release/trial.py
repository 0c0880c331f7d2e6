"""Turns two releases into a trial of one beside the other, and a case into its part in it. Knows nothing about statistics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import get_args
from urllib.parse import urlsplit

from rung.core import Case, new_id
from rung.ledger import Assignment, End, Kind, Ledger, Trial, TrialRefused
from rung.release.frozen import Release, load_release, load_workload, require_gated
from rung.workload import EndpointTier, Success, Workload

METRICS: tuple[str, ...] = get_args(Success)  # that A/B may decide by
GUARDS = ("person", "failed", "slow", "overturned", "hallucinated")  # that have margins, besides the slices
SLICED = "slices."  # begins the name of a margin that holds in each slice by an attribute
_LOOSER = ("never", "redacted", "anything")
_POINTS = 0.05  # by which more cases may go to a person where no limit says how far it may drop
_WIDEST = 0.99
_RARE = 0.01  # by which more may fail or be slow: p99 lets one in a hundred be slow


@dataclass(frozen=True, slots=True)
class Terms:
    """How a release is tried: as a shadow, a canary or A/B, on which share of the cases (0..1), drawn by which unit."""

    kind: Kind
    share: float = 1.0
    unit: str = ""


def start_trial(workload: Workload, release: Release, ledger: Ledger, terms: Terms, by: str, why: str) -> Trial:
    """Try a release beside the one that answers now; running gateways begin within a second. An A/B is decided by what the
    workload names as its success at this moment, and keeps that.

    Raises `Ungated` for a challenger without evidence, `TrialRefused` for one that answers already, may send out more than the
    live release or asks an address outside the walls that it does not, or where another trial runs.
    """
    pointed = ledger.current_release(workload.name)
    if pointed is None:
        raise TrialRefused(f"{workload.name}: no release answers yet that another could be tried beside. Next: rung promote.")
    live, challenger = (load_workload(each) for each in (load_release(release.folder.parent / pointed), require_gated(release)))
    slow = live.limits.p99 or ledger.summary(workload.name).p99
    for reason in (*_misfits(workload, terms, slow), *_objections(live, challenger, terms)):
        raise TrialRefused(f"{workload.name}: release {release.id[:12]} is not tried: {reason}")
    if pointed == release.id:
        raise TrialRefused(f"{workload.name}: release {release.id[:12]} answers already. Next: rung release list names others.")
    margins = {} if terms.kind == "shadow" else _margins(live)
    trial = Trial(
        id=new_id(),
        workload=workload.name,
        kind=terms.kind,
        release=release.id,
        against=pointed,
        share=terms.share,
        unit=terms.unit,
        metric=workload.success if terms.kind == "ab" else "",
        slow=slow,
        margins=margins,
        at=datetime.now(UTC),
        by=by,
        why=why,
        dear=live.limits.cost_per_case,
    )
    ledger.begin_trial(trial)
    return trial


def stop_trial(workload: Workload, ledger: Ledger, by: str, why: str) -> Trial:
    """End the trial that runs, and give it back; the live release answers alone within a second. Raises `TrialRefused`."""
    trial = ledger.trial(workload.name, running=True)
    if trial is None or not ledger.end_trial(trial.id, End(datetime.now(UTC), by, f"stopped: {why}")):
        raise TrialRefused(f"{workload.name}: no release is being tried. Next: rung release trial shows the last one.")
    return trial


def assign(trial: Trial, case: Case) -> Assignment | None:
    """A case's part in a trial: None for one that no shadow follows. Its arm says who decides it.

    The same unit is always drawn alike within a trial, and independently of that in another one.
    """
    value = (case.user or None) if trial.unit == "user" else None
    if value is None and trial.unit:
        value = case.context.get(trial.unit)
    drawn_by = f"{trial.id} {trial.unit} {case.id if value is None else value}"
    digest = blake2b(drawn_by.encode("utf-8", "backslashreplace"), digest_size=8).digest()
    drawn = int.from_bytes(digest) < trial.share * 2**64
    if trial.kind == "shadow" and not drawn:
        return None
    arm = "challenger" if drawn and trial.kind != "shadow" else "live"
    return Assignment(trial.id, arm, "" if value is None else digest.hex())


def _margins(live: Workload) -> dict[str, float]:
    """How much more often than the live release's each kind of the challenger's bad events may come."""
    limits = live.limits
    margins = {"person": _POINTS if limits.dropped is None else limits.dropped, "failed": _RARE, "slow": _RARE}
    margins |= {"overturned": live.promise.error}
    if limits.hallucinated is not None and any(field.fill == "copy" for field in live.fields):
        margins |= {"hallucinated": limits.hallucinated}
    margins |= {f"{SLICED}{by}": ceiling for by, ceiling in limits.slices.items()}
    return {name: min(margin, _WIDEST) for name, margin in margins.items()}


def _misfits(workload: Workload, terms: Terms, slow: float | None) -> Iterator[str]:
    most = "1" if terms.kind == "shadow" else "less than 1, so that some are left to compare with"
    if not 0 < terms.share <= 1 or (terms.share == 1 and terms.kind != "shadow"):
        yield f"a share of {terms.share:g} was asked for, and it must be more than 0 and {most}."
    if terms.kind == "ab" and workload.success == "latency" and slow is None:
        yield "whether an answer comes in time is not known here. Next: say limits.p99 in the workload file and promote that."


def _objections(live: Workload, challenger: Workload, terms: Terms) -> Iterator[str]:
    """What would leave the walls that did not before, or reach callers who did not ask for it."""
    one, other = live.boundary, challenger.boundary
    if _LOOSER.index(other.may_leave) > _LOOSER.index(one.may_leave):
        yield (
            f"its boundary lets more out than the live release's: {other.may_leave} instead of {one.may_leave}. Widen that by a "
            "promotion, never by a trial."
        )
    if one.may_leave == other.may_leave == "redacted" and (missing := sorted({*one.redact} - {*other.redact})):
        yield f"it does not mask {', '.join(missing)}, which the live release does. Widen that by a promotion, never by a trial."
    reached = [(_address(tier.endpoint.url), tier.endpoint.boundary) for tier in _endpoints(live)]
    for endpoint in (tier.endpoint for tier in _endpoints(challenger)):
        known = {boundary for address, boundary in reached if address == _address(endpoint.url)}
        host = {boundary for (name, _), boundary in reached if name == _address(endpoint.url)[0]}
        if endpoint.boundary == "outside" and not known:
            yield (
                f"its endpoint {endpoint.name} is outside the walls, at an address the live release does not reach. Widen that "
                "by a promotion."
            )
        elif endpoint.boundary == "inside" and "inside" not in known and "outside" in host:
            yield f"its endpoint {endpoint.name} is said to be inside the walls, where the live release's is outside."
    if challenger.name != live.name:
        yield f"it belongs to the workload {challenger.name}."
    if terms.kind != "shadow" and challenger.schema != live.schema:
        yield "its answers have another schema, and callers must not get now one, now the other. Next: rung release shadow."


def _endpoints(workload: Workload) -> Iterator[EndpointTier]:
    return (tier for tier in workload.tiers if isinstance(tier, EndpointTier))


def _address(url: str) -> tuple[str, int | None]:
    """The host and port that a URL leads to, however it is written."""
    parts = urlsplit(url)
    return (parts.hostname or "").rstrip("."), parts.port or {"https": 443, "http": 80}.get(parts.scheme)
