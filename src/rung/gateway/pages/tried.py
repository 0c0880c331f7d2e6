"""Turns a trial that runs into what a page shows of it. A long one is counted beside the request, and once."""

from __future__ import annotations

import asyncio
import time
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rung.charts import Block, Callout, Details, Fact, Facts, Paragraph, Table, spell
from rung.ledger import Ledger, Marks, Trial
from rung.release.trial_report import describe_trial
from rung.release.trial_tally import Tally
from rung.workload import Workload

WAIT = 0.05  # seconds that a page waits for figures
SETTLED = 2.0  # seconds after which no row turns up any more among earlier ones
KINDS = {"shadow": "Shadow", "canary": "Canary", "ab": "A/B"}
DASH = "\u2013"


@dataclass(frozen=True, slots=True)
class Standing:
    """A trial as it stood at a time: the document that `rung release trial` has."""

    document: dict[str, Any]
    at: datetime


@dataclass(slots=True)
class _Count:
    """How far a trial was read for good, and how far it is to be read next, since when (seconds of a clock)."""

    trial: Trial
    sure: Tally
    workload: Workload
    next: tuple[float, Marks] | None = None
    standing: Standing | None = None
    task: asyncio.Task[None] | None = None

    def go_on(self, ledger: Ledger) -> None:
        """Blocks. Rows are not seen in the order of their numbers: what is fresh is counted again each time."""
        now, marks = time.monotonic(), ledger.marks()
        if self.next and now - self.next[0] >= SETTLED:
            self.sure.read(ledger, self.next[1])
            self.next = None
        self.next = self.next or (now, marks)
        shown = deepcopy(self.sure, {id(self.workload): self.workload, id(self.trial): self.trial})
        shown.read(ledger, marks)
        self.standing = Standing(describe_trial(ledger, shown), datetime.now(UTC))


@dataclass(slots=True)
class Trials:
    """The trials that run, by workload."""

    ledger: Ledger
    _counts: dict[str, _Count] = field(default_factory=dict[str, _Count])

    async def look(self, trial: Trial, workload: Workload) -> Standing | None:
        """How the trial stands now, or stood when it was last counted to the end; None where it never was yet. `workload` is
        that of the release it is against."""
        count = self._counts.get(trial.workload)
        if count is None or count.trial.id != trial.id:
            count = self._counts[trial.workload] = _Count(trial, Tally(trial, workload), workload)
        if count.task is None or count.task.done():
            count.task = asyncio.create_task(asyncio.to_thread(count.go_on, self.ledger))
        done, _ = await asyncio.wait({count.task}, timeout=WAIT)
        for task in done:
            task.result()
        return count.standing


def blocks(standing: Standing) -> list[Block]:
    """Both arms, what is proven about the difference, and what a shadow's challenger says differently."""
    told = standing.document
    arms = [told["arms"][arm] for arm in ("live", "challenger")]
    facts = [
        Fact(f"Cases, {name}", f"{arm['cases']:,}", _cost(arm)) for name, arm in zip(("live", "challenger"), arms, strict=True)
    ]
    if agreement := told.get("agreement"):
        share = spell(agreement["alike"] / agreement["of"], "share") if agreement["of"] else DASH
        ends = f"{spell(agreement['share_at_least'], 'share')} to {spell(agreement['share_at_most'], 'share')}"
        facts.append(Fact("Decided alike", share, f"{agreement['alike']:,} of {agreement['of']:,}; {ends}"))
    rows = [_row(each) for each in told["measures"]]
    found: list[Block] = [Facts(facts), Table(("Of them", "Live", "Challenger", "Difference", "Margin"), rows, "lrrrl")]
    if counting := told["counting"]:
        found.append(Paragraph(f"{counting[:1].upper()}{counting[1:]}."))
    if told["decision"]:
        found.insert(0, Callout("neutral", f"By {told['metric']} the challenger is: {told['decision']}"))
    if differing := told.get("differing"):
        cells = [(each["text"][:200], _fields(each["live"]), _fields(each["challenger"])) for each in differing]
        found.append(
            Details(
                f"The first {len(cells)} cases that are decided differently",
                [Table(("Text", "Live", "Challenger"), cells, "lll")],
            )
        )
    return found


def _cost(arm: dict[str, Any]) -> str:
    cost = arm["cost_usd_per_case"]
    return "" if cost is None else f"{spell(cost, 'USD')} a case"


def _row(measure: dict[str, Any]) -> tuple[str, str, str, str, str]:
    arms = [measure[arm] for arm in ("live", "challenger")]
    live, challenger = (DASH if arm["share"] is None else f"{spell(arm['share'], 'share')} of {arm['of']:,}" for arm in arms)
    low, high, margin = 100 * measure["difference_at_least"], 100 * measure["difference_at_most"], measure.get("margin")
    between = f"{low:+.1f} to {high:+.1f} points" if all(arm["of"] for arm in arms) else DASH
    over = "" if margin is None else f"{'over' if measure['exceeded'] else 'not proven over'} {100 * margin:g} points"
    return measure["what"], live, challenger, between if low <= high else "it has moved", over


def _fields(answer: dict[str, Any] | None) -> str:
    if answer is None:
        return "a person decides"
    return ", ".join(f"{name}={DASH if value is None else str(value)[:80]}" for name, value in answer.items())
