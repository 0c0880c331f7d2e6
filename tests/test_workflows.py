"""From gold to a gated release, interrupted, refused, resumed, and with an endpoint on the second rung."""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from threadpoolctl import threadpool_limits

from commands import run_rung
from rung import Embedded
from rung.cascade import decide
from rung.cascade.promise import PromiseError
from rung.cascade.redaction import redact
from rung.charts import render_html, render_markdown
from rung.core import Case, Outcome
from rung.evaluation import GateError
from rung.gold import GoldError, digest_of
from rung.models.encoder import Encoder
from rung.release.frozen import Release, ReleaseError, find_release, inputs_of, seen_by
from rung.release.opening import close_models, open_release
from rung.testing import Reply
from rung.workflows import evaluate_release, measure_load, train
from rung.workflows.rehearsal import EndpointSilent
from rung.workload import Workload, WorkloadError
from served import declared, serving
from small_workload import CONTENT, INTENTS, CountingEncoder, messages, with_mixed, write_gold, write_workload

MIXED = with_mixed(280, 40)  # gold that the specialist cannot answer in full
TIERS = ["specialist", {"endpoint": "slm", "model": "phi", "timeout": "5s"}]

Lines = Sequence[Mapping[str, Any]]


def asked(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


def knowing(lines: Lines) -> Callable[[dict[str, Any]], Reply]:
    """An endpoint that knows every answer."""
    answers = {line["input"]: line["expected"] for line in lines}
    return lambda body: Reply(answers[asked(body).split("\n\n---\n")[0]], tokens=None)


class Watching:
    """Progress that notes the stages and their steps, and fails when a stage begins."""

    def __init__(self, fail_at: str = "") -> None:
        self.stages: dict[str, tuple[int | None, int]] = {}
        self._fail_at = fail_at

    @contextmanager
    def __call__(self, stage: str, total: int | None = None, /) -> Iterator[Callable[[int], None]]:
        if stage == self._fail_at:
            raise KeyboardInterrupt
        self.stages[stage] = (total, 0)

        def advance(steps: int) -> None:
            self.stages[stage] = (total, self.stages[stage][1] + steps)

        yield advance


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory, minilm: Encoder) -> Path:
    """A cache that holds the embeddings of `MIXED`."""
    workload = write_workload(tmp_path_factory.mktemp("embedded"), MIXED)
    with pytest.raises(KeyboardInterrupt):
        train(workload, Watching("training the heads"), minilm)
    return workload.state / "cache"


@pytest.fixture
def mixed(embedded: Path, tmp_path: Path) -> Callable[..., Workload]:
    """Writes a workload with the gold `MIXED`."""

    def write(endpoints: Any = None, **changes: Any) -> Workload:
        shutil.copytree(embedded, tmp_path / ".rung" / "cache", dirs_exist_ok=True)
        return write_workload(tmp_path, MIXED, endpoints, **changes)

    return write


def releases(workload: Workload) -> list[str]:
    folder = workload.state / "releases"
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def decided(release: Release, encoder: Encoder, *texts: str) -> list[Any]:
    async def run() -> list[Any]:
        _, cascade = open_release(release, encoder)
        try:
            return [await decide(Case(text), cascade) for text in texts]
        finally:
            await close_models(cascade)

    return asyncio.run(run())


def test_a_second_training_reuses_the_release_and_computes_nothing(small: tuple[Workload, Release], minilm: Encoder) -> None:
    workload, release = small
    encoder: Any = CountingEncoder(minilm)
    watching = Watching()
    assert train(workload, watching, encoder) == release
    assert (encoder.asked, watching.stages) == (0, {})


def test_an_interrupted_training_goes_on_from_the_embeddings_it_has(tmp_path: Path, minilm: Encoder) -> None:
    workload = write_workload(tmp_path, 240)
    first, second = CountingEncoder(minilm), CountingEncoder(minilm)
    stopped: Any = first
    with pytest.raises(KeyboardInterrupt):
        train(workload, Watching("training the heads"), stopped)
    assert releases(workload) == []
    resumed: Any = second
    watching = Watching()
    release = train(workload, watching, resumed)
    trained, others = first.asked, second.asked
    assert trained == release.evidence["gold"]["train"] > 100
    assert others == release.evidence["gold"]["calibration"] + release.evidence["gold"]["test"]
    assert watching.stages["embedding the gold"] == (trained, trained)
    for stage in ("deriving the threshold", "evaluating what will be served"):
        total, steps = watching.stages[stage]
        assert total == steps != 0
    assert releases(workload) == [release.id]


def test_a_damaged_release_is_trained_again(tmp_path: Path, minilm: Encoder) -> None:
    workload = write_workload(tmp_path, 120, promise={"error": 0.2, "confidence": 0.8})
    first = train(workload, encoder=minilm)
    (first.folder / "specialist.safetensors").write_bytes(b"")
    second = train(workload, encoder=minilm)
    assert find_release(workload, inputs_of(workload, minilm)) == second
    assert decided(second, minilm, messages(1)[0]["input"])[0].outcome == Outcome.ACCEPTED


def test_an_evaluation_of_what_is_served_finds_the_same_again(small: tuple[Workload, Release]) -> None:
    workload, release = small
    again = evaluate_release(workload, release).document()
    for name in ("cases", "answered", "wrong", "people", "escalated", "error_at_most", "metrics"):
        assert again[name] == release.evidence[name]


def test_labels_that_mean_nothing_are_refused_with_the_cases_that_would_be_needed(tmp_path: Path, minilm: Encoder) -> None:
    lines = messages(180)
    random_ = random.Random(0)
    shuffled = [{**line, "expected": {"intent": random_.choice(list(INTENTS)), "order": None}} for line in lines]
    workload = write_workload(tmp_path, shuffled)
    with pytest.raises(PromiseError, match=r"calibration cannot support the promise of at most 10% wrong") as refused:
        train(workload, encoder=minilm)
    assert (refused.value.exit_status, releases(workload)) == (1, [])


def test_limits_that_do_not_hold_are_named_with_their_numbers(mixed: Callable[..., Workload], minilm: Encoder) -> None:
    workload = mixed(limits={"escalated": 0.0, "p99": "0.001ms", "cost_per_case": 0})
    with pytest.raises(GateError) as refused:
        train(workload, encoder=minilm)
    said = str(refused.value)
    assert re.search(
        r"\d+ of \d+ cases leave the specialists: .*, at least \d+\.\d+% with .* confidence, over limits\.escalated of 0\.00%",
        said,
    )
    assert "over limits.p99" in said and "cost" not in said
    assert (refused.value.exit_status, releases(workload)) == (1, [])


def test_wrong_gold_is_refused_before_anything_is_computed(tmp_path: Path, minilm: Encoder) -> None:
    workload = write_workload(tmp_path, [*messages(30), {"input": "hi", "expected": {"intent": "refnd", "order": None}}])
    encoder: Any = CountingEncoder(minilm)
    with pytest.raises(GoldError, match=r"line 31: intent is \"refnd\""):
        train(workload, encoder=encoder)
    assert encoder.asked == 0


def test_an_endpoint_takes_what_the_specialist_leaves(mixed: Callable[..., Workload], minilm: Encoder) -> None:
    with serving(knowing(MIXED)) as server:
        workload = mixed(declared(server), tiers=TIERS)
        release = train(workload, encoder=minilm)
        said = len(server.bodies)
        assert said == len({asked(body) for body in server.bodies})  # nothing is asked twice
        specialist, slm = release.evidence["tiers"]
        assert (specialist["tier"], slm["tier"]) == ("specialist", "slm/phi")
        assert specialist["cases"] > 0 and slm["cases"] > 0 and slm["wrong"] == 0
        assert release.evidence["people"] < release.evidence["cases"] * 0.2
        assert 0 < release.evidence["cost"] < 0.001

        lines = [MIXED[0], MIXED[-1]]
        decisions = decided(release, minilm, *(line["input"] for line in lines))
        assert len(server.bodies) == said + sum(decision.tier == "slm/phi" for decision in decisions)
        for decision, line in zip(decisions, lines, strict=True):
            assert {key: decision.answer[key] for key in line["expected"]} == line["expected"]

        shutil.rmtree(release.folder)
        asked_before = len(server.bodies)
        again = train(workload, encoder=minilm)
        assert len(server.bodies) == asked_before  # the answers were remembered
        assert again.evidence["tiers"] == release.evidence["tiers"]

        schema = server.bodies[0]["response_format"]["json_schema"]["schema"]
        assert list(schema["properties"]) == schema["required"] == ["intent", "order"]
        assert schema["properties"]["order"] == {"type": ["string", "null"], "pattern": "^AB[0-9]{4}$"}
        assert server.bodies[0]["messages"][0]["content"].startswith(CONTENT["task"])


def test_an_interrupted_training_keeps_what_the_endpoint_has_answered(tmp_path: Path, minilm: Encoder) -> None:
    lines = messages(150)
    with serving(knowing(lines)) as server:
        workload = write_workload(tmp_path, lines, declared(server), tiers=TIERS[1:])
        encoder: Any = CountingEncoder(minilm)
        with pytest.raises(KeyboardInterrupt):
            train(workload, Watching("deriving the threshold"), encoder)
        trained = len(server.bodies)
        (kept,) = (workload.state / "cache").glob("answers-*.jsonl")
        kept.write_bytes(kept.read_bytes()[:-20])  # as a crash leaves it
        release = train(workload, encoder=encoder)
        assert trained == release.evidence["gold"]["train"]
        gold = release.evidence["gold"]
        assert len(server.bodies) == gold["train"] + gold["calibration"] + gold["test"] + 1  # the torn one again
    assert encoder.asked == 0  # no specialist, no embeddings
    assert not (release.folder / "tiers").exists()
    assert release.evidence["answered"] == release.evidence["cases"]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(hang=True), "answer within 0.1 s"),  # the tier's timeout below
        (Reply(status=401, body=b"bad key"), "HTTP 401: bad key"),
        (Reply("I would say a refund."), "no JSON object"),
    ],
)
def test_an_endpoint_that_does_not_answer_is_named_with_its_reason(
    reply: Reply, reason: str, tmp_path: Path, minilm: Encoder
) -> None:
    with serving(lambda _: reply) as server:
        tiers = [{"endpoint": "slm", "model": "phi", "timeout": "100ms" if reply.hang else "9s"}]
        workload = write_workload(tmp_path, 60, declared(server), tiers=tiers)
        with pytest.raises(EndpointSilent) as refused:
            train(workload, encoder=minilm)
    assert str(refused.value).startswith("slm/phi did not answer ")
    assert reason in str(refused.value)
    assert (refused.value.exit_status, releases(workload)) == (1, [])


def test_an_endpoint_that_is_always_wrong_is_not_trusted(mixed: Callable[..., Workload], minilm: Encoder) -> None:
    with serving(lambda _: Reply({"intent": "weather", "order": "AB0000"})) as server:
        release = train(mixed(declared(server), tiers=TIERS), encoder=minilm)
    _, slm = release.evidence["tiers"]
    assert slm["wrong"] <= slm["cases"] * 0.2
    assert release.evidence["error_at_least"] <= 0.1


def test_the_cases_that_an_endpoint_is_shown_are_frozen_with_the_release_and_shown_when_it_serves(
    tmp_path: Path, minilm: Encoder
) -> None:
    lines = messages(120)
    with serving(knowing(lines)) as server:
        tiers = [{"endpoint": "slm", "model": "phi", "examples": 3}]
        workload = write_workload(tmp_path, lines, declared(server), tiers=tiers)
        release = train(workload, encoder=minilm)
        judged = server.bodies[-1]["messages"]
        write_gold(tmp_path, messages(7))  # what it is shown is the release's, whatever becomes of the gold
        with Embedded(workload) as embedded:
            embedded.decide(lines[0]["input"])
        served = server.bodies[-1]["messages"]
    assert [turn["role"] for turn in served] == ["system", *["user", "assistant"] * 3, "user"]
    assert served[:-1] == judged[:-1] and served[-1]["content"] == lines[0]["input"]
    kept = json.loads((release.folder / "cascade.json").read_text(encoding="utf-8"))["shown"]["slm/phi"]
    assert [text for text, _ in kept] == [turn["content"] for turn in served[1:-1:2]]


def test_what_leaves_for_an_outside_endpoint_is_masked_and_comes_back_whole(
    tmp_path: Path, minilm: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLM_KEY", "sk-secret")
    lines = [
        {
            "input": f"{line['input']} Write to ada{place}@example.com",
            "expected": {**line["expected"], "email": f"ada{place}@example.com"},
        }
        for place, line in enumerate(messages(150))
    ]
    masked = [
        {"input": redact(line["input"], ["email"]).text, "expected": {**line["expected"], "email": "[EMAIL_1]"}} for line in lines
    ]
    properties = {**CONTENT["answer"]["properties"], "email": {"type": ["string", "null"], "format": "email"}}
    with serving(knowing(masked)) as server:
        workload = write_workload(
            tmp_path,
            lines,
            declared(server, boundary="outside", key="SLM_KEY"),
            tiers=TIERS[1:],
            answer={"type": "object", "properties": properties},
            boundary={"may_leave": "redacted", "redact": ["email"]},
        )
        release = train(workload, encoder=minilm)
        (decision,) = decided(release, minilm, lines[0]["input"])
    assert decision.answer["email"] == "ada0@example.com"
    assert release.evidence["answered"] == release.evidence["cases"]
    assert server.headers[0]["Authorization"] == "Bearer sk-secret"
    assert all("[EMAIL_1]" in asked(body) for body in server.bodies)
    assert "@example.com" not in repr(server.bodies)


def test_a_key_that_is_not_set_stops_training_and_names_the_file(
    tmp_path: Path, minilm: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLM_KEY", raising=False)
    with serving(knowing([])) as server:
        workload = write_workload(tmp_path, 60, declared(server, key="SLM_KEY"), tiers=TIERS[1:])
        with pytest.raises(WorkloadError, match=r"slm\.key: the environment variable SLM_KEY is not set") as refused:
            train(workload, encoder=minilm)
        assert str(refused.value).startswith(str(tmp_path / "endpoints.yaml"))
        assert server.bodies == []


def test_other_gold_is_another_release(tmp_path: Path, minilm: Encoder) -> None:
    lines = messages(150)
    with serving(knowing(lines)) as server:
        workload = write_workload(tmp_path, lines, declared(server), tiers=TIERS[1:])
        first = train(workload, encoder=minilm)
        write_gold(tmp_path, lines[:-3])
        second = train(workload, encoder=minilm)
        assert first.inputs != second.inputs
        assert len(server.bodies) == len({asked(body) for body in server.bodies})  # nothing is paid for twice
        write_gold(tmp_path, lines)
        assert train(workload, encoder=minilm) == first


def test_a_server_that_is_down_while_it_is_judged_is_not_frozen_into_a_release(tmp_path: Path, minilm: Encoder) -> None:
    lines = messages(150)
    answer, count = knowing(lines), 0

    def failing(body: dict[str, Any]) -> Reply:
        nonlocal count
        count += 1
        return answer(body) if count <= 92 else Reply(status=401, body=b"gone")  # well during training, gone at calibration

    with serving(failing) as server:
        workload = write_workload(tmp_path, lines, declared(server), tiers=TIERS[1:])
        with pytest.raises(EndpointSilent, match="did not answer"):
            train(workload, encoder=minilm)
    assert releases(workload) == []


def test_a_release_is_judged_on_cases_that_it_was_not_made_from_whatever_became_of_the_gold(
    tmp_path: Path, minilm: Encoder
) -> None:
    lines = messages(300)
    workload = write_workload(tmp_path, lines[:240])
    release = train(workload, encoder=minilm)
    write_gold(tmp_path, [{**line, "split": "test"} for line in lines[150:]] + lines[:150])
    found = evaluate_release(workload, release)
    texts = {one.case.text for one in found.cases}
    fresh = {line["input"] for line in lines[240:]}
    assert len(texts & fresh) > 50 and found.left_out > 50  # of near-duplicates one is judged
    assert not {digest_of(text) for text in texts} & seen_by(release)
    seen = [line for line in lines[:240] if digest_of(line["input"]) in seen_by(release)]
    write_gold(tmp_path, [{**line, "split": "test"} for line in seen[:60]] + seen[60:])
    with pytest.raises(GoldError, match=r"has no test case that release [0-9a-f]{12} was not made from"):
        evaluate_release(workload, release)


def test_an_evaluation_is_the_same_on_every_run_to_the_byte(small: tuple[Workload, Release]) -> None:
    workload, release = small
    first, second = (evaluate_release(workload, release) for _ in range(2))
    for render in (render_html, render_markdown):
        assert render("Evaluation", first.blocks()) == render("Evaluation", second.blocks())
    assert json.dumps(first.document()) == json.dumps(second.document())
    load = measure_load(first)
    loaded = first.document(load)
    assert set(loaded.pop("measured")) == {"times", "gate", "load"} and loaded == first.document()


def test_an_evaluation_says_what_the_gate_makes_of_it_and_what_it_was_not_asked(tmp_path: Path, minilm: Encoder) -> None:
    workload = write_workload(tmp_path, limits={"p99": "60s", "escalated": 0.5, "dropped": 0.5})
    found = evaluate_release(workload, train(workload, encoder=minilm))
    gate = found.document()["gate"]
    assert gate["passed"] and [(one["limit"], one["verdict"]) for one in gate["limits"]] == [
        ("promise", "proven"),
        ("escalated", "within"),
    ]
    page = render_markdown("Evaluation", found.blocks())
    assert "The gate is passed" in page and "of 71 cases leave the specialists" in page
    assert "limits.p99 is not asked" in page and "limits.dropped is asked by rung train and rung promote" in page
    load = measure_load(found)
    timed, loaded = render_markdown("Evaluation", found.blocks(load)), found.document(load)
    assert "limits.p99 is not asked" not in timed and "within limits.p99 of 60000.0 ms" in timed
    assert loaded["gate"] == gate and [one["limit"] for one in loaded["measured"]["gate"]["limits"]] == ["p99"]
    slow = replace(found, workload=replace(found.workload, limits=replace(found.workload.limits, p99=1e-9)))
    assert slow.document()["gate"]["passed"] and not slow.document(load)["measured"]["gate"]["passed"]
    slow.gate(timed=False)  # what the JSON passes, and the command ends well
    with pytest.raises(GateError, match=r"over limits\.p99"):
        slow.gate()


def test_one_tier_may_be_judged_alone_and_other_parts_of_the_gold(small: tuple[Workload, Release]) -> None:
    workload, release = small
    calibrated = evaluate_release(workload, release, part="calibration")
    page = render_markdown("", calibrated.blocks())
    assert len(calibrated.cases) > 60 and "this is no evidence" in page
    assert calibrated.document()["gate"] is None and "The gate" not in page
    assert evaluate_release(workload, release, tier="specialist").evidence.cases == 71
    with pytest.raises(ReleaseError, match=r"has no tier 'phi'; it has: specialist"):
        evaluate_release(workload, release, tier="phi")


COPIED = {
    "type": "object",
    "properties": {"size": {"type": "integer"}, "colour": {"type": ["string", "null"], "fill": "copy"}},
    "required": ["size", "colour"],
    "additionalProperties": False,
}


def sized(cases: int) -> list[dict[str, Any]]:
    """Gold with nothing but what is learnt to be copied."""
    random_ = random.Random(1)
    lines: list[dict[str, Any]] = []
    for at in range(cases):
        size, colour = 100 + at, random_.choice(["red", "blue", "green", "grey", None])
        begin = random_.choice(["Please send", "We need", "I would like", "Could you ship", "Bring"])
        thing = random_.choice(["rug", "lamp", "chair", "sofa", "desk", "mirror", "shelf", "bed"])
        end = random_.choice(["Many thanks", "Regards, Ada", "It is urgent", "Call me first", "For the office"])
        lines.append(
            {"input": f"{begin} a {colour or ''} {thing} of size {size}. {end}.", "expected": {"size": size, "colour": colour}}
        )
    return lines


def test_a_workload_without_labels_is_checked_trained_frozen_and_served(tmp_path: Path, minilm: Encoder) -> None:
    lines = sized(300)
    lines[7]["expected"]["colour"] = lines[8]["expected"]["colour"] = "mauve"  # stands nowhere
    lines[7]["split"] = lines[8]["split"] = "train"
    workload = write_workload(tmp_path, lines, answer=COPIED, promise={"error": 0.2, "confidence": 0.9})
    for verb in (["check"], ["gold", "check"]):
        checked = run_rung(*verb, tmp_path)
        assert checked.status == 0 and "300" in checked.out, checked.err
    assert "no field is filled by a label" in checked.out and "good examples; there are 300" in checked.out
    with threadpool_limits(1):
        release = train(workload, encoder=minilm)
    assert "Note: 2 copied values were not found in their texts" in release.report
    assert "line 8 (colour), line 9 (colour)." in release.report and "mauve" not in release.report
    with Embedded(workload) as embedded:
        decision = embedded.decide("We need a blue lamp of size 250. Regards, Ada.")
    assert decision.answer == {"size": 250, "colour": "blue"}
    assert evaluate_release(workload, release).document()["cases"] == release.evidence["cases"]
