"""Turns what production says into alarms that ring, are told, and are acted on as the workload file says.

Knows nothing about statistics: `rung.monitor` does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rung.core import RungError
from rung.gateway.alarms import deliver, post
from rung.gateway.faithful import Faithful
from rung.gateway.verbs import PATIENCE, run_verb
from rung.ledger import Action, Alarm, Conclusion, Ledger, LedgerError, PointerMoved
from rung.monitor.promise import Standing
from rung.monitor.standings import WHOLE, Values, standings
from rung.monitor.stream import Sight, Stream

if TYPE_CHECKING:
    from rung.release.live import Live

PAUSE = 10.0  # seconds between two looks
RENEWED = 60.0  # seconds until what nobody has added to is judged anew: a verdict may have been changed
AGAIN = 300.0  # seconds until an alarm that nobody could be told of is told again
GRACE = timedelta(seconds=10)  # in which a person may take back what they settled
STALE = timedelta(days=1)  # what nobody could be told of for so long is not told: a new webhook does not get all there ever was
LEFT = timedelta(seconds=PATIENCE + 60)  # until another gateway than that which rang acts if nobody did: it may have stopped
ACTOR = "rung watch"
CALM = 0.05  # a signal whose p-value is above this in a window of new cases alone rings no more

_log = logging.getLogger("rung.gateway")


class Watch:
    """The watch over one workload: what is known of its promise, what has drifted, and the alarms that follow."""

    def __init__(self, live: Live, ledger: Ledger) -> None:
        """Nothing is known before the first look."""
        self.live = live
        self._ledger = ledger
        self._stream: Stream | None = None
        self._faithful: Faithful | None = None
        self._encoder: Any = None
        self._acted = ("", 0)  # on which release, and on how many reviews: again on twice as many, as each try may be mistaken
        self._rang = ""  # about which release it was here that the alarm began to ring
        self._judged: tuple[object, float] = (None, 0.0)  # what was settled last when the promise was judged, and when that was
        self._read: tuple[str, Values] = ("", {})  # of which release, and what its answers' slices are
        self._silent_until = self._unheard_until = 0.0
        self.standings: Mapping[str, Standing] = {}
        self.sight: Sight | None = None
        self.ringing: Sequence[Alarm] = ()

    async def keep(self, pause: float = PAUSE) -> None:
        """Look again and again, until cancelled. What goes wrong is logged, once, and the next look tries again."""
        trouble = ""
        while True:
            try:
                await self.look()
                trouble = ""
            except Exception as error:  # noqa: BLE001  # whatever is wrong with the watch, answering goes on
                said = str(error) or type(error).__name__
                if said != trouble:
                    _log.error("%s: the watch could not look: %s", self.live.workload.name, said)
                trouble = said
            await asyncio.sleep(pause)

    async def look(self) -> None:
        """Read what came since, ring and clear, tell whoever the file names, and act; what takes longest, last."""
        if await asyncio.to_thread(self._judge):
            self._rang, self._acted = self.live.release, ("", 0)
        whole, release = self.standings[WHOLE], self.live.release
        await self._tell()
        await self._tell_verdicts()
        if whole.proof and await asyncio.to_thread(self._is_due, release, _evidence(whole)):
            await self._act(whole, release)
            self._acted = release, _evidence(whole)
        for chore in (self._drift, self._search):
            await asyncio.to_thread(chore)
        self.ringing = await asyncio.to_thread(self._ledger.alarms.list, self.live.workload.name, True)

    def _is_due(self, release: str, evidence: int) -> bool:
        """Whether this gateway is to act: that which rang until it did, then on twice the evidence; another if nobody did for
        long."""
        if self._acted[0] == release or self._rang == release:
            return evidence >= 2 * self._acted[1]
        name, subject = self.live.workload.name, self._subject(release)
        ringing = [one.at for one in self._ledger.alarms.list(name, ringing=True) if one.kind == "promise"]
        since = max(ringing, default=datetime.now(UTC))
        if any(one.subject == subject and one.at >= since for one in self._ledger.people.actions(by=ACTOR)):
            self._acted = release, evidence
            return False
        return datetime.now(UTC) - since >= LEFT

    def _subject(self, release: str) -> str:
        return f"{self.live.workload.name}, release {release[:12]}"

    def know(self) -> Mapping[str, Standing]:
        """What is known of the promise of the release at work: as of the last look or, before its first, now. Blocks."""
        return self.standings if self._read[0] == self.live.release else self._learn()

    def _learn(self) -> Mapping[str, Standing]:
        live = self.live
        read = self._read[1] if self._read[0] == live.release else {}
        self.standings, self._read = standings(self._ledger, live.workload, live.release, read), (live.release, read)
        return self.standings

    @property
    def nowhere(self) -> tuple[int, int]:
        """Answers with a copied value that stands nowhere in the input, of how many that were searched for such."""
        return (self._faithful.found, self._faithful.searched) if self._faithful else (0, 0)

    @property
    def progress(self) -> tuple[int, int]:
        """Of the cases that drift is measured against: how many there are of how many that it needs."""
        return self._stream.progress if self._stream else (0, 1)

    def _judge(self) -> bool:
        """Whether the promise is proven broken from now on. A release that could not be opened rings here too."""
        workload, release, now = self.live.workload, self.live.release, datetime.now(UTC)
        last = self._ledger.queue.last_settled(workload.name), release
        if last != self._judged[0] or time.monotonic() - self._judged[1] >= RENEWED:
            self._learn()
            self._judged = last, time.monotonic()
        rang = [self._promise(subject, standing, now) for subject, standing in self.standings.items()]  # the whole comes first
        for alarm in self._ledger.alarms.list(workload.name, ringing=True):
            if alarm.kind == "part" and alarm.subject not in self.standings:  # another release answers
                self._ledger.alarms.clear(alarm.workload, alarm.kind, alarm.subject, now)
        behind = self.live.pointed not in (None, release)
        text = f"Release {(self.live.pointed or '')[:12]} was promoted and cannot be opened; {release[:12]} stays at work."
        self._ring_or_clear(Alarm(workload.name, "release", "behind", text, now), behind, not behind)
        return rang[0]

    def _promise(self, subject: str, standing: Standing, now: datetime) -> bool:
        """Alarms are about the release at work: with another one, what is known begins anew, and so does what rings."""
        kind = "part" if subject != WHOLE else "promise"
        who = f"Release {self.live.release[:12]}" + (f", {subject}" if subject else "")
        alarm = Alarm(self.live.workload.name, kind, subject, f"{who}: {standing.sentence}", now, standing.document())
        return self._ring_or_clear(alarm, standing.state == "broken", standing.state == "kept" or not standing.reviewed)

    def _drift(self) -> None:
        live, now = self.live, datetime.now(UTC)
        if live.home is None:
            return
        if self._stream is None or self._stream.release != live.release:
            promoted = [one for one in self._ledger.promotions(live.workload.name) if one.release == live.release]
            since, folder = (promoted[-1].at if promoted else live.since), live.home / ".rung" / "cache"
            self._stream, self.sight = Stream(self._ledger, live.workload, live.release, since, self._embed, folder), None
        sight = self._stream.look(now)
        if sight is None:
            return
        self.sight = sight
        for finding in sight.findings:
            clusters = [one.document() | {"examples": [sight.decisions[at] for at in one.examples]} for one in finding.clusters]
            detail = finding.document() | {"clusters": clusters}
            alarm = Alarm(live.workload.name, "drift", finding.signal, finding.sentence, now, detail)
            self._ring_or_clear(alarm, finding.drifted, finding.p > CALM)

    def _search(self) -> None:
        """Last: should it ever fail, what is known of the promise was acted on and told."""
        live = self.live
        if self._faithful is None or self._faithful.release != live.release:
            self._faithful = Faithful(self._ledger, live.workload, live.release, live.since)
        self._faithful.look()

    def _ring_or_clear(self, alarm: Alarm, rings: bool, calm: bool) -> bool:
        """Whether it rings from now on."""
        if rings:
            return self._ledger.alarms.ring(alarm)
        if calm:
            self._ledger.alarms.clear(alarm.workload, alarm.kind, alarm.subject, alarm.at)
        return False

    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        from rung.models.encoder import open_encoder

        self._encoder = self._encoder or open_encoder(threads=1)  # one: the others answer callers
        return self._encoder.embed(texts)

    async def _act(self, broken: Standing, release: str) -> None:
        """What the file says follows when the promise is proven broken."""
        name, policy, home = self.live.workload.name, self.live.workload.review.on_broken, self.live.home
        if policy == "alarm" or home is None:
            return
        why = broken.sentence
        done = await (asyncio.to_thread(self._roll_back, why, release) if policy == "roll_back" else self._tighten(why))
        _log.warning("%s: %s", name, done)
        await asyncio.to_thread(self._ledger.people.note, Action(datetime.now(UTC), ACTOR, policy, self._subject(release), done))

    def _roll_back(self, why: str, broken: str) -> str:
        from rung.release.pointer import rollback

        try:
            release, _ = rollback(self._living(), self._ledger, ACTOR, why, broken)
        except PointerMoved:
            return "The promise is broken, and another release answers by now."
        except LedgerError:
            raise
        except RungError as error:
            return f"The promise is broken, and it could not be rolled back: {error}"
        return f"The promise is broken: rolled back to release {release.id[:12]}."

    async def _tighten(self, why: str) -> str:
        _, said = await run_verb("release", "tighten", str(self._file()), "--why", why, "--by", ACTOR)
        return said

    def _living(self) -> Any:
        """The workload as its file is now, beside which the releases lie."""
        from rung.workload import load

        return load(self._file(), gold=False)

    def _file(self) -> Path:
        assert self.live.home is not None
        return self.live.home / self.live.workload.file.name

    async def _tell(self) -> None:
        channels, now = self.live.workload.alarms, time.monotonic()
        if now < self._silent_until:
            return
        for alarm in await asyncio.to_thread(self._ledger.alarms.untold, self.live.workload.name):
            failures = await deliver(alarm, channels) if channels else []
            for failure in failures:
                _log.error("%s: an alarm was not delivered: %s", alarm.workload, failure)
            if channels and len(failures) == len(channels):  # nobody heard of it
                await asyncio.to_thread(self._ledger.alarms.untell, alarm)
                self._silent_until = now + AGAIN

    async def _tell_verdicts(self) -> None:
        """Post what people decided or corrected to whoever asked, once there was time to take it back, and what is taken back."""
        webhook, name, queue = self.live.workload.review.webhook, self.live.workload.name, self._ledger.queue
        if webhook is None or time.monotonic() < self._unheard_until:
            return
        now = datetime.now(UTC)
        until = now + timedelta(seconds=AGAIN)  # what is not marked as told by then, as a gateway stopped, is told again
        if passed := await asyncio.to_thread(queue.pass_over, name, now - STALE):
            _log.warning("%s: %d verdicts, given or taken back more than a day ago, are not delivered any more", name, passed)
        due = await asyncio.to_thread(queue.untold, name, now - GRACE, until)  # a look's share: the promise is to be judged, too
        failures = await asyncio.gather(*(post(webhook, _posting(one)) for one in due))
        over = [one.number for one, failure in zip(due, failures, strict=True) if failure is None or failure.refused]
        await asyncio.to_thread(queue.tell, over, until)
        refused = [failure for failure in failures if failure and failure.refused]
        unheard = [failure for failure in failures if failure and not failure.refused]
        for what, those in (("were refused, and are given up", refused), ("were not delivered", unheard)):
            if those:
                _log.error("%s: %d verdicts %s: %s", name, len(those), what, those[-1].words)
        if unheard:
            self._unheard_until = time.monotonic() + AGAIN


def _evidence(broken: Standing) -> int:
    """The answers of the sample since the stretch began that proved it."""
    return broken.reviewed + broken.unjudged + (broken.proof[1] if broken.proof else 0)


def _posting(one: Conclusion) -> dict[str, Any]:
    """The same for every try. `at` is when what is told came about."""
    decision, given = one.record.decision.id, one.record.decision.answer
    return {
        "id": f"{decision}-{one.number}-{one.state}",
        "workload": one.record.workload,
        "decision": decision,
        "review": one.state,
        "answer": one.answer and dict(one.answer),
        "instead_of": given and dict(given),
        "at": one.at.isoformat(),
    }
