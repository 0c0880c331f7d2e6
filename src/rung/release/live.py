"""A release that answers, and its successors: every decision is durable in the ledger before it is returned.

Knows nothing about HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rung.cascade import Cascade, decide
from rung.core import Case, Decision, RungError
from rung.ledger import Ledger, Record
from rung.models.encoder import Encoder, open_encoder
from rung.release.frozen import Release, load_release, require_gated
from rung.release.opening import close_models, open_release
from rung.workload import Workload

LONGEST = 100_000  # characters of a case, on every interface and in gold
PAUSE = 0.2  # seconds between two looks at the ledger's pointer

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


class Live:
    """What answers for one workload. While `follow` runs, each promotion or rollback in the ledger puts another release to work;
    a case is decided to its end by the release it began with."""

    def __init__(self, workload: Workload, cascade: Cascade, ledger: Ledger, home: tuple[Path, Encoder] | None = None) -> None:
        """Answer for a workload; the ledger stays the caller's to close. `home` is the folder in which successors are looked for,
        and the encoder that those without their own share; without it there are none."""
        self.ledger = ledger
        self._opened = _Opened(workload, cascade)
        self._home = home
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
    def since(self) -> datetime:
        """When that release was put to work here."""
        return self._opened.since

    async def decide(self, case: Case) -> Decision:
        """Decide and record. Raises `LedgerError` when the decision cannot be made durable: then there is no answer.

        Raises `CaseError` for a text that is blank or longer than `LONGEST` characters.
        """
        if not case.text.strip() or len(case.text) > LONGEST:
            raise CaseError(f"The text has {len(case.text):,} characters; it must have some, and at most {LONGEST:,}. Send less.")
        opened = self._opened
        opened.busy += 1
        try:
            decision = await decide(case, opened.cascade)
        finally:
            opened.busy -= 1
            self._retire(opened)
        await self.ledger.record(Record(opened.workload.name, case, decision, datetime.now(UTC)))
        return decision

    def swap(self, workload: Workload, cascade: Cascade) -> None:
        """Let another release answer whatever is asked from now on."""
        former, self._opened = self._opened, _Opened(workload, cascade)
        self._retire(former)

    async def follow(self, pause: float = PAUSE) -> None:
        """Put to work whatever release the ledger points to, until cancelled. One that cannot be opened leaves the present one at
        work: the reason is logged, once, and it is tried again as soon as the pointer or its folder may have changed."""
        trouble = ""
        while self._home:
            await asyncio.sleep(pause)
            try:
                await self._catch_up(*self._home)
                trouble = ""
            except Exception as error:  # noqa: BLE001  # whatever is wrong with the next release, the one at work goes on
                said = str(error) or type(error).__name__
                if said != trouble:
                    _log.error("%s: release %s stays at work. %s", self.workload.name, self.release[:12], said)
                trouble = said
                await asyncio.sleep(pause * 10)

    async def close(self) -> None:
        """Close the tiers' models."""
        await asyncio.gather(*self._closing)
        await close_models(self._opened.cascade)

    async def _catch_up(self, releases: Path, encoder: Encoder) -> None:
        pointed = await asyncio.to_thread(self.ledger.current_release, self.workload.name)
        if pointed not in (None, self.release):
            self.swap(*await asyncio.to_thread(_open, releases / pointed, encoder))

    def _retire(self, opened: _Opened) -> None:
        if opened is not self._opened and not opened.busy:
            task = asyncio.create_task(close_models(opened.cascade))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def _open(folder: Path, encoder: Encoder) -> tuple[Workload, Cascade]:
    return open_release(require_gated(load_release(folder)), encoder)


def open_live(release: Release, ledger: Ledger, encoder: Encoder | None = None) -> Live:
    """Put a release to work. Raises `Ungated` for one that has not passed its gate."""
    encoder = encoder or open_encoder()
    return Live(*open_release(require_gated(release), encoder), ledger, (release.folder.parent, encoder))
