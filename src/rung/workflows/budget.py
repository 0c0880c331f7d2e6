"""Turns a sum of US dollars into leave to ask an endpoint, case by case, or into a refusal before the sum is exceeded.

What was spent is kept in a file, line by line, so that neither a kill nor a second run forgets it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rung.cascade import Cascade
from rung.core import Answer, Case, CostlyFailure, Model, Problem, RungError
from rung.models.endpoint import CHARACTERS_PER_TOKEN, Prompt
from rung.release import asked_schema
from rung.workflows.rehearsal import Remembered
from rung.workflows.showing import Shown
from rung.workload import EndpointTier, Workload

CENT = 1e-9  # US dollars: what adding up floats may be off by


class BudgetSpent(RungError):
    """Asking on could cost more than the budget."""

    code = "budget_spent"
    exit_status = 1


class Purse:
    """A budget in US dollars, over however many runs. It belongs to one event loop at a time."""

    def __init__(self, budget: float, file: Path) -> None:
        """What `file` says is spent already; it need not exist."""
        self.budget = budget
        self.stopped = False  # whether something was refused; whoever begins anew says that it is not
        self._spent, self._file = 0.0, file
        self._under_way = 0
        self._waiting: list[asyncio.Future[None]] = []
        with suppress(FileNotFoundError):
            for line in file.read_text(encoding="utf-8").split():
                self._spent += float(line)

    @property
    def spent(self) -> float:
        """US dollars, those included that calls under way could cost."""
        return round(self._spent, 9)

    @property
    def left(self) -> float:
        """US dollars."""
        return max(self.budget - self.spent, 0.0)

    async def take(self, amount: float) -> None:
        """Put aside what a call could cost, as soon as there is so much. Raises `BudgetSpent` if there never will be."""
        while not self.stopped and self._spent + amount > self.budget + CENT and self._under_way:
            self._waiting.append(turn := asyncio.get_running_loop().create_future())
            await turn
        if self.stopped or self._spent + amount > self.budget + CENT:
            self.stopped = True
            raise BudgetSpent(f"${self.left:.6f} of bakeoff.budget are left, and the next call could cost ${amount:.6f}")
        self._under_way += 1
        self._write(amount)

    def settle(self, amount: float, cost: float) -> None:
        """Put back what was taken for a call, less what it did cost."""
        self._under_way -= 1
        self._write(cost - amount)
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(None)
        self._waiting.clear()

    def _write(self, amount: float) -> None:
        self._spent += amount
        if amount:  # before the call: a kill in the middle of it counts it in full
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{amount!r}\n")


class Metered:
    """A model behind an endpoint that is asked as far as a purse allows. The first call goes alone: it shows what one costs."""

    def __init__(self, model: Model, purse: Purse, tier: EndpointTier, prompt: int, output: int) -> None:
        """`prompt` and `output` are the characters that every prompt has besides its case, and an answer at most."""
        self._model, self._purse, self._price = model, purse, tier.endpoint.price
        self._prompt, self._output = prompt, output
        self._largest: float | None = None
        self._longest = self._price.hour * tier.timeout / 3600
        self._first = asyncio.Lock()

    async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
        """The model's answer. Raises `BudgetSpent` where it could cost too much, besides what the model raises."""
        if self._largest is None:
            async with self._first:
                if self._largest is None:
                    return await self._pay(case, objections)
        return await self._pay(case, objections)

    async def close(self) -> None:
        """Close the model."""
        await self._model.close()

    def foresee(self, case: Case) -> float:
        """What asking about a case costs by the endpoint's price of tokens, in US dollars; what the prompt holds is estimated."""
        context = len(json.dumps(dict(case.context), default=str)) if case.context else 0
        prompt = self._prompt + len(case.text) + context
        return (self._price.input * prompt + self._price.output * self._output) / CHARACTERS_PER_TOKEN / 1e6

    async def _pay(self, case: Case, objections: tuple[Problem, ...]) -> Answer:
        known = self._longest if self._largest is None else self._largest
        amount = max(self.foresee(case), known)
        await self._purse.take(amount)
        cost = amount  # of a call that is cut off nobody learns what it did cost
        try:
            answer = await self._model.answer(case, objections)
            cost = answer.cost
        except CostlyFailure as error:
            cost = error.cost
            raise
        finally:
            self._largest = max(self._largest or 0.0, cost)
            self._purse.settle(amount, cost)
        return answer


class Meter:
    """Puts the endpoints of a workload on one purse."""

    def __init__(self, workload: Workload, purse: Purse, answer: int) -> None:
        """`answer` is how many characters an answer has at most, as JSON."""
        said = [workload.task, json.dumps(asked_schema(workload)), *Prompt]
        self._purse, self._prompt, self._output = purse, sum(map(len, said)), 2 * answer

    def __call__(self, tier: EndpointTier, model: Model, examples: Sequence[Shown]) -> Model:
        """The model, asked as far as the purse allows."""
        prompt = self._prompt + sum(len(text) + len(json.dumps(dict(fields))) for text, fields in examples)
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
