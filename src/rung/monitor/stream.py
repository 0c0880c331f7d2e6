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

WEEK, DAY, HOUR = timedelta(days=7), timedelta(days=1), timedelta(hours=1)
PAUSE = timedelta(minutes=10)  # between two windows at least: each takes a second or more of a processor
PORTION = 20_000  # arrivals read at one look
_AT_ONCE = 500

Embed = Callable[[Sequence[str]], NDArray[np.float32]]


Entry = tuple[int, int, str]  # a digest, the decision's number and its id


@dataclass(slots=True)
class Draw:
    """The `size` entries with the lowest digests of all that were added: as good as drawn at random, however many come."""

    size: int
    _heap: list[Entry] = field(default_factory=list[Entry])

    def add(self, entry: Entry) -> None:
        """One more."""
        digest, seq, id_ = entry
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, (-digest, seq, id_))
        elif self._heap and -self._heap[0][0] > digest:
            heapq.heapreplace(self._heap, (-digest, seq, id_))

    @property
    def entries(self) -> list[Entry]:
        """In no order."""
        return [(-digest, seq, id_) for digest, seq, id_ in self._heap]


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
    _first: Draw = field(default_factory=lambda: Draw(REFERENCE))
    _hours: dict[datetime, Draw] = field(default_factory=dict[datetime, "Draw"])
    _known: dict[str, NDArray[np.float32]] = field(default_factory=dict[str, NDArray[np.float32]])  # embeddings, by decision
    _seen: int = 0
    _count: int = 0
    _new: int = 0
    _closed: datetime | None = None
    _learnt: datetime | None = None

    def look(self, now: datetime) -> Sight | None:
        """Read on. Gives what a window says if one has closed by that."""
        while arrived := self.ledger.arrived(self.workload.name, self.release, self.since, self._seen, PORTION):
            self._seen = arrived[-1].seq
            self._take(arrived)
        if self.reference is None and self._count >= REFERENCE and now - self.since >= WEEK:
            self._learn(now)
        if self.reference is None or self._closed is None or now - self._closed < PAUSE or self._new < EVERY:
            return None
        drawn = self._window(now)
        if len(drawn) < WINDOW:
            return None
        window, level = self._cases(drawn, since=self._learnt), budget((now - self._closed) / DAY)
        self.sight = Sight(now, compare(self.reference, window, level), tuple(drawn))
        self._closed, self._new = now, 0
        return self.sight

    @property
    def progress(self) -> tuple[int, int]:
        """Of the reference: how many cases it has of how many that it needs."""
        return min(self._count, REFERENCE), REFERENCE

    def _take(self, arrived: Sequence[Arrival]) -> None:
        """Whether a case is drawn depends on its id alone: on nothing that a customer or a model says."""
        for one in arrived:
            entry = int.from_bytes(sha256(one.id.encode()).digest()[:8]), one.seq, one.id
            if self.reference is None:
                if one.at - self.since <= WEEK or self._count < REFERENCE:
                    self._first.add(entry)
            else:
                self._hours.setdefault(one.at.replace(minute=0, second=0, microsecond=0), Draw(WINDOW)).add(entry)
            self._count += 1
            self._new += 1

    def _window(self, now: datetime) -> list[str]:
        """Cases drawn from the last day, or from as many days as it takes to have enough, in the order in which they came. A day,
        for the night's cases differ from the morning's, and no clock is to raise an alarm."""
        entries: list[Entry] = []
        for hour in sorted(self._hours, reverse=True):
            if hour < now - DAY - HOUR and len(entries) >= WINDOW:
                del self._hours[hour]
            else:
                entries += self._hours[hour].entries
        return [id_ for _, _, id_ in sorted(heapq.nsmallest(WINDOW, entries), key=lambda entry: entry[1])]

    def _learn(self, now: datetime) -> None:
        """The reference, as it was kept or made now. Windows begin after it."""
        kept = self.folder / f"reference-{self.release}.safetensors"
        try:
            self.reference = restore(load_file(kept))
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            drawn = sorted(self._first.entries, key=lambda entry: entry[1])
            self.reference = self._cases([id_ for _, _, id_ in drawn])
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file(self.reference.arrays(), kept)
        self._first, self._new, self._closed = Draw(0), 0, now
        self._learnt = now

    def _cases(self, decisions: Sequence[str], since: datetime | None = None) -> Cases:
        """What is known of these decisions, and of the answers that were reviewed since a time: their last thousand."""
        found: dict[str, Record] = {}
        for start in range(0, len(decisions), _AT_ONCE):
            found |= self.ledger.find_all(decisions[start : start + _AT_ONCE])
        records = [found[id_] for id_ in decisions if id_ in found]
        new = [record for record in records if record.decision.id not in self._known]
        fresh = dict(zip((record.decision.id for record in new), self.embed([record.case.text for record in new]), strict=True))
        self._known = {record.decision.id: (self._known | fresh)[record.decision.id] for record in records}
        reviewed = [one for one in self.ledger.queue.reviewed(self.workload.name, since) if one.release == self.release][-WINDOW:]
        label = next((field.name for field in self.workload.fields if field.fill == "label"), None)
        answers = [record.decision.answer for record in records]
        return Cases(
            embeddings=np.array(list(self._known.values()), np.float32),
            lengths=np.array([len(record.case.text) for record in records], np.int64),
            languages=_languages(records),
            labels=[None if answer is None else _word(answer.get(label)) for answer in answers] if label else (),
            confidences=np.array([record.decision.confidence for record in records]),
            tiers=[record.decision.tier for record in records],
            stated=np.array([one.confidence for one in reviewed]),
            right=np.array([not one.wrong for one in reviewed], np.bool_),
        )


def _languages(records: Sequence[Record]) -> Sequence[str]:
    """As callers state them in the context; not observed where none does."""
    stated = [str(record.case.context.get("language", "")) for record in records]
    return stated if any(stated) else ()


def _word(value: Any) -> str | None:
    return None if value is None else str(value)
