"""A release that answers: every decision is durable in the ledger before it is returned. Knows nothing about HTTP."""

from __future__ import annotations

from datetime import UTC, datetime

from rung.cascade import Cascade, decide
from rung.core import Case, Decision, RungError
from rung.ledger import Ledger, Record
from rung.models.encoder import Encoder, open_encoder
from rung.release.frozen import Release
from rung.release.opening import close_models, open_release
from rung.workload import Workload

LONGEST = 100_000  # characters of a case, on every interface and in gold


class CaseError(RungError):
    """A case that no cascade should be asked about."""

    code = "case_invalid"


class Live:
    """A release that answers: every decision is durable in the ledger before it is returned."""

    def __init__(self, workload: Workload, cascade: Cascade, ledger: Ledger) -> None:
        """Answer for a workload; the ledger stays the caller's to close."""
        self.workload = workload
        self.release = cascade.release
        self.since = datetime.now(UTC)
        self.ledger = ledger
        self._cascade = cascade

    async def decide(self, case: Case) -> Decision:
        """Decide and record. Raises `LedgerError` when the decision cannot be made durable: then there is no answer.

        Raises `CaseError` for a text that is blank or longer than `LONGEST` characters.
        """
        if not case.text.strip() or len(case.text) > LONGEST:
            raise CaseError(f"The text has {len(case.text):,} characters; it must have some, and at most {LONGEST:,}. Send less.")
        decision = await decide(case, self._cascade)
        await self.ledger.record(Record(self.workload.name, case, decision, datetime.now(UTC)))
        return decision

    async def close(self) -> None:
        """Close the tiers' models."""
        await close_models(self._cascade)


def open_live(release: Release, ledger: Ledger, encoder: Encoder | None = None) -> Live:
    """Put a release to work."""
    workload, cascade = open_release(release, encoder or open_encoder())
    return Live(workload, cascade, ledger)
