"""Many callers, few calls."""

import asyncio
import time

import pytest

from rung.batching import Batcher


def test_whatever_arrives_while_one_batch_runs_forms_the_next():
    sizes: list[int] = []

    def run(items: list[int]) -> list[int]:
        sizes.append(len(items))
        time.sleep(0.02)
        return [item * 2 for item in items]

    async def many() -> list[int]:
        batcher = Batcher(run, 8, "test")
        first = asyncio.create_task(batcher.submit(0))
        await asyncio.sleep(0.005)
        rest = await asyncio.gather(*(batcher.submit(n) for n in range(1, 20)))
        await batcher.close()
        return [await first, *rest]

    assert asyncio.run(many()) == [n * 2 for n in range(20)]
    assert sizes == [1, 8, 8, 3]


def test_batches_run_abreast_up_to_the_number_given():
    running: list[int] = []
    most: list[int] = []

    def run(items: list[int]) -> list[int]:
        running.append(1)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()
        return items

    async def many() -> list[int]:
        batcher = Batcher(run, 2, "test", abreast=2)
        found = await asyncio.gather(*(batcher.submit(n) for n in range(10)))
        found += await asyncio.gather(*(batcher.submit(n) for n in range(10, 13)))
        await batcher.close()
        return found

    assert asyncio.run(many()) == list(range(13))
    assert max(most) == 2


def test_an_error_reaches_the_callers_of_its_batch_and_no_other():
    def run(items: list[int]) -> list[int]:
        if 13 in items:
            raise ValueError("unlucky")
        return items

    async def both() -> int:
        batcher = Batcher(run, 1, "test")
        with pytest.raises(ValueError, match="unlucky"):
            await batcher.submit(13)
        return await batcher.submit(7)

    assert asyncio.run(both()) == 7


def test_an_item_whose_caller_gave_up_before_its_batch_is_never_run():
    ran: list[int] = []

    def run(items: list[int]) -> list[int]:
        ran.extend(items)
        time.sleep(0.05)
        return items

    async def give_up() -> None:
        batcher = Batcher(run, 1, "test")
        first = asyncio.create_task(batcher.submit(1))
        await asyncio.sleep(0.01)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(batcher.submit(2), 0.01)
        await first
        await batcher.submit(3)
        await batcher.close()

    asyncio.run(give_up())
    assert ran == [1, 3]
