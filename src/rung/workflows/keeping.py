"""Turns what a bake-off found out into files named by the hash of everything it depends on, and back. Knows no candidates."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import msgspec

from rung.evaluation.candidates import Candidate, GoldFacts
from rung.gold import Gold, read_texts
from rung.models.encoder import Encoder
from rung.release.frozen import FORMAT, source_files
from rung.workflows.entrants import Entrant, priced
from rung.workflows.specialists import BUILD
from rung.workload import Workload

Found = TypeVar("Found", Candidate, GoldFacts)

BAKED = 4  # raise it when a bake-off would lead to other figures, or the gate to another refusal, which is kept too


def kept_under(workload: Workload, gold: Gold, encoder: Encoder) -> str:
    """The hash of what every candidate depends on: the gold in its order, the encoder, the code's formats, and all that says how
    cases are decided; not which candidates there are, nor what they may cost."""
    files = source_files(workload)
    files.pop(workload.file.relative_to(workload.folder).as_posix(), None)
    files.pop("endpoints.yaml", None)
    sources = sorted((name, sha256(content).hexdigest()) for name, content in files.items())
    says = workload.task, workload.schema, workload.fields, workload.checks, workload.promise, workload.limits
    order = sha256("\0".join(one.case.text for one in gold.examples).encode("utf-8", "surrogatepass")).hexdigest()
    return _digest([BAKED, BUILD, FORMAT, encoder.name, gold.digest, order, sources, *says, workload.boundary, workload.volume])


def file_of(entrant: Entrant, folder: Path, under: str) -> Path:
    """Where a candidate's figures are kept."""
    texts = [text for tier in entrant.specialists if tier.unlabelled for text in read_texts(tier.unlabelled)]
    return folder / f"{_digest([under, entrant.line, *priced(entrant), texts])}.json"


def keep(file: Path, found: Candidate | GoldFacts) -> None:
    """Write what was found, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as draft:
        json.dump(asdict(found), draft, ensure_ascii=False)
    os.replace(draft.name, file)


def recall(file: Path, kind: type[Found]) -> Found | None:
    """What is kept in a file; None where there is none, or one that cannot be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (OSError, ValueError):
        return None


def _digest(made_of: object) -> str:
    return sha256(repr(made_of).encode("utf-8", "surrogatepass")).hexdigest()[:24]
