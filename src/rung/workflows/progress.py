"""How long stages tell whoever watches how far they are. Knows nothing about the stages."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Progress(Protocol):
    """Where a stage reports how far it is: `with progress("embedding", 2000) as advance: advance(1)`."""

    def __call__(self, stage: str, total: int | None = None, /) -> AbstractContextManager[Callable[[int], None]]:
        """Open a stage of `total` steps, or of unknown length."""
        ...


def silent(stage: str, total: int | None = None, /) -> AbstractContextManager[Callable[[int], None]]:
    """Progress that nobody watches."""
    return nullcontext(lambda steps: None)


def steps(advance: Callable[[int], None]) -> Callable[[int], None]:
    """Turn "so many done" into "so many more"."""
    done = 0

    def report(so_far: int) -> None:
        nonlocal done
        advance(so_far - done)
        done = so_far

    return report
