"""Turns a workload into all its bake-off's candidates, each with its figures on the same frozen test cases.

What was found out is kept by content under `.rung/cache`, candidate by candidate, and so are endpoints' answers: what was
stopped goes on, and what was done costs nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec

from rung.evaluation.candidates import Bakeoff, Candidate, GoldFacts
from rung.gold import GoldError, near_groups, read_gold
from rung.models.encoder import Encoder, open_encoder
from rung.training.suspects import why_not
from rung.workflows.budget import BudgetSpent, Purse
from rung.workflows.entrants import line_up
from rung.workflows.inspection import suspect
from rung.workflows.judging import Study, open_study
from rung.workflows.keeping import file_of, keep, kept_under, recall
from rung.workflows.progress import Progress, silent
from rung.workflows.rehearsal import EndpointSilent
from rung.workflows.tryouts import Tryouts
from rung.workflows.weighing import WeighingError
from rung.workload import Workload


def bake(workload: Workload, progress: Progress = silent, encoder: Encoder | None = None) -> Bakeoff:
    """Every candidate's figures; those that the budget does not suffice for, whose endpoint is silent or that cannot be put
    under load are `unfinished`.

    What is spent counts all runs on this gold. Raises before anything is trained: `GoldError`, also where no case is left to test
    on; `RecipeError` for a recipe that cannot be followed; `WorkloadError` for a key that is not set.
    """
    encoder = encoder or open_encoder()
    gold = read_gold(workload)
    folder = workload.state / "cache" / "bakeoff"
    under = kept_under(workload, gold, encoder)
    entrants = line_up(workload)
    files = {entrant.name: file_of(entrant, folder, under) for entrant in entrants}
    known = {name: recall(file, Candidate) for name, file in files.items()}
    missing = [entrant for entrant in entrants if known[entrant.name] is None]
    facts_file = folder / f"gold-{under}-{'sought' if find_spec('cleanlab') else 'unsought'}.json"
    facts = recall(facts_file, GoldFacts)
    purse = Purse(workload.bakeoff.budget, folder / f"spent-{gold.digest[:24]}.txt")
    unfinished: dict[str, str] = {}
    if missing or facts is None:
        study = open_study(workload, progress)
        if not study.held_out:
            raise GoldError(workload.gold, [(0, "leaves no case to test on: pin fewer lines to train, or add some")])
        tryouts = Tryouts(workload, study, encoder, purse, progress)
        tryouts.require(missing)
        for place, entrant in enumerate(missing, 1):
            try:
                keep(files[entrant.name], tryouts.run(entrant))
                known[entrant.name] = recall(files[entrant.name], Candidate)  # as every later run will see it
            except (BudgetSpent, EndpointSilent, WeighingError) as error:
                unfinished[entrant.name] = str(error)
            tryouts.forget(missing[place:])
        if facts is None:
            facts = describe_gold(workload, study, encoder, progress)
            keep(facts_file, facts)
    found = ((entrant, known[entrant.name]) for entrant in entrants)
    candidates = [replace(one, name=entrant.name, line=entrant.line) for entrant, one in found if one]
    about = workload.name, workload.promise, workload.limits, workload.volume
    return Bakeoff(*about, facts, candidates, purse.spent, unfinished)


def describe_gold(workload: Workload, study: Study, encoder: Encoder, progress: Progress) -> GoldFacts:
    """What there is to know about the gold behind a bake-off; likely label errors are looked for where cleanlab is there."""
    examples = study.gold.examples
    labels = {field.name: Counter(dict.fromkeys(map(_text, field.labels), 0)) for field in workload.fields if field.labels}
    for name, counts in labels.items():
        counts.update(_text(one.expected[name]) for one in examples)
    suspects: int | None = None
    if why_not(examples, workload.fields) is None:
        groups = near_groups([one.case.text for one in examples])
        suspects = len({one.line for one in suspect(workload, examples, groups, encoder, progress)})
    return GoldFacts(
        digest=study.gold.digest,
        train=len(study.training),
        calibration=len(study.calibrating),
        test=len(study.held_out),
        pinned=any(one.pinned == "test" for one in examples),
        leaked=len(study.parts.leaked),
        suspects=suspects,
        labels={name: dict(counts.most_common()) for name, counts in labels.items()},
    )


def _text(label: object) -> str:
    return label if isinstance(label, str) else json.dumps(label)
