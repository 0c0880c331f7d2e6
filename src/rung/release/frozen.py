"""A frozen cascade and its evidence: a folder with one content hash, verified whenever it is read. Knows nothing of training."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rung.cascade.checks import sources
from rung.cascade.templates import template_files
from rung.core import Fields, RungError, Specialist
from rung.release.card import card_of, lineage_of
from rung.workload import SpecialistTier, Workload, load

if TYPE_CHECKING:  # whoever only reads releases, or moves the pointer, waits for no model's library
    from rung.models.calibration import Calibration
    from rung.models.encoder import Encoder

TIERS = "tiers"  # where in a release each specialist has its folder
CASCADE = "cascade.json"
LEARNT = "learnt.json"
SEEN = "seen.json"
FORMAT = 6  # raise it when a release of an earlier Rung must be trained again
_OWN = frozenset({CASCADE, LEARNT, SEEN, "evidence.json", "report.txt", "lineage.json", "README.md", "manifest.json"})
_WEIGHTS = frozenset({".safetensors", ".onnx", ".json"})  # none of which runs code when it is read
_ADVICE = (
    "Put the folder back as it was, go back to what answered before with `rung rollback`, or make another with `rung train`."
)

Shown = tuple[str, Fields]  # a text and its answer, as an endpoint sees them


class ReleaseError(RungError):
    """A release is missing, damaged, or made by another version."""

    code = "release_unusable"


class Ungated(RungError):
    """A release whose evidence does not say that it passed its gate: it must not answer."""

    code = "release_ungated"
    exit_status = 1


@dataclass(frozen=True, slots=True)
class Release:
    """A frozen cascade on disk. `id` is the hash of all its content, `inputs` the hash of what it was made from."""

    id: str
    folder: Path
    inputs: str
    evidence: Mapping[str, Any]
    report: str

    @property
    def gated(self) -> bool:
        """Whether its evidence says that it passed its gate."""
        gate: Any = self.evidence.get("gate")
        return isinstance(gate, Mapping) and cast("Mapping[str, Any]", gate).get("passed") is True


@dataclass(frozen=True, slots=True)
class Parts:
    """What a release is frozen from: its specialists by tier, each tier's calibration, the acceptance level; what its encoders
    were taught, the digest of each text with its answer's, so that nothing that goes on from them is judged by it; and what was
    `seen`, the digests of all gold texts that it was trained or calibrated on: by those no other is compared with it. `shown`
    are the cases that an endpoint sees before each of its own, by tier."""

    specialists: Mapping[str, Specialist]
    calibrations: Mapping[str, Calibration]
    level: float
    learnt: Mapping[str, str] = field(default_factory=dict[str, str])
    seen: Collection[str] = ()
    shown: Mapping[str, Sequence[Shown]] = field(default_factory=dict[str, Sequence[Shown]])


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


def freeze(workload: Workload, parts: Parts, inputs: str, evidence: Mapping[str, Any], report: str) -> Release:
    """Write a release into `.rung/releases/<id>` beside the workload. All of it appears at once or not at all."""
    with _drafted(workload.state / "releases") as draft:
        for name, content in source_files(workload).items():
            target = draft / "workload" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        for name, specialist in parts.specialists.items():
            specialist.save(draft / TIERS / name)
        calibrations = {name: asdict(calibration) for name, calibration in parts.calibrations.items()}
        _write(draft / CASCADE, {"level": parts.level, "calibrations": calibrations, "shown": {**parts.shown}})
        _write(draft / LEARNT, dict(parts.learnt))
        _write(draft / SEEN, sorted(parts.seen))
        return _seal(draft, workload, inputs, evidence, report)


def freeze_at(release: Release, level: float, evidence: Mapping[str, Any], report: str) -> Release:
    """The same release with another acceptance level and the evidence for that, beside it; all else byte for byte."""
    with _drafted(release.folder.parent) as draft:
        for name in ("workload", TIERS):
            if (release.folder / name).is_dir():
                shutil.copytree(release.folder / name, draft / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in (LEARNT, SEEN):
            shutil.copyfile(release.folder / name, draft / name)
        cascade = json.loads((release.folder / CASCADE).read_text(encoding="utf-8"))
        _write(draft / CASCADE, {**cascade, "level": level})
        return _seal(draft, load_workload(release), release.inputs, evidence, report)


@contextmanager
def _drafted(releases: Path) -> Generator[Path]:
    """A folder to fill, which is gone afterwards, unless it was moved."""
    releases.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=releases, prefix=".draft-"))
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _seal(draft: Path, workload: Workload, inputs: str, evidence: Mapping[str, Any], report: str) -> Release:
    """Add to a draft what is known of it, and give it its name."""
    _write(draft / "evidence.json", evidence)
    (draft / "report.txt").write_text(report + "\n", encoding="utf-8")
    lineage = lineage_of(workload, evidence)
    _write(draft / "lineage.json", lineage)
    (draft / "README.md").write_text(card_of(workload, evidence, lineage, report), encoding="utf-8")
    made = datetime.now(UTC).isoformat()
    manifest = {"format": FORMAT, "file": workload.file.name, "inputs": inputs, "made": made, "files": _digests(draft)}
    _write(draft / "manifest.json", manifest)
    releases = draft.parent
    folder = releases / _identity(manifest)
    with suppress(ReleaseError):
        return load_release(folder)  # the same content is the same release
    shutil.rmtree(folder, ignore_errors=True)  # damaged, or not there
    _sync(draft)
    os.replace(draft, folder)
    _sync(releases, deep=False)
    return load_release(folder)


def load_release(folder: Path) -> Release:
    """Read a release and verify every file against its manifest, the manifest against the folder's name, and that nothing lies
    there that is no part of a release."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise ReleaseError(f"{folder}: has format {manifest['format']}, this Rung reads {FORMAT}. Run `rung train` again.")
        if foreign := _foreign(folder):
            kinds = "models are safetensors, ONNX and JSON, what lies in workload/ is text, and nothing is a link"
            raise ReleaseError(f"{folder}: {', '.join(foreign)} cannot be part of a release: {kinds}. {_ADVICE}")
        changed = sorted({name for name, _ in set(manifest["files"].items()) ^ set(_digests(folder).items())})
        if changed or _identity(manifest) != folder.name:
            what = ", ".join(changed) or "manifest.json"
            raise ReleaseError(f"{folder}: {what} changed after the release was frozen. {_ADVICE}")
        evidence = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))
        report = (folder / "report.txt").read_text(encoding="utf-8").rstrip("\n")
        return Release(folder.name, folder, manifest["inputs"], evidence, report)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReleaseError(f"{folder}: is not a release ({error}). {_ADVICE}") from error


def made_at(folder: Path) -> datetime:
    """When a release was frozen, copied or damaged since as it may be: as its manifest says, or else the manifest's own time."""
    file = folder / "manifest.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        return datetime.fromisoformat(json.loads(file.read_text(encoding="utf-8"))["made"]).astimezone(UTC)
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)


def kept_releases(state: Path) -> list[Path]:
    """The folders of all releases that a workload's state holds, the newest first."""
    folders = sorted(manifest.parent for manifest in (state / "releases").glob("[0-9a-f]*/manifest.json"))
    return sorted(folders, key=made_at, reverse=True)


def require_gated(release: Release) -> Release:
    """The release. Raises `Ungated` unless its evidence says that it passed its gate."""
    if not release.gated:
        raise Ungated(
            f"Release {release.id[:12]} has no evidence that it passed its gate, and what has not must not answer. "
            "Next: rung train."
        )
    return release


def seen_by(release: Release) -> frozenset[str]:
    """What it was trained or calibrated on, as `Parts.seen`."""
    return frozenset(json.loads((release.folder / SEEN).read_text(encoding="utf-8")))


def load_workload(release: Release) -> Workload:
    """The workload as the release was made from it, without its gold."""
    manifest = json.loads((release.folder / "manifest.json").read_text(encoding="utf-8"))
    workload = load(release.folder / "workload" / manifest["file"], gold=False)
    guide = workload.review.guidelines
    if guide and guide.is_relative_to(workload.folder):  # for people, and theirs to edit: the one beside the living file counts
        beside = release.folder.parents[2] / guide.relative_to(workload.folder)
        workload = replace(workload, review=replace(workload.review, guidelines=beside))
    return workload


def find_release(workload: Workload, inputs: str, parent: str | None = "any") -> Release | None:
    """The newest intact release made from exactly these inputs: whatever it goes on from, or from this release, or from none."""
    for folder in kept_releases(workload.state):
        try:
            if json.loads((folder / "manifest.json").read_text(encoding="utf-8")).get("inputs") == inputs:
                found = load_release(folder)
                if parent == "any" or found.evidence.get("parent") == parent:
                    return found
        except (OSError, ValueError, AttributeError, ReleaseError):
            continue  # a damaged release is not reused; what is missing is trained again
    return None


def learnt_by(release: Release) -> dict[str, str]:
    """What its encoders were taught, as `Parts.learnt`."""
    return json.loads((release.folder / LEARNT).read_text(encoding="utf-8"))


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True), encoding="utf-8")


def _foreign(folder: Path) -> list[str]:
    """What no release holds, whatever its manifest says: other files than `freeze` writes, and links, which lead out of what was
    hashed."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or not (path.is_dir() or _belongs(path, folder))]
    return [path.relative_to(folder).as_posix() for path in found]


def _belongs(path: Path, folder: Path) -> bool:
    first, *deeper = path.relative_to(folder).parts
    if first == "workload" and path.parent.name == "__pycache__":
        return path.suffix == ".pyc"  # an editor's or a test's; a check file is compiled from the bytes that were hashed
    if "__pycache__" in path.parts or not path.is_file():
        return False
    if first == TIERS:
        return path.suffix in _WEIGHTS
    return _is_text(path) if first == "workload" else not deeper and first in _OWN


def _is_text(path: Path) -> bool:
    if path.suffix == ".py":  # may be in another encoding, and say so
        return True
    content = path.read_bytes()
    with suppress(UnicodeDecodeError):
        return "\0" not in content.decode()
    return False


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / "manifest.json")
    kept = [path for path in files if "__pycache__" not in path.parts]
    return {path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() for path in kept}


def _sync(folder: Path, deep: bool = True) -> None:
    """Put it on disk, with all that is in it: a promotion is durable, so what it points to must be."""
    for path in (*(folder.rglob("*") if deep else ()), folder):
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _identity(manifest: Mapping[str, Any]) -> str:
    content = {key: value for key, value in manifest.items() if key != "made"}  # the same content is the same release, whenever
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
