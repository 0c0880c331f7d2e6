"""What happens in a workload's ledger before its server starts, or beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rung.ledger import Ledger, open_ledger


def before(folder: Path, happens: Callable[[Ledger], object]) -> None:
    """Let it happen, as another process would: a browser's loop may run in this thread."""

    def run() -> None:
        ledger = open_ledger(f"sqlite:///{folder}/ledger.db")
        happens(ledger)
        asyncio.run(ledger.close())

    with ThreadPoolExecutor(1) as threads:
        threads.submit(run).result()
