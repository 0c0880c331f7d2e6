"""Turns a bake-off and what machines and people cost into the selection memo: blocks that become a page and Markdown alike.

It opens with the decision, for who has two minutes; every number's interval, test and source follow. It computes no decision.
"""

from __future__ import annotations

from rung.charts import Block
from rung.evaluation.candidates import Bakeoff
from rung.evaluation.choosing import choose
from rung.evaluation.memo.appendix import data, method, sources
from rung.evaluation.memo.comparing import comparing
from rung.evaluation.memo.contest import contest
from rung.evaluation.memo.decision import decision
from rung.evaluation.memo.spending import spending
from rung.workload import Costs

__all__ = ["memo_blocks", "memo_title"]


def memo_title(bakeoff: Bakeoff) -> str:
    """What the page is called."""
    return f"Selection memo: {bakeoff.workload}"


def memo_blocks(bakeoff: Bakeoff, costs: Costs, command: str) -> list[Block]:
    """The whole memo. `command` is what made it, such as `rung bakeoff workload.yaml`. Equal input gives equal blocks.

    Raises ValueError if no candidate was judged: then there is nothing to choose from.
    """
    if not bakeoff.candidates:
        raise ValueError("no candidate was judged, so there is nothing to choose from")
    choice = choose(bakeoff, costs)
    return [
        *decision(bakeoff, costs, choice),
        *contest(bakeoff, choice),
        *comparing(bakeoff, choice),
        *spending(bakeoff, costs, choice),
        *data(bakeoff, choice),
        *method(bakeoff, choice),
        *sources(command),
    ]
