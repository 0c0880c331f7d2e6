"""A promise that is proven broken, and the same release at the boldest higher level that people's verdicts support."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from commands import Caller
from records import settle
from rung.cascade.promise import Judged
from rung.core import Answer, Attempt, Case, Decision, Outcome, Verdict
from rung.evaluation import GateError
from rung.ledger import Drawn, Record
from rung.models.encoder import Encoder
from rung.release.frozen import Release
from rung.release.pointer import current_release, ledger_of
from rung.statistics.binomial import lower_bound
from rung.testing import Reply
from rung.workflows import train
from rung.workflows.tightening import NotTightened, supported, thinned, tighten
from rung.workload import Promise, Workload, load
from served import declared, serving
from small_workload import INTENTS, messages, write_workload

PROMISE = Promise(0.05, 0.95)
LEVEL = 0.9
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)

Floats = NDArray[np.float64]


def sure(chance: np.random.Generator, count: int, level: float = LEVEL) -> Floats:
    """Confidences from this level on, evenly in log-odds."""
    return 1 / (1 + np.exp(-np.log(level / (1 - level)) - chance.uniform(0, 4, count)))


def far(confidence: Floats, level: float) -> Floats:
    """How far above a level they are, in log-odds."""
    return np.log(confidence / (1 - confidence)) - np.log(level / (1 - level))


def judged(confidence: Floats, wrong: NDArray[np.bool_]) -> Judged:
    return Judged(confidence[:, None], ~wrong[:, None])


def review(workload: Workload, confidence: Floats, wrong: NDArray[np.bool_], tier: str = "specialist") -> None:
    """What the live release answered with these confidences, each drawn for review, and settled in that order."""
    ledger = ledger_of(workload)
    release = current_release(workload, ledger).id
    seen = len(ledger.queue.reviewed(workload.name))
    lines = messages(len(wrong), seed=seen + 1)
    records: list[Record] = []
    for at, line in enumerate(lines):
        fields = {**line["expected"], "reply": f"About your {line['expected']['intent']}."}
        if wrong[at]:
            fields["intent"] = next(name for name in INTENTS if name != fields["intent"])
        attempt = Attempt(tier, Answer(fields), (), float(confidence[at]), 0.001, 0.0, True)
        decision = Decision(
            f"d{seen + at:06}", Outcome.ACCEPTED, fields, attempt.confidence, tier, release, 0.0, 0.001, (attempt,)
        )
        case = Case(line["input"], id=decision.id)
        records.append(Record(workload.name, case, decision, NOW, drawn=workload.review.sample))

    async def write() -> None:
        await asyncio.gather(*map(ledger.record, records))
        await ledger.close()

    asyncio.run(write())
    ledger = ledger_of(workload)
    for at, (record, line) in enumerate(zip(records, lines, strict=True)):
        answer = record.decision.answer if not wrong[at] else {**line["expected"], "reply": "About it."}
        settle(ledger, Verdict(record.decision.id, answer or {}, "ann"), NOW + timedelta(seconds=seen + at))
    asyncio.run(ledger.close())


def break_promise(workload: Workload, level: float, count: int = 150, seed: int = 1) -> None:
    """Reviews of which most near the level are wrong, and hardly any other."""
    chance = np.random.default_rng(seed)
    confidence = sure(chance, count, level)
    review(workload, confidence, chance.random(count) < np.where(far(confidence, level) < 1, 0.9, 0.005))


def level_of(release: Release) -> float:
    return json.loads((release.folder / "cascade.json").read_text(encoding="utf-8"))["level"]


def files(release: Release) -> dict[str, bytes]:
    paths = (path for path in release.folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(release.folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(monkeypatch, capsys)


@pytest.fixture
def live(small: tuple[Workload, Release], tmp_path: Path) -> tuple[Workload, Release]:
    """The small workload, in a folder of its own, and the release that answers there."""
    shutil.copytree(small[0].folder, tmp_path / "copy")
    workload = load(tmp_path / "copy")
    return workload, current_release(workload, ledger_of(workload))


def test_a_broken_promise_raises_the_level_to_what_verdicts_support_and_changes_nothing_else(
    live: tuple[Workload, Release], call: Caller, minilm: Encoder
) -> None:
    workload, before = live
    break_promise(workload, level_of(before))
    document = call("release", "tighten", workload.folder, "--why", "the promise is broken", "--json").document
    ledger = ledger_of(workload)
    after = current_release(workload, ledger)
    last = ledger.promotions("small")[-1]
    assert (after.id, last.release, last.why, last.back) == (document["release"], after.id, "the promise is broken", False)
    assert 0.6 < far(np.array(level_of(after)), level_of(before)) < 2
    same, now = files(before), files(after)
    made = {"manifest.json", "cascade.json", "evidence.json", "lineage.json", "report.txt", "README.md"}
    assert {name for name in same.keys() | now.keys() if same.get(name) != now.get(name)} == made
    assert after.inputs == before.inputs
    threshold = after.evidence["threshold"]
    assert threshold["source"] == "reviewed live answers" and threshold["level"] == level_of(after)
    assert threshold["cases"] == 150 and threshold["answered"] > 90 and threshold["bound"] <= 0.1
    assert after.gated and after.evidence["cases"] == before.evidence["cases"]
    assert after.evidence["tightened"]["from"] == before.id
    assert json.loads(now["lineage.json"])["tightened"] == before.id
    assert "Kept on 150 reviewed live answers" in after.report and document["sentence"] in after.report
    told = call("release", "diff", workload.folder, before.id[:12], "current").out
    assert "acceptance level" in told and "+" not in told


def test_training_and_rolling_back_find_the_tightened_release_and_the_one_before(
    live: tuple[Workload, Release], call: Caller, minilm: Encoder
) -> None:
    workload, before = live
    break_promise(workload, level_of(before))
    done = tighten(workload, "ada")
    assert train(workload, encoder=minilm).id == done.release.id
    ledger = ledger_of(workload)
    assert [one.by for one in ledger.promotions("small")][1:] == ["ada"]
    assert ledger.promotions("small")[-1].why == done.sentence
    assert call("rollback", workload.folder, "--why", "too little").out == f"small: release {before.id[:12]} answers again\n"
    assert train(workload, encoder=minilm).id == done.release.id
    assert ledger.current_release("small") == before.id


def test_a_promise_that_is_not_broken_is_left_alone_and_the_sentence_says_how_it_stands(
    live: tuple[Workload, Release], call: Caller
) -> None:
    workload, before = live
    review(workload, sure(np.random.default_rng(0), 40, level_of(before)), np.zeros(40, bool))
    ended = call("release", "tighten", workload.folder)
    assert ended.status == 1
    assert f"the promise of release {before.id[:12]} is not broken" in ended.err and "0 of 40 reviewed answers" in ended.err
    assert ledger_of(workload).current_release("small") == before.id


def test_where_no_level_is_supported_it_says_so_with_numbers_and_changes_nothing(
    live: tuple[Workload, Release], call: Caller
) -> None:
    workload, before = live
    chance = np.random.default_rng(3)
    review(workload, sure(chance, 120, level_of(before)), chance.random(120) < 0.4)
    ended = call("release", "tighten", workload.folder, "--json")
    assert ended.status == 1 and ended.out == ""
    assert "no higher level is supported. Of " in ended.err and "10% is promised" in ended.err
    assert "Next: rung rollback" in ended.err
    assert ledger_of(workload).current_release("small") == before.id
    assert len(list((workload.state / "releases").glob("[!.]*"))) == 1


def test_what_was_good_before_the_break_counts_no_more(live: tuple[Workload, Release]) -> None:
    workload, before = live
    level = level_of(before)
    good = sure(np.random.default_rng(4), 300, level)
    review(workload, good, np.zeros(300, bool))
    break_promise(workload, level, count=200)
    done = tighten(workload, "ada")
    assert done.threshold.cases < 260
    assert far(np.array(done.threshold.level), level) > 0.6


def test_a_limit_of_the_gate_refuses_a_level_that_leaves_too_much_to_people(tmp_path: Path, minilm: Encoder) -> None:
    workload = write_workload(tmp_path, limits={"escalated": 0.5})
    before = train(workload, encoder=minilm)
    break_promise(workload, 0.9999)  # far surer than the model ever is
    with pytest.raises(
        GateError, match=r"what people settled supports a level of 0\.9999(.|\n)*over limits\.escalated of 50\.00%"
    ):
        tighten(workload, "ada")
    assert ledger_of(workload).current_release("small") == before.id


def test_answering_less_is_no_forbidden_drop_and_is_measured(tmp_path: Path, minilm: Encoder) -> None:
    workload = write_workload(tmp_path, limits={"dropped": 0.01})
    train(workload, encoder=minilm)
    break_promise(workload, 0.9999)
    evidence = tighten(workload, "ada").release.evidence
    assert evidence["tightened"]["drop"]["lost"] > 0 == evidence["tightened"]["drop"]["gained"]
    assert evidence["gate"] == {"passed": True, "drop": None}


def test_an_answer_below_the_new_level_goes_on_to_the_next_tier_which_is_asked_about_it(tmp_path: Path, minilm: Encoder) -> None:
    known = {line["input"]: line["expected"] for line in [*messages(240), *messages(150, seed=1)]}

    def knowing(body: Any) -> Reply:
        content = json.dumps(known[body["messages"][-1]["content"]])
        return Reply(content, tokens=[(character, -0.01) for character in content])

    with serving(knowing) as server:
        workload = write_workload(
            tmp_path, messages(240), declared(server), tiers=["specialist", {"endpoint": "slm", "model": "phi"}]
        )
        before = level_of(train(workload, encoder=minilm))
        chance = np.random.default_rng(5)
        confidence = sure(chance, 150, before)
        review(workload, confidence, chance.random(150) < np.where(far(confidence, before) < 1, 0.9, 0.005))
        server.bodies.clear()
        threshold = tighten(workload, "ada").threshold
    texts = {body["messages"][-1]["content"] for body in server.bodies}
    assert texts >= {line["input"] for line in messages(150, seed=1)[-threshold.cases :]}
    assert threshold.level > before
    assert threshold.answered > (confidence[-threshold.cases :] >= threshold.level).sum() + 5
    assert threshold.wrong < threshold.answered * 0.1


def test_the_level_breaks_the_promise_no_oftener_than_its_confidence_says() -> None:
    chance, broken, found = np.random.default_rng(6), 0, 0
    population = sure(chance, 100_000)
    error = 0.3 / (1 + np.exp(2 * (far(population, LEVEL) - 1.2)))
    for _ in range(300):
        drawn = chance.integers(0, len(population), 400)
        try:
            level = supported(judged(population[drawn], chance.random(400) < error[drawn]), LEVEL, PROMISE, 400).level
        except NotTightened:
            continue
        found += 1
        broken += bool(error[population >= level].mean() > PROMISE.error)
    assert found > 100
    assert lower_bound(broken, 300, 0.999) <= 0.05


def test_as_many_further_reviews_as_it_says_are_enough_if_they_are_like_those_so_far() -> None:
    confidence = np.sort(sure(np.random.default_rng(7), 100))
    wrong = np.arange(100) < 12
    wrong[97] = True
    with pytest.raises(NotTightened, match=r"About [0-9]+ further reviews") as refused:
        supported(judged(confidence, wrong), LEVEL, PROMISE, 100)
    further = int(str(refused.value).split("About ")[1].split(" ")[0])
    times = 1 + -(-further // 100)
    assert times < 20
    assert supported(judged(np.tile(confidence, times), np.tile(wrong, times)), LEVEL, PROMISE, 100 * times).answered


def test_too_few_reviews_are_named_and_a_level_that_is_supported_is_not_raised() -> None:
    with pytest.raises(NotTightened, match=r"20 answers .* too few .* 59 would be needed if none was wrong, so at least 39"):
        supported(judged(sure(np.random.default_rng(8), 20), np.ones(20, bool)), LEVEL, PROMISE, 20)
    with pytest.raises(NotTightened, match="the present level is supported"):
        supported(judged(sure(np.random.default_rng(8), 400), np.zeros(400, bool)), LEVEL, PROMISE, 400)


def test_of_answers_drawn_because_they_were_unsure_as_many_count_as_a_plain_draw_would_have_brought() -> None:
    chance = np.random.default_rng(9)
    confidence = sure(chance, 40_000)
    shares = 0.05 + 0.5 * (1 - confidence) / (1 - LEVEL)
    drawn = np.flatnonzero(chance.random(40_000) < shares)
    reviewed = [Drawn(int(at), "r", "specialist", float(shares[at]), float(confidence[at]), NOW, False, True) for at in drawn]
    plain = thinned(reviewed, 0.05)
    assert abs(len(plain) - 2000) < 5 * 2000**0.5
    assert np.mean([one.confidence for one in plain]) == pytest.approx(confidence.mean(), abs=0.003)
    assert np.mean([one.confidence for one in reviewed]) < confidence.mean() - 0.01
    assert thinned(plain, 0.05) == plain
