"""The bake-off: who takes part, on what terms, what it may cost, and what a second run costs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rung.core import Answer, Case, Problem
from rung.evaluation.candidates import Bakeoff, Candidate
from rung.gold import GoldError, near_duplicates, read_gold
from rung.models.encoder import Encoder
from rung.models.endpoint import EndpointError
from rung.testing import FakeEndpoint, FakeModel, Reply
from rung.workflows.bakeoff import bake, describe_gold
from rung.workflows.budget import LARGEST, BudgetSpent, Meter, Purse
from rung.workflows.entrants import line_up
from rung.workflows.judging import open_study
from rung.workflows.progress import silent
from rung.workflows.rehearsal import Remembered
from rung.workflows.showing import shown, unshown
from rung.workflows.teaching import consult
from rung.workload import EndpointTier, Price, Workload
from served import declared, serving
from small_workload import CONTENT, INTENTS, messages, with_mixed, write_workload

LINES = with_mixed(240, 30)
HEADS, SLM = "specialist", {"endpoint": "slm", "model": "phi"}
OFTEN = "100000000/month"  # arrivals so dense that a test need not wait for them


def text_of(body: Mapping[str, Any]) -> str:
    return str(body["messages"][-1]["content"]).split("\n\n---\n")[0]


def knowing(lines: Sequence[Mapping[str, Any]], **reply: Any) -> Callable[[dict[str, Any]], Reply]:
    answers = {line["input"]: line["expected"] for line in lines}
    return lambda body: Reply(answers[text_of(body)], **reply)


def nowhere(**changes: Any) -> dict[str, Any]:
    """An `endpoints.yaml` whose server is never asked."""
    endpoint = {"url": "http://localhost/v1", "size": "core", "weights": "open", "boundary": "inside"}
    return {"slm": {**endpoint, "price": {"input": 0, "output": 0}, **changes}}


class Watching:
    """Progress that notes the stages, and is interrupted when one begins."""

    def __init__(self, stop_at: str = "") -> None:
        self.stages: list[str] = []
        self._stop_at = stop_at

    @contextmanager
    def __call__(self, stage: str, total: int | None = None, /) -> Iterator[Callable[[int], None]]:
        if stage == self._stop_at:
            raise KeyboardInterrupt
        self.stages.append(stage)
        yield lambda steps: None


def named(found: Bakeoff, name: str) -> Candidate:
    return next(one for one in found.candidates if one.name == name)


@pytest.fixture(scope="module")
def small_bakeoff(tmp_path_factory: pytest.TempPathFactory, minilm: Encoder) -> Iterator[tuple[Workload, FakeEndpoint, Bakeoff]]:
    """A specialist, an endpoint, the cascade of both, the endpoint with examples, and the baseline: baked once, to be read."""
    with serving(knowing(LINES)) as server:
        contest = {"candidates": [HEADS, {**SLM, "examples": 5}], "budget": 0.2}
        folder = tmp_path_factory.mktemp("bakeoff")
        endpoints = declared(server, size="upper")
        workload = write_workload(folder, LINES, endpoints, tiers=[HEADS, SLM], bakeoff=contest, volume=OFTEN)
        yield workload, server, bake(workload, encoder=minilm)


def test_the_files_tiers_together_and_alone_its_candidates_and_the_baseline_take_part_each_once(tmp_path: Path) -> None:
    teacher = {"endpoint": "slm", "model": "phi"}
    (tmp_path / "more.jsonl").write_text('{"input": "more"}\n', encoding="utf-8")
    candidates = [
        {"specialist": "heads"},  # what `specialist` stands for
        {"specialist": "heads", "precision": "int4"},
        {"specialist": "distil", "layers": 2, "unlabelled": "more.jsonl", "teacher": teacher},
        {**SLM, "examples": 5, "timeout": "3s"},
        SLM,
        [HEADS, SLM],
    ]
    workload = write_workload(tmp_path, 6, nowhere(), tiers=[HEADS, SLM], bakeoff={"candidates": candidates})
    assert [(one.kind, one.name, one.line) for one in line_up(workload)] == [
        ("cascade", "heads + slm/phi", "[{specialist: heads}, {endpoint: slm, model: phi}]"),
        ("specialist", "heads", "{specialist: heads}"),
        ("endpoint", "slm/phi", "{endpoint: slm, model: phi}"),
        ("specialist", "heads int4", "{specialist: heads, precision: int4}"),
        (
            "specialist",
            "distil 2 layers taught by slm/phi",
            "{specialist: distil, layers: 2, unlabelled: more.jsonl, teacher: {endpoint: slm, model: phi}}",
        ),
        ("endpoint", "slm/phi (5 examples)", "{endpoint: slm, model: phi, timeout: 3s, examples: 5}"),
        ("baseline", "TF-IDF", "TF-IDF + logistic regression, always compared"),
    ]


def test_every_candidate_is_judged_on_the_same_cases_at_its_own_level(
    small_bakeoff: tuple[Workload, FakeEndpoint, Bakeoff],
) -> None:
    workload, _, found = small_bakeoff
    held_out = open_study(workload, silent).held_out
    assert [one.name for one in found.candidates] == [one.name for one in line_up(workload)]
    for one in found.candidates:
        assert len(one.right) == len(one.answered) == len(held_out) == one.metrics.cases == found.gold.test
        assert (sum(one.right), sum(one.answered)) == (one.metrics.whole.count, one.metrics.answered.count)
        assert one.threshold is not None and one.refused == ""
        assert 0 < one.p50 <= one.p99 and one.rate > 300
    cascade, heads, slm, few, baseline = found.candidates
    assert all(slm.right) and slm.large and few.large and not cascade.large
    assert cascade.metrics.answered.count > heads.metrics.answered.count
    assert 0 < cascade.cost < slm.cost and heads.cost == baseline.cost == 0
    assert slm.busy == slm.size == slm.training == 0 < min(heads.busy, heads.training)
    assert heads.size > baseline.size > 0 and cascade.size == heads.size
    assert found.gold.labels["intent"].keys() == INTENTS.keys() and not found.unfinished


def test_a_second_run_asks_nobody_trains_nothing_and_finds_the_very_same(
    small_bakeoff: tuple[Workload, FakeEndpoint, Bakeoff], minilm: Encoder
) -> None:
    workload, server, found = small_bakeoff
    asked, watching = len(server.bodies), Watching()
    assert bake(workload, watching, minilm) == found
    assert (len(server.bodies), watching.stages) == (asked, [])
    costs = 120e-6  # 100 tokens at one dollar a million, 10 at two
    assert found.spent == pytest.approx(asked * costs)


def test_few_shot_examples_are_training_cases_of_every_label_and_judge_nothing(
    small_bakeoff: tuple[Workload, FakeEndpoint, Bakeoff],
) -> None:
    workload, server, _ = small_bakeoff
    turns = next(body["messages"] for body in server.bodies if len(body["messages"]) > 2)[1:-1]
    texts, answers = [turn["content"] for turn in turns[::2]], [json.loads(turn["content"]) for turn in turns[1::2]]
    assert len(texts) == 5 and {answer["intent"] for answer in answers} == INTENTS.keys()
    study = open_study(workload, silent)
    assert set(texts) <= {example.case.text for example in study.training}
    asked = {text_of(body) for body in server.bodies if len(body["messages"]) > 2}
    assert len(asked) > 100 and not any(near_duplicates([text, other]) for text in texts for other in asked)


def test_what_must_not_leave_is_masked_in_examples_alike_in_text_and_answer(tmp_path: Path) -> None:
    lines = [{**line, "input": f"{line['input']} write to me{at}@example.com"} for at, line in enumerate(messages(30))]
    lines = [{**line, "expected": {**line["expected"], "mail": f"me{at}@example.com"}} for at, line in enumerate(lines)]
    properties = {**CONTENT["answer"]["properties"], "mail": {"type": "string", "format": "email"}}
    workload = write_workload(
        tmp_path,
        lines,
        nowhere(boundary="outside"),
        tiers=[{**SLM, "examples": 4}],
        answer={"type": "object", "properties": properties, "required": list(properties)},
        boundary={"may_leave": "redacted", "redact": ["email"]},
    )
    (tier,) = workload.tiers
    assert isinstance(tier, EndpointTier)
    training = list(read_gold(workload).examples)
    found = shown(training, workload, tier)
    assert len(found) == 4 and all("[EMAIL_1]" in text and fields["mail"] == "[EMAIL_1]" for text, fields in found)
    assert "@" not in json.dumps(found)
    assert found == shown(training[::-1], workload, tier), "whatever order the gold is in"
    assert len(unshown(training, workload)) <= len(training) - 4
    inside = replace(tier, endpoint=replace(tier.endpoint, boundary="inside"))
    assert all("@example.com" in text for text, _ in shown(training, workload, inside))


def test_an_interrupted_bakeoff_goes_on_with_the_candidate_it_was_at(tmp_path: Path, minilm: Encoder) -> None:
    with serving(knowing(LINES)) as server:
        workload = write_workload(tmp_path, LINES, declared(server), tiers=[SLM], volume=OFTEN)
        with pytest.raises(KeyboardInterrupt):
            bake(workload, Watching("slm/phi: evaluating"), minilm)
        asked = len(server.bodies)
        with pytest.raises(KeyboardInterrupt):
            bake(workload, Watching("TF-IDF: training"), minilm)
        assert len(server.bodies) == asked, "every answer was kept"
        watching = Watching()
        found = bake(workload, watching, minilm)
    assert [one.name for one in found.candidates] == ["slm/phi", "TF-IDF"]
    assert not any(stage.startswith("slm/phi") for stage in watching.stages)


def test_what_the_budget_does_not_suffice_for_is_not_begun_and_the_others_go_on(tmp_path: Path, minilm: Encoder) -> None:
    with serving(knowing(LINES)) as server:

        def write(budget: float) -> Workload:
            return write_workload(tmp_path, LINES, declared(server), tiers=[SLM], bakeoff={"budget": budget}, volume=OFTEN)

        poor = bake(write(0.001), encoder=minilm)
        assert [one.name for one in poor.candidates] == ["TF-IDF"]
        assert (len(server.bodies), poor.spent) == (0, 0.0)
        said = poor.unfinished["slm/phi"]
        assert "more cases would cost about $0.0" in said and "$0.0010 of bakeoff.budget" in said
        watching = Watching()
        rich = bake(write(1.0), watching, minilm)
    assert [one.name for one in rich.candidates] == ["slm/phi", "TF-IDF"] and not rich.unfinished
    assert named(rich, "TF-IDF") == named(poor, "TF-IDF")
    assert not any(stage.startswith("TF-IDF") for stage in watching.stages)


def test_a_model_that_costs_more_than_its_price_lets_expect_is_stopped_before_the_budget_is_exceeded(
    tmp_path: Path, minilm: Encoder
) -> None:
    price = 2_000e-6  # US dollars: a thousand tokens of thought at two a million
    with serving(knowing(LINES, usage=(0, 1_000), delay=0.01)) as server:
        contest, endpoints = {"budget": 20.5 * price}, declared(server, price={"input": 0.0, "output": 2.0})
        workload = write_workload(tmp_path, LINES, endpoints, tiers=[SLM], bakeoff=contest, volume=OFTEN)
        found = bake(workload, encoder=minilm)
        calls = 17  # the next one could cost LARGEST tokens, 0.0082 dollars
        assert len(server.bodies) == calls and found.spent == pytest.approx(calls * price)
        assert "TF-IDF" in {one.name for one in found.candidates} and list(found.unfinished) == ["slm/phi"]
        assert bake(workload, encoder=minilm) == found
        assert len(server.bodies) == calls, "what could not be finished is not tried again"


def test_answers_that_are_short_at_first_and_as_long_as_allowed_later_stay_within_the_budget(
    tmp_path: Path, minilm: Encoder
) -> None:
    answers, asked = {line["input"]: line["expected"] for line in LINES}, iter(range(10_000))

    def script(body: dict[str, Any]) -> Reply:
        thought = 10 if next(asked) < 20 else body.get("max_tokens", 20_000)
        return Reply(answers[text_of(body)], usage=(300, thought), delay=0.01)

    with serving(script) as server:
        workload = write_workload(tmp_path, LINES, declared(server), tiers=[SLM], bakeoff={"budget": 0.2}, volume=OFTEN)
        found = bake(workload, encoder=minilm)
        assert len(server.bodies) > 30 and 0.15 < found.spent <= 0.2 and list(found.unfinished) == ["slm/phi"]


def test_a_server_that_knows_the_limit_by_its_newer_name_is_told_it_by_that(tmp_path: Path, minilm: Encoder) -> None:
    error = {"message": "'max_tokens' is not supported, use 'max_completion_tokens'", "param": "max_tokens"}
    refusal, answer = Reply(status=400, body=json.dumps({"error": error}).encode()), knowing(LINES)
    with serving(lambda body: refusal if "max_tokens" in body else answer(body)) as server:
        workload = write_workload(tmp_path, LINES, declared(server), tiers=[SLM], volume=OFTEN)
        assert not bake(workload, encoder=minilm).unfinished
        assert all(("max_tokens" in body) or body["max_completion_tokens"] == LARGEST for body in server.bodies)


def test_another_price_costs_no_further_call_and_changes_what_a_case_costs(tmp_path: Path, minilm: Encoder) -> None:
    with serving(knowing(LINES)) as server:

        def write(price: dict[str, float]) -> Workload:
            return write_workload(tmp_path, LINES, declared(server, price=price), tiers=[SLM], volume=OFTEN)

        cheap = named(bake(write({"input": 1.0, "output": 2.0}), encoder=minilm), "slm/phi")
        asked = len(server.bodies)
        dear = named(bake(write({"input": 1.0, "output": 30.0}), encoder=minilm), "slm/phi")
    assert len(server.bodies) == asked
    assert (cheap.cost, dear.cost) == (pytest.approx(120e-6), pytest.approx(400e-6))


def test_a_server_of_ones_own_is_busy_for_its_share_of_the_time_that_many_cases_take(tmp_path: Path, minilm: Encoder) -> None:
    def one_after_the_other(body: dict[str, Any]) -> Reply:
        time.sleep(0.004)  # the loop that serves all callers
        return knowing(LINES)(body)

    with serving(one_after_the_other) as server:
        free = declared(server, price={"input": 0, "output": 0})
        slm = named(bake(write_workload(tmp_path, LINES, free, tiers=[SLM], volume=OFTEN), encoder=minilm), "slm/phi")
    assert 0.004 <= slm.busy < slm.p50 / 4, "a case waits for many others, and works alone"


def test_gold_without_a_test_case_is_refused_before_anything_is_trained(tmp_path: Path, minilm: Encoder) -> None:
    lines = [{**line, "split": "train"} if at < 148 else line for at, line in enumerate(messages(150))]
    watching = Watching()
    with pytest.raises(GoldError, match="no case to test on"):
        bake(write_workload(tmp_path, lines), watching, minilm)
    assert not any("training" in stage for stage in watching.stages)


def test_a_specialist_that_cannot_be_put_under_load_leaves_its_candidate_unfinished(tmp_path: Path, minilm: Encoder) -> None:
    workload = write_workload(tmp_path, LINES, volume=OFTEN)

    class Sabotage(Watching):
        @contextmanager
        def __call__(self, stage: str, total: int | None = None, /) -> Iterator[Callable[[int], None]]:
            moved = workload.file.rename(tmp_path / "moved") if stage == "heads: loading with arrivals" else None
            try:
                yield lambda steps: None
            finally:
                if moved:
                    moved.rename(workload.file)

    found = bake(workload, Sabotage(), minilm)
    assert "could not be put under load" in found.unfinished["heads"]
    assert [one.name for one in found.candidates] == ["TF-IDF"]


def test_what_a_server_says_stays_out_of_why_its_candidate_is_unfinished(tmp_path: Path, minilm: Encoder) -> None:
    with serving(lambda _: Reply(status=401, body=b"bad key")) as server:
        workload = write_workload(tmp_path, 120, declared(server), tiers=[SLM], volume=OFTEN)
        found = bake(workload, encoder=minilm)
    said = found.unfinished["slm/phi"]
    assert "endpoint_refused (HTTP 401)" in said and "bad key" not in said and "run the command again" in said
    assert [one.name for one in found.candidates] == ["TF-IDF"]


def test_what_cannot_keep_the_promise_or_a_limit_is_refused_with_the_reason_and_has_its_figures(
    tmp_path: Path, minilm: Encoder
) -> None:
    wrong = knowing([{**line, "expected": {"intent": "login", "order": None}} for line in LINES])
    with serving(wrong) as server:
        limits = {"p99": "0.001ms"}
        workload = write_workload(tmp_path, LINES, declared(server), tiers=[SLM], limits=limits, volume=OFTEN)
        slm, baseline = bake(workload, encoder=minilm).candidates
    assert slm.threshold is None and "calibration cannot support the promise" in slm.refused
    assert not any(slm.answered) and 0 < sum(slm.right) < len(slm.right) and slm.metrics.answered.count == 0
    assert baseline.threshold is not None and "over limits.p99" in baseline.refused
    assert any(baseline.answered)


def test_the_command_line_prints_a_table_json_and_the_memo(
    small_bakeoff: tuple[Workload, FakeEndpoint, Bakeoff], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rung.cli.baking import show_bakeoff

    workload, _, found = small_bakeoff
    show_bakeoff(workload, [tmp_path / "memo.md", tmp_path / "memo.html"], False)
    said = capsys.readouterr().out
    assert all(one.name in said for one in found.candidates) and "bakeoff.budget" in said
    assert (tmp_path / "memo.md").read_text(encoding="utf-8").startswith("# Selection memo: small")
    assert "<html" in (tmp_path / "memo.html").read_text(encoding="utf-8")
    show_bakeoff(workload, [], True)
    first = capsys.readouterr().out
    show_bakeoff(workload, [], True)
    assert capsys.readouterr().out == first
    document = json.loads(first)
    assert [one["name"] for one in document["candidates"]] == [one.name for one in found.candidates]
    assert document["spent"] == found.spent


def test_a_label_without_any_gold_is_counted_and_pinned_test_lines_are_told(tmp_path: Path, minilm: Encoder) -> None:
    lines = [{**line, "split": "test"} if at % 4 == 0 else line for at, line in enumerate(messages(60))]
    named = {"intent": {"enum": [*INTENTS, "sabotage"]}, "order": CONTENT["answer"]["properties"]["order"]}
    answer = {"type": "object", "properties": named, "required": list(named)}
    workload = write_workload(tmp_path, lines, answer=answer)
    facts = describe_gold(workload, open_study(workload, silent), minilm, silent)
    assert facts.labels == {"intent": {"refund": 20, "login": 20, "weather": 20, "sabotage": 0}} and facts.pinned
    unpinned = write_workload(tmp_path, messages(60), answer=answer)
    assert not describe_gold(unpinned, open_study(unpinned, silent), minilm, silent).pinned


@pytest.fixture
def tier(tmp_path: Path) -> tuple[Workload, EndpointTier]:
    dollar_a_second = nowhere(price={"input": 0, "output": 0, "hour": 3_600})
    workload = write_workload(tmp_path, 6, dollar_a_second, tiers=[{**SLM, "timeout": "2s"}])
    (tier,) = workload.tiers
    assert isinstance(tier, EndpointTier)
    return workload, tier


def test_calls_under_way_are_counted_and_wait_for_what_others_put_back(
    tier: tuple[Workload, EndpointTier], tmp_path: Path
) -> None:
    spent: list[float] = []

    def answer(case: Case, _: object) -> Answer:
        spent.append(0.5)
        return Answer({}, cost=0.5)

    async def ask(purse: Purse, calls: int) -> list[object]:
        model = Meter(tier[0], purse, 10)(tier[1], FakeModel(answer), ())
        return await asyncio.gather(*(model.answer(Case(f"{at}")) for at in range(calls)), return_exceptions=True)

    purse = Purse(4.1, tmp_path / "spent.txt")
    said = asyncio.run(ask(purse, 8))  # each could cost two dollars: two at a time
    assert sum(isinstance(one, Answer) for one in said) == len(spent) == 5
    assert sum(isinstance(one, BudgetSpent) for one in said) == 3 and purse.stopped
    assert (purse.spent, purse.left) == (2.5, pytest.approx(1.6))
    assert Purse(9.0, tmp_path / "spent.txt").spent == 2.5


def test_a_call_that_a_kill_cut_off_counts_as_much_as_it_could_have_cost(
    tier: tuple[Workload, EndpointTier], tmp_path: Path
) -> None:
    async def begin(purse: Purse) -> None:
        model = Meter(tier[0], purse, 10)(tier[1], FakeModel(lambda *_: None), ())
        asking = asyncio.create_task(model.answer(Case("a")))
        await asyncio.sleep(0.01)
        assert Purse(9.0, tmp_path / "spent.txt").spent == 2.0, "as another process finds it"
        asking.cancel()

    asyncio.run(begin(Purse(9.0, tmp_path / "spent.txt")))
    assert Purse(9.0, tmp_path / "spent.txt").spent == 2.0


def test_a_call_that_no_answer_came_of_in_time_counts_as_much_as_it_could_have_cost(
    tier: tuple[Workload, EndpointTier], tmp_path: Path
) -> None:
    def answer(case: Case, _: object) -> Exception:
        return EndpointError(case.text, "no complete answer")

    async def ask(purse: Purse, code: str) -> list[object]:
        model = Meter(tier[0], purse, 10)(tier[1], FakeModel(answer), ())
        return await asyncio.gather(*(model.answer(Case(code)) for _ in range(60)), return_exceptions=True)

    purse = Purse(5.0, tmp_path / "spent.txt")
    asyncio.run(ask(purse, "endpoint_unavailable"))
    assert purse.spent == 0.0
    said = asyncio.run(ask(purse, "endpoint_timeout"))
    assert purse.spent == 4.0 and sum(isinstance(one, EndpointError) for one in said) == 2


def test_two_bakeoffs_at_a_time_share_one_budget_and_a_torn_line_stops_neither(tmp_path: Path) -> None:
    (tmp_path / "spent.txt").write_text("0.5\n0.1e", encoding="utf-8")
    one, other = Purse(2.0, tmp_path / "spent.txt"), Purse(2.0, tmp_path / "spent.txt")
    asyncio.run(one.take(1.0))
    with pytest.raises(BudgetSpent):
        asyncio.run(other.take(1.0))
    one.settle(1.0, 0.25)
    assert one.spent == other.spent == 0.75


def test_the_same_question_asked_at_the_same_time_is_paid_for_once(tmp_path: Path) -> None:
    model = FakeModel(lambda *_: Answer({"intent": "login"}))

    class Slow:
        async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
            await asyncio.sleep(0)
            return await model.answer(case, objections)

        async def close(self) -> None:
            await model.close()

    async def ask() -> list[Answer]:
        remembered = Remembered(Slow(), tmp_path / "answers.jsonl", Price())
        try:
            return await asyncio.gather(*(remembered.answer(Case("the same")) for _ in range(5)))
        finally:
            await remembered.close()

    assert len(asyncio.run(ask())) == 5 and len(model.asked) == 1


def test_a_teacher_that_the_budget_stopped_halfway_teaches_nothing(tmp_path: Path) -> None:
    texts = [line["input"] for line in messages(100, seed=1)]
    with serving(knowing(messages(30) + messages(100, seed=1), usage=(0, 60))) as server:
        endpoints = declared(server, price={"input": 0.0, "output": 2.0})
        workload = write_workload(tmp_path, 30, endpoints, tiers=[SLM])
        (teacher,) = workload.tiers
        assert isinstance(teacher, EndpointTier)
        budget = 125 * 120e-6 + LARGEST * 2e-6  # enough for 125 calls of 130 or so: fewer than one in ten goes unanswered
        meter = Meter(workload, Purse(budget, tmp_path / "spent.txt"), 100)
        with pytest.raises(BudgetSpent):
            asyncio.run(consult(workload, teacher, read_gold(workload).examples, texts, silent, meter))
        assert len(server.bodies) >= 120
