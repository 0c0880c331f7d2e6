"""How often a trial of a harmless challenger goes wrong, where somebody looks after every case; a harmful one is halted.

`python tests/test_trial_errors.py 2000` makes the figures in docs/releases.md.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from records import NOON, accepted
from rung.core import Case
from rung.ledger import Arm, Judged, Ledger, Marks, Observed, Record, Seen, Trial
from rung.release.trial_measures import ALPHA
from rung.release.trial_tally import Tally
from rung.statistics.binomial import lower_bound
from rung.workload import Workload
from small_workload import write_workload

RUNS = 40
MARGINS = {"person": 0.05, "failed": 0.01, "slow": 0.01, "overturned": 0.05, "hallucinated": 0.05, "slices.intent": 0.05}
BASE = {"person": 0.05, "failed": 0.01, "slow": 0.01, "overturned": 0.05, "hallucinated": 0.05}
LIMIT = 0.002
CANARY = Trial("t1", "small", "canary", "r2", "r1", 0.2, "user", "", 0.1, MARGINS, NOON, "ada", "", dear=LIMIT)
AB = replace(CANARY, kind="ab", share=0.5, metric="feedback")
AT_MARGINS = {name: rate + MARGINS[name] for name, rate in BASE.items()}


class Drawn(Ledger):
    """A trial's observations as if they were in a ledger, with two records: of an answer that stands in its text, and of one
    that does not."""

    def __init__(self, observed: Sequence[Observed], judged: Sequence[Judged]) -> None:
        self.seen = Seen(observed, judged, [], Marks(1, 1, 1))
        self.records = {
            kind: Record("small", Case("my order AB1234"), accepted(answer={"intent": "refund", "order": order}), NOON)
            for kind, order in (("found", "AB1234"), ("nowhere", "AB9999"))
        }

    def read_trial(self, trial: str, after: Marks, until: Marks) -> Seen:
        return self.seen

    def find_all(self, decision_ids: Sequence[str]) -> dict[str, Record]:
        return {each: self.records[each.split()[0]] for each in decision_ids}


@cache
def small() -> Workload:
    return write_workload(Path(tempfile.mkdtemp()), 6)


def tried(
    trial: Trial, seed: int, challenger: dict[str, float], cost: float = LIMIT, spread: float = 0.0, hours: int = 20
) -> Tally:
    """A trial in which 100 of 400 users come in each hour, 50 of them twice; one in three answers is judged. Costs are spread
    like waiting times; `spread` says by how much users differ in what is left to a person."""
    draw = np.random.default_rng(seed)
    arms: list[Arm] = ["challenger" if drawn else "live" for drawn in draw.random(400) < trial.share]
    rates = {"live": BASE, "challenger": challenger}
    harder = draw.choice([1 - spread, 1 + spread], 400)
    observed: list[Observed] = []
    judged: list[Judged] = []
    for hour in range(hours):
        users = draw.permutation(400)[:100]
        come = np.concatenate([users, users[:50]])
        chance, costs = draw.random((len(come), 6)), draw.exponential(cost, len(come))
        for place, (user, (person, failed, slow, nowhere, wrong, seen)) in enumerate(zip(come, chance.tolist(), strict=True)):
            arm, number = arms[user], len(observed)
            rate, unit = rates[arm], format(user, "016x") if trial.unit else ""
            answered = person >= rate["person"] * harder[user]
            name = f"{'nowhere' if nowhere < rate['hallucinated'] else 'found'} {number}"
            late = 1.0 if slow < rate["slow"] else 0.01
            spent = float(costs[place]) if arm == "challenger" else LIMIT
            observed.append(Observed(number, arm, unit, answered, failed < rate["failed"], spent, late, hour, name))
            if answered and seen < 1 / 3:
                intent = ("refund", "login")[number % 2]
                judged.append(Judged(number, arm, unit, wrong < rate["overturned"], None, hour, name, {"intent": intent}))
    tally = Tally(trial, small())
    tally.read(Drawn(observed, judged), Marks(1, 1, 1))
    return tally


def decided(tally: Tally) -> bool:
    """Whether an A/B was decided, at whatever time somebody looked: an end of an interval that left out 0 stays."""
    decisive = next(each for each in tally.document()["measures"] if each["name"] == tally.trial.metric)
    return decisive["difference_at_least"] >= 0 or decisive["difference_at_most"] <= 0


def halted(trial: Trial, runs: int, **terms: Any) -> list[str]:
    """What halted the trials that were halted: an A/B may also end because the challenger is worse, as it is at its margins."""
    results = (tried(trial, seed, **terms).result() for seed in range(runs))
    return [result for result in results if result and result.startswith("halted: ")]


def holds(wrong: int, runs: int) -> bool:
    """Whether so many wrong ends are no proof, at 99.9 %, that their chance is above 5 %."""
    return lower_bound(wrong, runs, 0.999) <= ALPHA


@pytest.mark.parametrize("trial", [CANARY, replace(CANARY, unit=""), AB], ids=["by user", "by case", "ab"])
def test_a_challenger_exactly_at_all_its_margins_is_rarely_halted(trial: Trial) -> None:
    assert holds(len(halted(trial, RUNS, challenger=AT_MARGINS)), RUNS)


def test_an_ab_of_equals_is_rarely_decided_and_rarely_halted() -> None:
    tallies = [tried(AB, seed, BASE) for seed in range(RUNS)]
    assert holds(sum(map(decided, tallies)), RUNS)
    assert holds(sum(tally.result() is not None for tally in tallies), RUNS)


@pytest.mark.parametrize(
    ("worse", "says"),
    [
        ({"person": 0.3}, "halted: cases left to a person"),
        ({"failed": 0.2}, "halted: cases in which a model gave no answer"),
        ({"slow": 0.2}, "halted: cases slower than 100 ms"),
        ({"hallucinated": 0.5}, "halted: answers with a value found nowhere in the input"),
        ({"overturned": 0.6}, "halted: judged answers that were overturned"),
    ],
)
def test_each_kind_of_harm_halts_within_a_day(worse: dict[str, float], says: str) -> None:
    ends = halted(CANARY, 4, challenger={**BASE, **worse})
    assert len(ends) == 4 and all(end.startswith(says) for end in ends), ends


def test_a_mean_cost_over_the_limit_halts_within_a_day() -> None:
    ends = halted(CANARY, 4, challenger=BASE, cost=2 * LIMIT)
    assert len(ends) == 4 and all(end.startswith("halted: mean cost: ") for end in ends), ends


def main(runs: int) -> None:
    """Print the figures."""

    def say(what: str, ended: int, of: int) -> None:
        sys.stdout.write(f"{what}: {ended} of {of}\n")
        sys.stdout.flush()

    few, some = runs // 20, runs // 4
    for worse in ({"person": 0.2}, {"failed": 0.11}, {"hallucinated": 0.3}, {"overturned": 0.3}):
        say(f"{worse}, halted", len(halted(CANARY, few, challenger={**BASE, **worse})), few)
    for times in (1.2, 1.5, 2.0):
        say(f"{times} times the limit, halted", len(halted(CANARY, few, challenger=BASE, cost=times * LIMIT)), few)
    ends = [(decided(tally), tally.result() is not None) for tally in (tried(AB, seed, BASE) for seed in range(runs))]
    say("ab of equals by user, decided", sum(end[0] for end in ends), runs)
    say("ab of equals by user, ended", sum(end[1] for end in ends), runs)
    plain = replace(AB, unit="", margins={}, dear=None)
    say("ab of equals by case, decided", sum(decided(tried(plain, seed, BASE)) for seed in range(runs)), runs)
    say("canary of equals, users who differ, halted", len(halted(CANARY, some, challenger=BASE, spread=0.9)), some)
    say("ab at all margins and the limit, halted", len(halted(AB, some, challenger=AT_MARGINS)), some)
    say(
        "canary by case at all margins and the limit, halted",
        len(halted(replace(CANARY, unit=""), some, challenger=AT_MARGINS)),
        some,
    )
    say("canary by user at all margins and the limit, halted", len(halted(CANARY, runs, challenger=AT_MARGINS)), runs)


if __name__ == "__main__":
    main(int(sys.argv[1]))
