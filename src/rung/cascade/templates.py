"""Turns an answer into one whose template fields are written. Knows nothing about models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rung.core import Fields
from rung.workload import Field, Workload
from rung.workload.places import expand, fill


def open_templates(workload: Workload) -> Callable[[Fields], Fields]:
    """A function that completes an answer: each template field from its file, the other fields put in their places.

    A field that is null leaves nothing in its place; one that is not known yet leaves the template field null.
    """
    fields = tuple(field for field in workload.fields if field.fill == "template")
    texts = {path: path.read_text(encoding="utf-8").strip() for field in fields for path in template_files(workload, field)}

    def complete(answer: Fields) -> Fields:
        written = {field.name: texts.get(workload.folder / fill(field.template, answer)) for field in fields}
        filled = {name: None if text is None else fill(text, answer) for name, text in written.items()}
        return {**answer, **filled}

    return complete


def template_files(workload: Workload, field: Field) -> list[Path]:
    """Every file a template field may use: one per label where its path names a label field."""
    labels = {other.name: other.labels for other in workload.fields}
    return [workload.folder / name for name in expand(field.template, labels)]
