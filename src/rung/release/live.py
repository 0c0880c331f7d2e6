"""A release that answers, its successors, and one that is tried beside it: every decision is durable before it is returned.

Knows nothing about HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path

from rung.cascade import Cascade, decide
from rung.core import Attempt, Case, Decision, RungError
from rung.ledger import End, Ledger, LedgerError, Record, Trial
from rung.models.encoder import Encoder, open_encoder
from rung.release.frozen import Release, load_release, require_gated
from rung.release.opening import close_models, open_release
from rung.release.trial import assign
from rung.release.trial_shadow import Shadows
from rung.release.trial_tally import Watch
from rung.review import draw
from rung.workload import Workload

LONGEST = 100_000  # characters of a case, on every interface and in gold
MENTIONED = 500  # characters of what went wrong that the ledger keeps of a trial
PAUSE = 0.2  # seconds between two looks at the ledger's pointer
LOOK = 10  # times that, between two looks at how a trial goes
MOST = 2.0  # seconds until a release that could not be opened is tried again
TRIES = 3  # times that a challenger is opened in vain before its trial is ended

Opener = Callable[[str], tuple[Workload, Cascade]]

_log = logging.getLogger("rung.release")


class CaseError(RungError):
    """A case that no cascade should be asked about."""

    code = "case_invalid"


@dataclass(slots=True)
class _Opened:
    """A release at work: its frozen workload and cascade, since when, and how many cases it is deciding now."""

    workload: Workload
    cascade: Cascade
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    busy: int = 0


@dataclass(frozen=True, slots=True)
class _Tried:
    """A trial that runs, its challenger at work, and what goes on with both."""

    trial: Trial
    challenger: _Opened
    shadows: Shadows
    watch: Watch


@dataclass(frozen=True, slots=True)
class _Refused:
    """A release that could not be opened, why, how often, and until when (of the loop's clock) that is not tried again."""

    name: str
    until: float
    error: Exception
    times: int


class Live:
    """What answers for one workload. While `follow` runs, each promotion or rollback in the ledger puts another release to work,
    and a trial lets its challenger decide some cases; a case is decided to its end by the release it began with."""

    def __init__(self, workload: Workload, cascade: Cascade, ledger: Ledger, opener: Opener | None = None) -> None:
        """Answer for a workload; the ledger stays the caller's to close. `opener` opens another release by its id, blocking;
        without it there are no others."""
        self.ledger = ledger
        self.home: Path | None = None  # the folder of the workload file that the releases lie beside
        self._opened = _Opened(workload, cascade)
        self._opener = opener
        self.pointed: str | None = None  # what the ledger pointed to when last asked
        self._refused: _Refused | None = None
        self._wanted: Trial | None = None  # the trial that the ledger says runs
        self._tried: _Tried | None = None  # the one that this takes part in
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def workload(self) -> Workload:
        """The workload as the release at work has it."""
        return self._opened.workload

    @property
    def release(self) -> str:
        """The id of the release at work."""
        return self._opened.cascade.release

    @property
    def level(self) -> float:
        """The confidence (0..1) from which on the release at work trusts an answer."""
        return self._opened.cascade.level

    @property
    def trial(self) -> Trial | None:
        """The trial that cases asked from now on are part of."""
        return self._tried and self._tried.trial

    @property
    def since(self) -> datetime:
        """When that release was put to work here."""
        return self._opened.since

    async def decide(self, case: Case) -> Decision:
        """Decide and record. Raises `LedgerError` when the decision cannot be made durable: then there is no answer.

        Raises `CaseError` for a text that is blank or longer than `LONGEST` characters.
        """
        _require_text(case)
        opened, tried = self._opened, self._tried
        assignment = assign(tried.trial, case) if tried else None
        if tried and assignment and assignment.arm == "challenger":
            opened = tried.challenger
        decision = await self._ask(opened, case)
        drawn = draw(decision, opened.workload.review, opened.cascade.level)
        await self.ledger.record(Record(opened.workload.name, case, decision, datetime.now(UTC), assignment, drawn))
        if tried and assignment and tried.trial.kind == "shadow":
            tried.shadows.cast(case, decision)
        return decision

    async def explain(self, case: Case, tiers: Collection[str]) -> Sequence[Attempt]:
        """What each of these tiers makes of a case, asked in their order and as ever, but that none is trusted before all were;
        `trusted` says which would have been. Nothing is recorded. Raises `CaseError` as `decide` does."""
        _require_text(case)
        opened = self._opened
        asked, level = tuple(tier for tier in opened.cascade.tiers if tier.name in tiers), opened.cascade.level
        climbed = await self._ask(opened, case, replace(opened.cascade, tiers=asked, level=inf)) if asked else None
        attempts = climbed.attempts if climbed else ()
        return [replace(each, trusted=not each.problems and each.confidence >= level) for each in attempts]

    async def follow(self, pause: float = PAUSE) -> None:
        """Put to work whatever release the ledger points to, and take part in its trials, until cancelled. What goes wrong leaves
        the present one at work, such as a release that cannot be opened: it is logged, once, and tried again."""
        if self._opener:
            chores = (
                self._repeat(self._catch_up, pause),
                self._repeat(self._join, pause),
                self._repeat(self._look, LOOK * pause),
            )
            await asyncio.gather(*chores)

    async def close(self) -> None:
        """Close the tiers' models."""
        self._leave()
        while self._closing:
            await asyncio.gather(*self._closing)
        await close_models(self._opened.cascade)

    async def _repeat(self, chore: Callable[[], Awaitable[None]], pause: float) -> None:
        trouble = ""
        while True:
            await asyncio.sleep(pause)
            try:
                await chore()
                trouble = ""
            except Exception as error:  # noqa: BLE001  # whatever is wrong with another release, the one at work goes on
                said = str(error) or type(error).__name__
                if said != trouble:
                    _log.error("%s: release %s stays at work. %s", self.workload.name, self.release[:12], said)
                trouble = said

    async def _catch_up(self) -> None:
        """Answer with the release that the ledger points to, and leave a trial that has ended."""
        self.pointed, self._wanted = await asyncio.to_thread(self._standing)
        pointed, tried = self.pointed, self._tried
        if tried and pointed == tried.trial.release:
            self._install(tried.challenger)
        elif tried and (self._wanted is None or self._wanted.id != tried.trial.id):
            self._leave()
        if pointed not in (None, self.release):
            opened = _Opened(*await self._open(pointed))
            self.pointed, self._wanted = await asyncio.to_thread(self._standing)
            if self.pointed == pointed:
                self._install(opened)
            else:  # it was rolled back meanwhile
                await close_models(opened.cascade)

    async def _open(self, name: str) -> tuple[Workload, Cascade]:
        """Another release, opened beside the present one; one that could not be is tried again after `MOST` seconds."""
        assert self._opener is not None
        now = asyncio.get_running_loop().time()
        if self._refused and self._refused.name == name and now < self._refused.until:
            raise self._refused.error
        try:
            return await asyncio.to_thread(self._opener, name)
        except Exception as error:
            before = self._refused.times if self._refused and self._refused.name == name else 0
            self._refused = _Refused(name, now + MOST, error, before + 1)
            raise

    def _standing(self) -> tuple[str | None, Trial | None]:
        name = self.workload.name
        return self.ledger.current_release(name), self.ledger.trial(name, running=True)

    async def _join(self) -> None:
        """Take part in the trial that runs, if the release that it is against is the one at work here. A challenger that cannot
        be opened ends its trial, with the reason: it would go on for ever, with nothing learnt."""
        trial = self._wanted
        if self._opener is None or trial is None or self._tried or trial.against != self.release:
            return
        try:
            challenger = _Opened(*await self._open(trial.release))
        except Exception as error:
            if self._refused and self._refused.times >= TRIES:
                self._refused = None
                said = f"stopped: a process that answers cannot open the challenger: {str(error) or type(error).__name__}"
                await asyncio.to_thread(self.ledger.end_trial, trial.id, End(datetime.now(UTC), "rung", said[:MENTIONED]))
            raise
        if self._wanted and self._wanted.id == trial.id and trial.against == self.release:
            shadows = Shadows(trial.id, lambda case: self._ask(challenger, case), lambda: self._opened.busy)
            self._tried = _Tried(trial, challenger, shadows, Watch(trial, challenger.workload))
        else:
            await close_models(challenger.cascade)

    async def _look(self) -> None:
        """Record what was decided unseen; end a trial that must not go on."""
        if tried := self._tried:
            await tried.shadows.record(self.ledger)
            if tried.trial.kind != "shadow":
                await asyncio.to_thread(tried.watch.look, self.ledger)

    async def _ask(self, opened: _Opened, case: Case, cascade: Cascade | None = None) -> Decision:
        opened.busy += 1
        try:
            return await decide(replace(case, user="") if case.user else case, cascade or opened.cascade)
        finally:
            opened.busy -= 1
            self._retire(opened)

    def _install(self, opened: _Opened) -> None:
        former, self._opened = self._opened, opened
        opened.since = datetime.now(UTC)
        self._leave()  # its comparison was with the former
        self._retire(former)

    def _leave(self) -> None:
        if tried := self._tried:
            self._tried = None
            self._later(self._end(tried.shadows))
            self._retire(tried.challenger)

    async def _end(self, shadows: Shadows) -> None:
        await asyncio.gather(*shadows.stop(), return_exceptions=True)
        try:
            await shadows.record(self.ledger)
        except LedgerError as error:
            _log.error("%s: %s", self.workload.name, error)

    def _retire(self, opened: _Opened) -> None:
        """Close a release that is no longer asked, once it has decided what it was asked."""
        if opened is not self._opened and not (self._tried and opened is self._tried.challenger) and not opened.busy:
            self._later(close_models(opened.cascade))

    def _later(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _require_text(case: Case) -> None:
    if not case.text.strip() or len(case.text) > LONGEST:
        raise CaseError(f"The text has {len(case.text):,} characters; it must have some, and at most {LONGEST:,}. Send less.")


def open_live(release: Release, ledger: Ledger, encoder: Encoder | None = None) -> Live:
    """Put a release to work. Raises `Ungated` for one that has not passed its gate."""
    encoder = encoder or open_encoder()

    def open_other(name: str) -> tuple[Workload, Cascade]:
        return open_release(require_gated(load_release(release.folder.parent / name)), encoder)

    live = Live(*open_release(require_gated(release), encoder), ledger, open_other)
    live.home = release.folder.parents[2]
    return live
