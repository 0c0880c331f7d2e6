"""A workload answering inside this process: the synchronous face of `release.Live`, and the same behind ASGI."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from rung.core import Case, Decision
from rung.release.live import Live, open_live
from rung.release.pointer import current_release, ledger_of
from rung.workload import Workload

if TYPE_CHECKING:
    from rung.gateway import Gateway

Result = TypeVar("Result")


class Embedded:
    """Decide cases in this process: `with Embedded(workload) as rung: rung.decide("...")`. Safe to call from many threads."""

    def __init__(self, workload: Workload, follow: bool = True) -> None:
        """Open the current release and the ledger; with `follow`, each release that is promoted later takes over within a second.
        Raises `ReleaseError` if nothing has been trained yet."""
        self.ledger = ledger_of(workload)
        self._live: Live = open_live(current_release(workload, self.ledger), self.ledger)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rung", daemon=True)
        self._thread.start()
        self._following = asyncio.run_coroutine_threadsafe(self._live.follow(), self._loop) if follow else None

    @property
    def release(self) -> str:
        """The content hash of the release at work."""
        return self._live.release

    def decide(self, text: str, context: Mapping[str, Any] | None = None, asked_by: str = "embedded") -> Decision:
        """Decide one case and record it. Raises `LedgerError` when it cannot be recorded: then there is no answer."""
        return self.run(self._live.decide(Case(text, context or {}, asked_by)))

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run something on the loop that the release lives on."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    @property
    def live(self) -> Live:
        """The release at work, for callers that bring coroutines of their own."""
        return self._live

    def close(self) -> None:
        """Finish what is under way and close the ledger."""
        if self._following:
            self._following.cancel()
        self.run(self._live.close())
        self.run(self.ledger.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Embedded:
        """Nothing more to open."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()


def asgi(workload: Workload, open_access: bool = False) -> Gateway:
    """The workload behind the OpenAI-compatible gateway, for any ASGI server, once: when its lifespan ends, everything is closed.
    `open_access` asks for no API keys."""
    from rung.gateway import application

    ledger = ledger_of(workload)
    return application([open_live(current_release(workload, ledger), ledger)], ledger, open_access=open_access, owns=True)
