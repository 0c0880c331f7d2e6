"""A scripted endpoint for tests whose subject runs an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rung.testing import FakeEndpoint, Reply


@contextmanager
def serving(script: Callable[[dict[str, Any]], Reply]) -> Iterator[FakeEndpoint]:
    """A fake endpoint in a thread of its own: training runs its own event loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = FakeEndpoint(script)
    try:
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
        yield server
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def declared(server: FakeEndpoint, **changes: Any) -> dict[str, Any]:
    """An `endpoints.yaml` with this server in it."""
    price = {"input": 1.0, "output": 2.0}
    return {"slm": {"url": server.url, "size": "core", "weights": "open", "boundary": "inside", "price": price, **changes}}
