"""A frozen cascade and its evidence: a folder with one content hash, and what answers from it. Knows nothing about training."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from rung.cascade import Cascade, Tier, decide
from rung.cascade.checks import open_checks, sources
from rung.cascade.redaction import Redacting
from rung.cascade.templates import open_templates, template_files
from rung.core import Case, Decision, Model, RungError, Specialist
from rung.ledger import Ledger, Record, open_ledger
from rung.models.calibration import Calibration
from rung.models.encoder import Encoder, open_encoder
from rung.models.endpoint import EndpointModel
from rung.models.specialist import load_specialist, read_calibration
from rung.models.static import load_static
from rung.workload import EndpointTier, Field, SpecialistTier, Workload, find_key, load

LONGEST = 100_000  # characters of a case, on every interface and in gold
TIERS = "tiers"  # where in a release each specialist has its folder
LEARNT = "learnt.json"
FORMAT = 5  # raise it when a release of an earlier Rung must be trained again
OWN_KEYWORDS = frozenset({"fill", "find", "synonyms", "template"})  # what a field's schema says to Rung and to nobody else


class ReleaseError(RungError):
    """A release is missing, damaged, or made by another version."""

    code = "release_unusable"


class CaseError(RungError):
    """A case that no cascade should be asked about."""

    code = "case_invalid"


@dataclass(frozen=True, slots=True)
class Release:
    """A frozen cascade on disk. `id` is the hash of all its content, `inputs` the hash of what it was made from."""

    id: str
    folder: Path
    inputs: str
    evidence: Mapping[str, Any]
    report: str


@dataclass(frozen=True, slots=True)
class Parts:
    """What a release is frozen from: its specialists by tier, each tier's calibration, the acceptance level; and what its
    encoders were taught, the digest of each text with its answer's, so that nothing that goes on from them is judged by it."""

    specialists: Mapping[str, Specialist]
    calibrations: Mapping[str, Calibration]
    level: float
    learnt: Mapping[str, str] = field(default_factory=dict[str, str])


def source_files(workload: Workload) -> dict[str, bytes]:
    """Every file that says how cases are decided, by its path: the workload file, endpoints, checks, templates."""
    files = sources(workload)
    paths = [workload.file, workload.folder / "endpoints.yaml"]
    paths += [path for field in workload.fields if field.fill == "template" for path in template_files(workload, field)]
    for path in paths:
        if path.exists():
            files[path.relative_to(workload.folder).as_posix()] = path.read_bytes()
    return files


def unlabelled_files(workload: Workload) -> list[Path]:
    """The files of texts without answers that its tiers learn from, each once."""
    named = [tier.unlabelled for tier in workload.tiers if isinstance(tier, SpecialistTier) and tier.unlabelled]
    return list(dict.fromkeys(named))


def inputs_of(workload: Workload, encoder: Encoder) -> str:
    """The hash of everything a release is made from: files, gold, encoder, format."""
    digest = sha256(f"{FORMAT} {encoder.name}".encode())
    learnt_from = {"": workload.gold, **{f"{at}": file for at, file in enumerate(unlabelled_files(workload))}}
    contents = {name: file.read_bytes() for name, file in learnt_from.items()}
    for name, content in sorted({**source_files(workload), **contents}.items()):
        digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def asked_schema(workload: Workload) -> dict[str, Any]:
    """The answer's JSON Schema as an endpoint is shown it: without template fields and without Rung's own keywords."""
    properties = {
        field.name: {key: value for key, value in field.schema.items() if key not in OWN_KEYWORDS}
        for field in workload.fields
        if field.name in workload.asked
    }
    return {**workload.schema, "properties": properties, "required": list(properties)}


def open_tiers(workload: Workload, specialists: Mapping[str, Model]) -> list[tuple[str, Model, float, bool]]:
    """Each tier's name, model, timeout in seconds and whether it is asked again on objections, in the workload's order."""
    asked = asked_schema(workload)
    tiers: list[tuple[str, Model, float, bool]] = []
    for tier in workload.tiers:
        if isinstance(tier, EndpointTier):
            key = find_key(tier.endpoint, workload.folder / "endpoints.yaml")
            model: Model = EndpointModel(tier, workload.task, asked, key)
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
            for name, model, timeout, repairs in open_tiers(workload, parts.specialists)
        ),
        level=parts.level,
        release=release,
        complete=open_templates(workload),
        check=open_checks(workload),
    )


def freeze(workload: Workload, parts: Parts, inputs: str, evidence: Mapping[str, Any], report: str) -> Release:
    """Write a release into `.rung/releases/<id>` beside the workload. All of it appears at once or not at all."""
    releases = workload.state / "releases"
    releases.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=releases, prefix=".draft-"))
    try:
        for name, content in source_files(workload).items():
            target = draft / "workload" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        for name, specialist in parts.specialists.items():
            specialist.save(draft / TIERS / name)
        cascade = {"level": parts.level, "calibrations": {name: asdict(c) for name, c in parts.calibrations.items()}}
        _write(draft / "cascade.json", cascade)
        _write(draft / "evidence.json", evidence)
        _write(draft / LEARNT, dict(parts.learnt))
        (draft / "report.txt").write_text(report + "\n", encoding="utf-8")
        manifest = {"format": FORMAT, "file": workload.file.name, "inputs": inputs, "files": _digests(draft)}
        _write(draft / "manifest.json", manifest)
        folder = releases / _identity(manifest)
        with suppress(ReleaseError):
            return load_release(folder)  # the same content is the same release
        shutil.rmtree(folder, ignore_errors=True)  # damaged, or not there
        os.replace(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return load_release(folder)


def load_release(folder: Path) -> Release:
    """Read a release and verify every file against its manifest, and the manifest against the folder's name."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise ReleaseError(f"{folder}: has format {manifest['format']}, this Rung reads {FORMAT}. Run `rung train` again.")
        changed = sorted({name for name, _ in set(manifest["files"].items()) ^ set(_digests(folder).items())})
        if changed or _identity(manifest) != folder.name:
            what = ", ".join(changed) or "manifest.json"
            raise ReleaseError(f"{folder}: {what} changed after the release was frozen. Run `rung train` again.")
        evidence = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))
        report = (folder / "report.txt").read_text(encoding="utf-8").rstrip("\n")
        return Release(folder.name, folder, manifest["inputs"], evidence, report)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReleaseError(f"{folder}: is not a release ({error}). Run `rung train`.") from error


def named_release(workload: Workload, name: str) -> Release:
    """The release whose id begins with `name`; "current" is the one that answers. Raises `ReleaseError` if there is not one."""
    if name == "current":
        return current_release(workload, ledger_of(workload))
    found = [path for path in (workload.state / "releases").glob("[0-9a-f]*") if path.name.startswith(name)]
    if len(found) != 1:
        kept = ", ".join(sorted(path.name[:12] for path in (workload.state / "releases").glob("[0-9a-f]*"))) or "none"
        raise ReleaseError(f"{name!r} names {len(found) or 'no'} releases of {workload.name}. There are: {kept}; or say current.")
    return load_release(found[0])


def learnt_by(release: Release) -> dict[str, str]:
    """What its encoders were taught, as `Parts.learnt`."""
    return json.loads((release.folder / LEARNT).read_text(encoding="utf-8"))


def find_release(workload: Workload, inputs: str, parent: str | None = "any") -> Release | None:
    """The newest intact release made from exactly these inputs: whatever it goes on from, or from this release, or from none."""
    folders = (workload.state / "releases").glob("[0-9a-f]*/manifest.json")
    for manifest in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            if json.loads(manifest.read_text(encoding="utf-8")).get("inputs") == inputs:
                found = load_release(manifest.parent)
                if parent == "any" or found.evidence.get("parent") == parent:
                    return found
        except (OSError, ValueError, AttributeError, ReleaseError):
            continue  # a damaged release is not reused; what is missing is trained again
    return None


def ledger_of(workload: Workload) -> Ledger:
    """The ledger that `RUNG_LEDGER` addresses (a database URL), or the SQLite file beside the workload."""
    embedded = f"sqlite:///{(workload.state / 'ledger.db').resolve()}"
    return open_ledger(os.environ.get("RUNG_LEDGER") or embedded)


def current_release(workload: Workload, ledger: Ledger) -> Release:
    """The release that the ledger points to for this workload, or the one made from its files as they are now."""
    pointed = ledger.current_release(workload.name)
    if pointed is not None:
        return load_release(workload.state / "releases" / pointed)
    found = find_release(workload, inputs_of(workload, open_encoder())) if (workload.state / "releases").is_dir() else None
    if found is None:
        raise ReleaseError(f"{workload.file}: there is no release to answer with. Run `rung train {workload.file}` first.")
    return found


def promote(workload: Workload, release: Release, ledger: Ledger) -> None:
    """Point the ledger at this release: from now on it is the one that answers. Does nothing if it is already."""
    if ledger.current_release(workload.name) != release.id:
        ledger.note_release(workload.name, release.id, datetime.now(UTC), {"inputs": release.inputs})


def open_release(release: Release, encoder: Encoder) -> tuple[Workload, Cascade]:
    """The frozen workload and its cascade: from the release's own files, not from those beside the workload today."""
    manifest = json.loads((release.folder / "manifest.json").read_text(encoding="utf-8"))
    workload = load(release.folder / "workload" / manifest["file"], gold=False)
    raw = json.loads((release.folder / "cascade.json").read_text(encoding="utf-8"))
    parts = Parts(
        {
            tier.name: open_specialist(tier, release.folder / TIERS / tier.name, encoder, workload.fields)
            for tier in workload.tiers
            if isinstance(tier, SpecialistTier)
        },
        {name: read_calibration(calibration) for name, calibration in raw["calibrations"].items()},
        float(raw["level"]),
    )
    return workload, build_cascade(workload, parts, release.id)


def open_specialist(tier: SpecialistTier, folder: Path, encoder: Encoder, fields: Sequence[Field]) -> Specialist:
    """What the tier's recipe has left in a folder. Raises `ArtefactError`."""
    return load_static(folder, fields) if tier.recipe == "static" else load_specialist(folder, encoder, fields)


class Live:
    """A release that answers: every decision is durable in the ledger before it is returned."""

    def __init__(self, workload: Workload, cascade: Cascade, ledger: Ledger) -> None:
        """Answer for a workload; the ledger stays the caller's to close."""
        self.workload = workload
        self.release = cascade.release
        self.since = datetime.now(UTC)
        self.ledger = ledger
        self._cascade = cascade

    async def decide(self, case: Case) -> Decision:
        """Decide and record. Raises `LedgerError` when the decision cannot be made durable: then there is no answer.

        Raises `CaseError` for a text that is blank or longer than `LONGEST` characters.
        """
        if not case.text.strip() or len(case.text) > LONGEST:
            raise CaseError(f"The text has {len(case.text):,} characters; it must have some, and at most {LONGEST:,}. Send less.")
        decision = await decide(case, self._cascade)
        await self.ledger.record(Record(self.workload.name, case, decision, datetime.now(UTC)))
        return decision

    async def close(self) -> None:
        """Close the tiers' models."""
        await close_models(self._cascade)


async def close_models(cascade: Cascade) -> None:
    """Release what the tiers' models hold."""
    for tier in cascade.tiers:
        await tier.model.close()


def open_live(release: Release, ledger: Ledger, encoder: Encoder | None = None) -> Live:
    """Put a release to work."""
    workload, cascade = open_release(release, encoder or open_encoder())
    return Live(workload, cascade, ledger)


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True), encoding="utf-8")


def _digests(folder: Path) -> dict[str, str]:
    files: Sequence[Path] = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    kept = [path for path in files if "__pycache__" not in path.parts]
    return {path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() for path in kept}


def _identity(manifest: Mapping[str, Any]) -> str:
    return sha256(json.dumps(cast("dict[str, Any]", manifest), sort_keys=True).encode()).hexdigest()
