"""Turns a release's decisions, as they are recorded, into the windows that drift is looked for in, and what it found there.

Knows nothing about alarms. It blocks, for as long as it takes to embed what is new: it is for a thread of its own.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
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
from rung.monitor.drift import EVERY, REFERENCE, WINDOW, budget, compare, discover
from rung.monitor.signals import Finding
from rung.workload import Workload

WEEK, DAY, HOUR = timedelta(days=7), timedelta(days=1), timedelta(hours=1)
PAUSE = timedelta(minutes=3)  # between two looks at least: each takes a second or more of a processor
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
    """What the windows say that closed at `at`; `decisions` are their cases' ids, by which clusters show examples: those drawn
    from whole days, once these have passed, and then the last ones."""

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
    _clock: list[Draw] = field(default_factory=lambda: [Draw(REFERENCE) for _ in range(24)])  # the same, by the hour of the day
    _hours: dict[datetime, Draw] = field(default_factory=dict[datetime, "Draw"])  # since then
    _last: deque[tuple[str, int]] = field(default_factory=lambda: deque[tuple[str, int]](maxlen=WINDOW))  # and their hours
    _known: dict[str, NDArray[np.float32]] = field(default_factory=dict[str, NDArray[np.float32]])  # embeddings, by decision
    _seen: int = 0
    _count: int = 0
    _new: int = 0
    _ended: datetime | None = None  # the reference
    _closed: datetime | None = None
    _learnt: datetime | None = None

    def look(self, now: datetime) -> Sight | None:
        """Read on. Gives what the windows say if they have closed by that."""
        while arrived := self.ledger.arrived(self.workload.name, self.release, self.since, self._seen, PORTION):
            self._seen = arrived[-1].seq
            self._take(arrived)
            if len(arrived) == PORTION:
                self._draw(arrived[-1].at)  # and forget what no later window needs
        if self.reference is None and self._count >= REFERENCE and now - self.since >= WEEK:
            self._learn(now)
        if self.reference is None or self._closed is None or now - self._closed < PAUSE or self._new < EVERY:
            return None
        if len(self._last) < WINDOW:
            return None
        level, drawn, alike = budget((now - self._closed) / DAY) / 2, self._draw(now), self._alike()
        last = [id_ for id_, _ in self._last]
        self._embed_new([*drawn, *last, *(id_ for id_, _ in alike)])
        findings = compare(self.reference, self._cases(drawn, since=self._learnt), level) if drawn else ()
        novelty = [discover(self._places(alike), self._places(self._last), level)] if alike else []
        self.sight = Sight(now, (*findings, *(_moved(one, len(drawn)) for one in novelty)), (*drawn, *last))
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
            if one.at - self.since <= WEEK or self._count < REFERENCE:
                self._first.add(entry)
                self._clock[one.at.hour].add(entry)
                self._ended = max(self.since + WEEK, one.at)
            else:
                self._hours.setdefault(one.at.replace(minute=0, second=0, microsecond=0), Draw(WINDOW)).add(entry)
                self._last.append((one.id, one.at.hour))
            self._count += 1
            self._new += 1

    def _draw(self, now: datetime) -> list[str]:
        """Cases drawn from the last day, or from as many whole days as it takes to have enough, in the order in which they came,
        up to the last full hour; none before so many days have passed. Whole days, for the night's cases differ from the
        morning's, and no clock is to raise an alarm."""
        end, days, entries = now.replace(minute=0, second=0, microsecond=0), 0, list[Entry]()
        while len(entries) < WINDOW:
            days += 1
            if self._ended is None or end - days * DAY < self._ended:
                return []
            entries = [one for hour, draw in self._hours.items() if end - days * DAY <= hour < end for one in draw.entries]
        self._hours = {hour: draw for hour, draw in self._hours.items() if hour >= end - days * DAY}
        return [id_ for _, _, id_ in sorted(heapq.nsmallest(WINDOW, entries), key=lambda entry: entry[1])]

    def _alike(self) -> list[tuple[str, int]]:
        """Cases drawn from those of the reference's time that came at the hours of the day of the last ones, and their hours."""
        hours = {hour for _, hour in self._last}
        entries = ((entry, hour) for hour in hours for entry in self._clock[hour].entries)
        return [(id_, hour) for (_, _, id_), hour in heapq.nsmallest(REFERENCE, entries)]

    def _learn(self, now: datetime) -> None:
        """The reference, as it was kept or made now."""
        kept = self.folder / f"reference-{self.release}.safetensors"
        try:
            self.reference = restore(load_file(kept))
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            drawn = [id_ for _, _, id_ in sorted(self._first.entries, key=lambda entry: entry[1])]
            self._embed_new(drawn)
            self.reference = self._cases(drawn)
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file(self.reference.arrays(), kept)
        self._first, self._new, self._closed, self._learnt = Draw(0), 0, now, now

    def _records(self, decisions: Sequence[str]) -> Iterator[Sequence[Record]]:
        """These, some hundreds at once."""
        for start in range(0, len(decisions), _AT_ONCE):
            some = decisions[start : start + _AT_ONCE]
            found = self.ledger.find_all(some)
            yield [found[id_] for id_ in some]

    def _embed_new(self, decisions: Sequence[str]) -> None:
        """Know the embeddings of these decisions' cases, each made once, and of no others."""
        self._known = {id_: self._known[id_] for id_ in decisions if id_ in self._known}
        for records in self._records([id_ for id_ in dict.fromkeys(decisions) if id_ not in self._known]):
            made = self.embed([record.case.text for record in records])
            self._known |= zip((record.decision.id for record in records), made, strict=True)

    def _places(self, decisions: Sequence[tuple[str, int]]) -> Cases:
        """What is known of these decisions by their hours."""
        return Cases(
            embeddings=np.array([self._known[id_] for id_, _ in decisions], np.float32),
            hours=np.array([hour for _, hour in decisions], np.intp),
        )

    def _cases(self, decisions: Sequence[str], since: datetime | None = None) -> Cases:
        """What is known of these decisions, and of the answers that were reviewed since a time: their last thousand."""
        records = [record for some in self._records(decisions) for record in some]
        reviewed = [one for one in self.ledger.queue.reviewed(self.workload.name, since) if one.release == self.release][-WINDOW:]
        label = next((field.name for field in self.workload.fields if field.fill == "label"), None)
        answers = [record.decision.answer for record in records]
        return Cases(
            embeddings=np.array([self._known[id_] for id_ in decisions], np.float32),
            lengths=np.array([len(record.case.text) for record in records], np.int64),
            languages=_languages(records),
            labels=[None if answer is None else _word(answer.get(label)) for answer in answers] if label else (),
            confidences=np.array([record.decision.confidence for record in records]),
            tiers=[record.decision.tier for record in records],
            stated=np.array([one.confidence for one in reviewed]),
            right=np.array([not one.wrong for one in reviewed], np.bool_),
        )


def _moved(finding: Finding, by: int) -> Finding:
    """The same of cases that stand so much further on."""
    clusters = [
        replace(one, members=tuple(at + by for at in one.members), examples=tuple(at + by for at in one.examples))
        for one in finding.clusters
    ]
    return replace(finding, cases=tuple(at + by for at in finding.cases), clusters=tuple(clusters))


def _languages(records: Sequence[Record]) -> Sequence[str]:
    """As callers state them in the context; not observed where none does."""
    stated = [str(record.case.context.get("language", "")) for record in records]
    return stated if any(stated) else ()


def _word(value: Any) -> str | None:
    return None if value is None else str(value)
