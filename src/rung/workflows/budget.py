"""Turns a sum of US dollars into leave to ask an endpoint, case by case, or into a refusal before the sum is exceeded.

What was spent is kept in a file, line by line, so that neither a kill nor a second run forgets it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from math import isfinite
from pathlib import Path
from typing import BinaryIO

from rung.cascade import Cascade
from rung.core import Answer, Case, Model, Problem, RungError
from rung.models.endpoint import CHARACTERS_PER_TOKEN, EndpointError, Prompt, cost_of
from rung.release.opening import asked_schema
from rung.workflows.rehearsal import Remembered
from rung.workflows.showing import Shown
from rung.workload import EndpointTier, Workload

CENT = 1e-9  # US dollars: what adding up floats may be off by
LARGEST = 4_096  # tokens of an answer, those included that a model thinks in: what a call costs needs a bound
UNKNOWN = ("endpoint_timeout", "endpoint_nonsense")  # where the server may have worked, and did not say how much


class BudgetSpent(RungError):
    """Asking on could cost more than the budget."""

    code = "budget_spent"
    exit_status = 1


class Purse:
    """A budget in US dollars, over however many runs, also at the same time. It belongs to one event loop at a time."""

    def __init__(self, budget: float, file: Path) -> None:
        """What `file` says is spent already; it need not exist."""
        self.budget = budget
        self.stopped = False  # whether something was refused; whoever begins anew says that it is not
        self._sum, self._read, self._file = 0.0, 0, file
        self._under_way = 0
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def spent(self) -> float:
        """US dollars, those included that calls under way could cost."""
        with self._locked():
            return round(self._sum, 9)

    @property
    def left(self) -> float:
        """US dollars."""
        return max(self.budget - self.spent, 0.0)

    async def take(self, amount: float) -> None:
        """Put aside what a call could cost, as soon as there is so much. Raises `BudgetSpent` if there never will be."""
        while self.stopped or not self._put_aside(amount):
            if self.stopped or not self._under_way:
                self.stopped = True
                raise BudgetSpent(f"${self.left:.6f} of bakeoff.budget are left, and the next call could cost ${amount:.6f}")
            self._waiting.append(turn := asyncio.get_running_loop().create_future())
            await turn
        self._under_way += 1

    def settle(self, amount: float, cost: float) -> None:
        """Put back what was taken for a call, less what it did cost."""
        self._under_way -= 1
        if cost != amount:
            with self._locked() as file:
                _write(file, cost - amount)
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(None)
        self._waiting.clear()

    def _put_aside(self, amount: float) -> bool:
        if not amount:
            return True
        with self._locked() as file:
            if fits := self._sum + amount <= self.budget + CENT:
                _write(file, amount)  # before the call: a kill in the middle of it counts it in full
            return fits

    @contextmanager
    def _locked(self) -> Generator[BinaryIO]:
        """The file, while nobody else has it, at its end: all that anybody wrote is counted."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a+b") as file:
            flock(file, LOCK_EX)
            file.seek(self._read)
            written = file.read()
            self._sum += sum(map(_amount, written.split()))
            self._read += len(written)
            yield file


def _write(file: BinaryIO, amount: float) -> None:
    file.write(f"\n{amount!r}\n".encode())  # on a line of its own, also where a kill has torn the one before


def _amount(line: bytes) -> float:
    try:
        amount = float(line)
    except ValueError:
        return 0.0
    return amount if isfinite(amount) else 0.0


class Metered:
    """A model behind an endpoint that is asked as far as a purse allows. What a call can cost at most is put aside before it: a
    token for each byte of its prompt, `LARGEST` for its answer, and an hour's share of the tier's timeout."""

    def __init__(self, model: Model, purse: Purse, tier: EndpointTier, prompt: int, output: int) -> None:
        """`prompt` is how many bytes every prompt has besides its case, `output` how many characters an answer has at most."""
        self._model, self._purse, self._tier = model, purse, tier
        self._prompt, self._output = prompt, output

    async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
        """The model's answer. Raises `BudgetSpent` where it could cost too much, besides what the model raises, of which it tells
        the code and the status alone: a server may repeat the case in its words, and what is told goes into the memo."""
        prompt = self._prompt + _bytes(case) + sum(_size(each.check + each.message) + 8 for each in objections)
        most = cost_of(self._tier.endpoint.price, (prompt, LARGEST), self._tier.timeout)
        await self._purse.take(most)
        cost = most  # of a call that is cut off nobody learns what it did cost
        try:
            answer = await self._model.answer(case, objections)
            cost = answer.cost
        except EndpointError as error:
            cost = error.cost or (most if error.code in UNKNOWN else 0.0)
            brief = EndpointError(error.code, error.code + (f" (HTTP {error.status})" if error.status else ""), error.status)
            brief.cost = cost
            raise brief from None
        finally:
            self._purse.settle(most, cost)
        return answer

    async def close(self) -> None:
        """Close the model."""
        await self._model.close()

    def foresee(self, case: Case) -> float:
        """What asking about a case costs by the endpoint's price of tokens, in US dollars, estimated."""
        prompt, output = ((self._prompt + _bytes(case)) // CHARACTERS_PER_TOKEN, self._output // CHARACTERS_PER_TOKEN)
        return cost_of(self._tier.endpoint.price, (prompt, output), 0.0)


def _bytes(case: Case) -> int:
    return _size(case.text) + (_size(json.dumps(dict(case.context), default=str)) if case.context else 0)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


class Meter:
    """Puts the endpoints of a workload on one purse."""

    def __init__(self, workload: Workload, purse: Purse, answer: int) -> None:
        """`answer` is how many characters an answer has at most, as JSON."""
        said = [workload.task, json.dumps(asked_schema(workload)), *Prompt]
        self._purse, self._prompt, self._output = purse, sum(map(_size, said)), 2 * answer

    def require(self) -> None:
        """Raise `BudgetSpent` if something was refused since this began: what was answered is not all that there was to ask."""
        if self._purse.stopped:
            raise BudgetSpent(f"a further call could cost more than the ${self._purse.left:,.4f} of bakeoff.budget that are left")

    def __call__(self, tier: EndpointTier, model: Model, examples: Sequence[Shown]) -> Model:
        """The model, asked as far as the purse allows."""
        prompt = self._prompt + sum(_size(text) + _size(json.dumps(dict(fields))) for text, fields in examples)
        return Metered(model, self._purse, tier, prompt, self._output)


def foresee(draft: Cascade, cases: Sequence[Case]) -> tuple[int, float]:
    """How many of the cases some endpoint of a metered draft has not answered yet, and about what asking costs: as much each as
    the answers that are kept did, or else by the endpoint's price of tokens."""
    count, cost = 0, 0.0
    for tier in draft.tiers:
        if isinstance(tier.model, Remembered) and isinstance(tier.model.model, Metered):
            unasked, mean = tier.model.unasked(cases), tier.model.mean_cost
            count = max(count, len(unasked))
            cost += sum(tier.model.model.foresee(case) for case in unasked) if mean is None else mean * len(unasked)
    return count, cost
