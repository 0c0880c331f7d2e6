"""Turns a release's decisions, as they are recorded, into the windows that drift is looked for in, and what it found there.

Knows nothing about alarms. It blocks, for as long as it takes to embed what is new: it is for a thread of its own.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from rung.ledger import Arrival, Ledger, Record
from rung.monitor.cases import Cases, restore
from rung.monitor.drift import EVERY, REFERENCE, WINDOW, budget, compare
from rung.monitor.signals import Finding
from rung.workload import Workload

WEEK = timedelta(days=7)
PAUSE = timedelta(minutes=10)  # between two windows at least: under heavy load they would take all there is of a processor
PORTION = 20_000  # arrivals read at one look
_AT_ONCE = 500

Embed = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Sight:
    """What the last window says, which closed at `at`; `decisions` are its cases' ids, by which clusters show examples."""

    at: datetime
    findings: tuple[Finding, ...]
    decisions: tuple[str, ...]


@dataclass(slots=True)
class Stream:
    """One release's decisions since it was promoted. `folder` is where the reference is kept once it is complete."""

    ledger: Ledger
    workload: Workload
    release: str
    since: datetime
    embed: Embed
    folder: Path
    reference: Cases | None = None
    sight: Sight | None = None
    _sample: list[tuple[int, int, str]] = field(default_factory=list[tuple[int, int, str]])  # the lowest digests, as a heap
    _latest: list[Arrival] = field(default_factory=list[Arrival])
    _seen: int = 0
    _count: int = 0
    _new: int = 0
    _closed: datetime | None = None

    def look(self, now: datetime) -> Sight | None:
        """Read on. Gives what a window says if one has closed by that."""
        while arrived := self.ledger.arrived(self.workload.name, self.release, self.since, self._seen, PORTION):
            self._seen = arrived[-1].seq
            self._take(arrived, now)
        if self.reference is None and self._enough(now):
            self._learn(now)
        due = self._closed is not None and now - self._closed >= PAUSE
        if self.reference is None or not due or self._new < EVERY or len(self._latest) < WINDOW:
            return None
        assert self._closed is not None
        window = self._cases([one.id for one in self._latest])
        level = budget((now - self._closed) / timedelta(days=1))
        self.sight = Sight(now, compare(self.reference, window, level), tuple(one.id for one in self._latest))
        self._closed, self._new = now, 0
        return self.sight

    @property
    def progress(self) -> tuple[int, int]:
        """Of the reference: how many cases it has of how many that it needs."""
        return (REFERENCE, REFERENCE) if self.reference else (min(self._count, REFERENCE), REFERENCE)

    def _take(self, arrived: Sequence[Arrival], now: datetime) -> None:
        self._count += len(arrived)
        self._new += len(arrived)
        self._latest = [*self._latest, *arrived][-WINDOW:]
        if self.reference is None:
            for one in arrived:  # those with the lowest digests are as good as drawn at random from however many come
                entry = (-int.from_bytes(sha256(one.id.encode()).digest()[:8]), one.seq, one.id)
                if len(self._sample) < REFERENCE:
                    heapq.heappush(self._sample, entry)
                elif one.at - self.since <= WEEK or self._count <= REFERENCE:
                    heapq.heappushpop(self._sample, entry)

    def _enough(self, now: datetime) -> bool:
        return len(self._sample) >= REFERENCE and now - self.since >= WEEK

    def _learn(self, now: datetime) -> None:
        """The reference, as it was kept or made now. Windows begin after it."""
        kept = self.folder / f"reference-{self.release}.safetensors"
        try:
            self.reference = restore(load_file(kept))
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            self.reference = self._cases([id_ for _, _, id_ in sorted(self._sample, key=lambda entry: entry[1])])
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file(self.reference.arrays(), kept)
        self._sample, self._latest, self._new, self._closed = [], [], 0, now

    def _cases(self, decisions: Sequence[str]) -> Cases:
        """What is known of these decisions."""
        found: dict[str, Record] = {}
        for start in range(0, len(decisions), _AT_ONCE):
            found |= self.ledger.find_all(decisions[start : start + _AT_ONCE])
        records = [found[id_] for id_ in decisions if id_ in found]
        label = next((field.name for field in self.workload.fields if field.fill == "label"), None)
        answers = [record.decision.answer for record in records]
        return Cases(
            embeddings=self.embed([record.case.text for record in records]),
            lengths=np.array([len(record.case.text) for record in records], np.int64),
            languages=_languages(records),
            labels=[None if answer is None else _word(answer.get(label)) for answer in answers] if label else (),
            confidences=np.array([record.decision.confidence for record in records]),
            tiers=[record.decision.tier for record in records],
        )


def _languages(records: Sequence[Record]) -> Sequence[str]:
    """As callers state them in the context; not observed where none does."""
    stated = [str(record.case.context.get("language", "")) for record in records]
    return stated if any(stated) else ()


def _word(value: Any) -> str | None:
    return None if value is None else str(value)
