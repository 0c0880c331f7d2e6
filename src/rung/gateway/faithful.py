"""Turns a random part of a release's answers into how many say what stands nowhere in the input, and an alarm if too many do.

Knows nothing about who is told. It blocks, at each look for up to 50 searches of some 3 ms: it is for a thread of its own.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from rung.ledger import Alarm, Ledger
from rung.monitor.stream import PORTION, Draw
from rung.statistics.sequential import Turn
from rung.workload import Workload

if TYPE_CHECKING:
    from rung.evaluation.faithfulness import Search

KIND = "hallucinated"
SEARCHED = 50  # of what was decided since the last look
SHOWN = 5  # decisions that an alarm names
LEAST = 1e-6  # a limit of none is tested as this


class Faithful:
    """How many of a release's answers have a copied value that stands nowhere in the input: of `searched` ones `found`. Where the
    file has `limits.hallucinated`, it rings once it is proven that more do, and searches no further.

    It begins anew with each process: in each, the chance to say so wrongly is at most 1 - the promise's confidence, however long
    it runs. Nobody has agreed on these answers: what only follows from the input, as a date from "tomorrow", counts too.
    """

    def __init__(self, ledger: Ledger, workload: Workload, release: str, since: datetime) -> None:
        """Nothing is searched yet, and where nothing is copied nothing ever is."""
        self.release = release
        self._ledger, self._workload, self._since = ledger, workload, since
        self._limit = limit = workload.limits.hallucinated
        self._copies = any(field.fill == "copy" for field in workload.fields)
        self._turn = None if limit in (None, 1) else Turn(max(limit, LEAST), 1 - workload.promise.confidence)
        self.searched = self.found = 0
        self._search: Search | None = None
        self._examples = deque[str](maxlen=SHOWN)
        self._seen, self._begun = 0, False

    def look(self) -> None:
        """Search some of what was answered since the last look; ring once it is proven, until another release answers."""
        if not self._begun:
            self._clear()
            self._begun = True
        if self._copies and not (self._turn and self._turn.proven):
            self._read()
        if self._turn and self._turn.proven:
            self._ledger.alarms.ring(self._alarm(self._turn))

    def _clear(self) -> None:
        name = self._workload.name
        for alarm in self._ledger.alarms.list(name, ringing=True):
            if alarm.kind == KIND and alarm.detail.get("release") != self.release:
                self._ledger.alarms.clear(name, KIND, alarm.subject, datetime.now(UTC))

    def _read(self) -> None:
        drawn = self._draw()
        records = self._ledger.find_all(drawn)
        answered = [(records[one].case, answer) for one in drawn if one in records and (answer := records[one].decision.answer)]
        search = self._opened()
        invented = [bool(search.invented(case, answer, {})) for case, answer in answered]
        taken = self._turn.until(np.array(invented, float), np.ones(len(invented))) if self._turn else len(invented)
        self.searched, self.found = self.searched + taken, self.found + sum(invented[:taken])
        self._examples += [case.id for (case, _), wrong in zip(answered[:taken], invented[:taken], strict=True) if wrong]

    def _draw(self) -> list[str]:
        """In the order in which they were recorded. Whether a decision is drawn depends on its id alone."""
        draw = Draw(SEARCHED)
        while arrived := self._ledger.arrived(self._workload.name, self.release, self._since, self._seen, PORTION):
            self._seen = arrived[-1].seq
            for one in arrived:
                draw.add((int.from_bytes(sha256(one.id.encode()).digest()[:8]), one.seq, one.id))
        return [id_ for _, _, id_ in sorted(draw.entries, key=lambda entry: entry[1])]

    def _opened(self) -> Search:
        if self._search is None:
            from rung.evaluation.faithfulness import Search  # only here: what serves is to start without it

            self._search = Search(self._workload)
        return self._search

    def _alarm(self, turn: Turn) -> Alarm:
        found, searched = turn.stretch()
        confidence = self._workload.promise.confidence
        text = (
            f"Release {self.release[:12]}: {found:,} of {searched:,} answers searched in a row have a copied value that stands "
            f"nowhere in the input; at most {100 * (self._limit or 0):g}% may, and that more do is proven with "
            f"{100 * confidence:g}% confidence. What only follows from the input, such as a date from “tomorrow”, counts too."
        )
        detail: dict[str, Any] = {"release": self.release, "found": found, "searched": searched, "limit": self._limit}
        examples = {"examples": list(self._examples)}
        return Alarm(self._workload.name, KIND, "", text, datetime.now(UTC), detail | examples)
