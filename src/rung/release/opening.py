"""Turns a frozen release into a cascade ready for `decide`. Knows nothing about the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rung.cascade import Cascade, Tier
from rung.cascade.checks import open_checks
from rung.cascade.redaction import Redacting
from rung.cascade.templates import open_templates
from rung.core import Model, Specialist
from rung.models.encoder import Encoder
from rung.models.endpoint import EndpointModel
from rung.models.heads import read_calibration
from rung.models.specialist import load_specialist
from rung.models.static import load_static
from rung.release.frozen import TIERS, Parts, Release, Shown, load_workload
from rung.workload import EndpointTier, Field, SpecialistTier, Workload, find_key

OWN_KEYWORDS = frozenset({"fill", "find", "synonyms", "template"})  # what a field's schema says to Rung and to nobody else


def asked_schema(workload: Workload) -> dict[str, Any]:
    """The answer's JSON Schema as an endpoint is shown it: without template fields and without Rung's own keywords."""
    properties = {
        field.name: {key: value for key, value in field.schema.items() if key not in OWN_KEYWORDS}
        for field in workload.fields
        if field.name in workload.asked
    }
    return {**workload.schema, "properties": properties, "required": list(properties)}


def open_tiers(
    workload: Workload,
    specialists: Mapping[str, Model],
    shown: Mapping[str, Sequence[Shown]] | None = None,
    most: int | None = None,
) -> list[tuple[str, Model, float, bool]]:
    """Each tier's name, model, timeout in seconds and whether it is asked again on objections, in the workload's order; `shown`
    are the cases that endpoints see before each of theirs, by tier, and `most` the tokens an answer may have that is paid by
    them."""
    asked = asked_schema(workload)
    tiers: list[tuple[str, Model, float, bool]] = []
    for tier in workload.tiers:
        if isinstance(tier, EndpointTier):
            key = find_key(tier.endpoint, workload.folder / "endpoints.yaml")
            examples = tuple((shown or {}).get(tier.name, ()))
            endpoint = EndpointModel(tier, workload.task, asked, key, examples)
            if most:
                endpoint.limit(most)
            model: Model = endpoint
            if tier.endpoint.boundary == "outside" and workload.boundary.may_leave == "redacted":
                model = Redacting(model, workload.boundary.redact)
            tiers.append((tier.name, model, tier.timeout, True))
        else:
            tiers.append((tier.name, specialists[tier.name], 20.0, False))
    return tiers


def build_cascade(workload: Workload, parts: Parts, release: str) -> Cascade:
    """The cascade that a release describes, ready for `decide`."""
    return Cascade(
        tiers=tuple(
            Tier(name, model, parts.calibrations[name], timeout, repairs)
            for name, model, timeout, repairs in open_tiers(workload, parts.specialists, parts.shown)
        ),
        level=parts.level,
        release=release,
        complete=open_templates(workload),
        check=open_checks(workload),
    )


def open_release(release: Release, encoder: Encoder) -> tuple[Workload, Cascade]:
    """The frozen workload and its cascade: from the release's own files, not from those beside the workload today."""
    workload = load_workload(release)
    return workload, build_cascade(workload, _open_parts(workload, release, encoder), release.id)


def require_openable(release: Release, encoder: Encoder) -> None:
    """Open what lies in a release, and let it go: its models, checks and templates. Raises what `open_release` would, save for an
    endpoint's key that is not set here: only the machines that serve need it."""
    workload = load_workload(release)
    _open_parts(workload, release, encoder)
    open_templates(workload)
    open_checks(workload)


def _open_parts(workload: Workload, release: Release, encoder: Encoder) -> Parts:
    raw = json.loads((release.folder / "cascade.json").read_text(encoding="utf-8"))
    return Parts(
        {
            tier.name: open_specialist(tier, release.folder / TIERS / tier.name, encoder, workload.fields)
            for tier in workload.tiers
            if isinstance(tier, SpecialistTier)
        },
        {name: read_calibration(calibration) for name, calibration in raw["calibrations"].items()},
        float(raw["level"]),
        shown={name: [(text, fields) for text, fields in cases] for name, cases in raw["shown"].items()},
    )


def open_specialist(tier: SpecialistTier, folder: Path, encoder: Encoder, fields: Sequence[Field]) -> Specialist:
    """What the tier's recipe has left in a folder. Raises `ArtefactError`."""
    return load_static(folder, fields) if tier.recipe == "static" else load_specialist(folder, encoder, fields)


async def close_models(cascade: Cascade) -> None:
    """Release what the tiers' models hold."""
    for tier in cascade.tiers:
        await tier.model.close()
