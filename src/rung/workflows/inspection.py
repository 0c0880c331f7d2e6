"""Turns a workload's gold into everything that a person should look at in it before it is trusted. Changes nothing."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rung.cascade.redaction import KINDS, redact
from rung.gold import Example, Gold, Survey, near_groups, read_gold, split, survey
from rung.models.encoder import Encoder, open_encoder
from rung.training.embeddings import embed_gold
from rung.training.suspects import Suspect, find_suspects, why_not
from rung.workflows.judging import shares_of
from rung.workflows.progress import Progress, silent, steps
from rung.workload import Workload


@dataclass(frozen=True, slots=True)
class Personal:
    """A kind of personal data in texts or contexts: how many different values, and in which lines."""

    kind: str
    values: int
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is in the gold. `unsought` says why wrong labels were not looked for; None where they were."""

    gold: Gold
    survey: Survey
    personal: tuple[Personal, ...]
    suspects: tuple[Suspect, ...]
    unsought: str | None

    def document(self) -> dict[str, Any]:
        """All of it as JSON has it, without a word of the texts."""
        found = asdict(self.survey) | {"personal": [asdict(each) for each in self.personal]}
        found["suspects"] = None if self.unsought else [asdict(each) for each in self.suspects]
        return {"digest": self.gold.digest, **found, "unsought": self.unsought}


def inspect_gold(workload: Workload, progress: Progress = silent, encoder: Encoder | None = None) -> Inspection:
    """Read, split and survey the gold as training would, and look for personal data and wrong labels.

    Embeddings are kept where training finds them. Raises `GoldError`.
    """
    gold = read_gold(workload)
    examples, texts = gold.examples, [example.case.text for example in gold.examples]
    with progress("comparing the texts"):
        groups = near_groups(texts)
        surveyed = survey(gold, workload.fields, split(gold, shares_of(gold)), groups)
    with progress("looking for personal data", len(texts)) as advance:
        personal = _personal(examples, advance)
    unsought = why_not(examples, workload.fields)
    if unsought:
        return Inspection(gold, surveyed, personal, (), unsought)
    suspects = suspect(workload, examples, groups, encoder or open_encoder(), progress)
    return Inspection(gold, surveyed, personal, tuple(suspects), None)


def suspect(
    workload: Workload, examples: Sequence[Example], groups: Sequence[int], encoder: Encoder, progress: Progress
) -> list[Suspect]:
    """Likely label errors, where `why_not` has nothing against looking; `groups` are those of near-duplicates."""
    texts = [example.case.text for example in examples]
    with progress("embedding the gold", len(texts)) as advance:
        embeddings = embed_gold(encoder, texts, workload.state / "cache", steps(advance))
    with progress("looking for wrong labels", len(texts)) as advance:
        return find_suspects(examples, embeddings, workload.fields, groups, advance)


def _personal(examples: Sequence[Example], advance: Callable[[int], None]) -> tuple[Personal, ...]:
    """By kind, those found only."""
    values: defaultdict[str, set[str]] = defaultdict(set)
    lines: defaultdict[str, list[int]] = defaultdict(list)
    for example in examples:
        advance(1)
        context = json.dumps(dict(example.case.context), ensure_ascii=False) if example.case.context else ""
        found = redact(f"{example.case.text}\n{context}", KINDS).found  # all kinds at once: a card is no telephone number
        for placeholder, value in found.items():
            kind = placeholder[1 : placeholder.rindex("_")].lower()
            values[kind].add(value)
            if example.line not in lines[kind][-1:]:
                lines[kind].append(example.line)
    return tuple(Personal(kind, len(values[kind]), tuple(lines[kind])) for kind in KINDS if kind in lines)
