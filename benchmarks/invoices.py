"""`examples/invoices`: how often each field is right on documents that the tagger has not seen.

The shares come from the training part, rehearsed in three folds; the bound and the report of `rung train` from the other parts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from stage import ROOT, arguments, interval

from rung.core import Answer, same
from rung.gold import Example
from rung.models.encoder import open_encoder
from rung.workflows.judging import open_study
from rung.workflows.progress import silent
from rung.workflows.specialists import train_specialists
from rung.workload import load


def main() -> None:
    arguments(__doc__ or "").parse_args()
    workload = load(ROOT / "examples" / "invoices")
    examples = open_study(workload, silent).training
    began = time.perf_counter()
    (trained,) = train_specialists(workload, examples, open_encoder()).values()
    print(f"examples/invoices: learnt from {len(examples)} documents in {(time.perf_counter() - began) / 60:.1f} minutes")
    for sender in ("recurring", "single"):
        some = {at: answer for at, answer in trained.rehearsal.items() if examples[at].case.context["sender"] == sender}
        show(sender, some, examples, workload.asked)


def show(sender: str, rehearsal: Mapping[int, Answer], examples: Sequence[Example], names: Sequence[str]) -> None:
    wrong = [{n for n in names if not same(one.fields[n], examples[at].expected[n])} for at, one in rehearsal.items()]
    print(f"{sender}, {len(wrong)} documents")
    for name in names:
        print(f"  {name:<14}{interval(sum(name not in each for each in wrong), len(wrong))}")
    print(f"  {'but the lines':<14}{interval(sum(each <= {'lines'} for each in wrong), len(wrong))}")
    print(f"  {'all':<14}{interval(sum(not each for each in wrong), len(wrong))}", flush=True)


if __name__ == "__main__":
    main()
