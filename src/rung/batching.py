"""Turns many concurrent callers into few calls of a batch function. Knows nothing about what the batches hold.

Encoding texts and committing records share one economy: a batch of thirty-two costs little more than one. Nobody waits for
a batch to fill: whatever arrives while one batch runs forms the next, so a lone caller is served at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Run `run(items) -> results`, in order and of equal length, over whatever has been submitted since its last run.

    `run` is called with at most `largest` items, in threads of the batcher's own, `abreast` times at once at most. An
    exception it raises reaches every caller of that batch and no other. A batcher belongs to one event loop until it is closed.
    """

    def __init__(self, run: Callable[[list[Item]], Sequence[Result]], largest: int, name: str, abreast: int = 1) -> None:
        """Name the threads that will run the batches; they start with the first items."""
        self._run = run
        self._largest = largest
        self._start = partial(ThreadPoolExecutor, abreast, thread_name_prefix=name)
        self._threads = self._start()
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._abreast = abreast
        self._draining: list[asyncio.Task[None]] = []

    async def submit(self, item: Item) -> Result:
        """The result for one item; raises what `run` raised for its batch."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._draining = [task for task in self._draining if not task.done()]
        if len(self._draining) < self._abreast:
            self._draining.append(asyncio.create_task(self._drain()))
        return await future

    async def close(self) -> None:
        """Finish what has been submitted, then end the threads; further items start others."""
        for task in self._draining:
            await task
        self._threads.shutdown()
        self._threads = self._start()

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._next():
            items = [item for item, _ in batch]
            (outcome,) = await asyncio.gather(loop.run_in_executor(self._threads, self._run, items), return_exceptions=True)
            self._settle([future for _, future in batch], outcome)

    def _next(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        while self._waiting and len(batch) < self._largest:
            item, future = self._waiting.popleft()
            if not future.done():  # its caller gave up waiting
                batch.append((item, future))
        return batch

    @staticmethod
    def _settle(futures: list[asyncio.Future[Result]], outcome: Sequence[Result] | BaseException) -> None:
        for position, future in enumerate(futures):
            if future.done():
                continue
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome[position])
