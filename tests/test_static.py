"""Training without attention, the static model it gives, and the static model's files."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rung.core import Answer, Case, Fields
from rung.models.encoder import Encoder
from rung.models.heads import ArtefactError
from rung.models.static import BUCKETS, Reader, Static, load_static
from rung.training.heads import Trained
from rung.training.static import embed_tokens, train_static
from rung.workload import Field
from small_workload import INTENTS, messages, with_mixed

INTENT = Field("intent", "label", {}, tuple(INTENTS))
ORDER = Field("order", "copy", {"type": ["string", "null"], "pattern": "^AB[0-9]{4}$"}, find=(r"(?i)\bAB[ -]?[0-9]{4}\b",))
REPLY = Field("reply", "template", {}, template="reply.md")
FIELDS = [INTENT, ORDER, REPLY]
STRANGE = ["", " ", "\ud800 AB1234", "\x00", "😡" * 500, "x" * 100_000, "word " * 20_000, "ᚠᛇᚻ᛫ᛒᛦᚦ", "qzxj vwkp"]
# The encoder reads the vocabulary once in the life of this cache, as it is built once.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rung"


@pytest.fixture(scope="module")
def gold() -> tuple[list[str], list[Fields]]:
    lines = with_mixed(180, 60)
    return [line["input"] for line in lines], [line["expected"] for line in lines]


def learn(gold: tuple[list[str], list[Fields]], minilm: Encoder, fields: Sequence[Field] = FIELDS) -> tuple[Trained, Static]:
    trained = train_static(*gold, minilm, fields, CACHE)
    assert isinstance(trained.specialist, Static)
    return trained, trained.specialist


@pytest.fixture(scope="module")
def trained(gold: Any, minilm: Encoder) -> Trained:
    return learn(gold, minilm)[0]


@pytest.fixture(scope="module")
def static(trained: Trained) -> Static:
    assert isinstance(trained.specialist, Static)
    return trained.specialist


def joint(answers: Sequence[Answer]) -> list[float]:
    return [float(np.prod(list(answer.field_confidence.values()))) for answer in answers]


def ask_together(static: Static, texts: Sequence[str]) -> list[Answer]:
    async def ask() -> list[Answer]:
        answers = await asyncio.gather(*(static.answer(Case(text)) for text in texts))
        await static.close()
        return answers

    return asyncio.run(ask())


def test_the_static_model_answers_new_texts_with_every_field_a_model_fills(static: Static) -> None:
    lines = messages(60, seed=7)
    answers = static.answer_all([line["input"] for line in lines])
    assert [dict(answer.fields) for answer in answers] == [line["expected"] for line in lines]
    assert list(answers[0].fields) == ["intent", "order"]
    for answer in answers:
        assert set(answer.field_confidence) == {"intent", "order"}
        assert all(0 < probability < 1 for probability in answer.field_confidence.values())
        assert set(answer.signals) == {"weakest", "joint"}


def test_words_that_gold_never_used_are_understood_by_their_meaning(static: Static) -> None:
    answers = static.answer_all(["Will there be thunder and hail tomorrow?", "Kindly repay the sum, an invoicing mistake"])
    assert [answer.fields["intent"] for answer in answers] == ["weather", "refund"]


def test_rehearsed_answers_have_the_shape_of_served_ones(trained: Trained, static: Static, gold: Any) -> None:
    assert list(trained.rehearsal) == list(range(len(gold[0])))
    for at, served in enumerate(static.answer_all(gold[0][:20])):
        assert list(trained.rehearsal[at].fields) == list(served.fields)
        assert list(trained.rehearsal[at].field_confidence) == list(served.field_confidence)
        assert list(trained.rehearsal[at].signals) == list(served.signals)


def test_who_rehearses_a_case_has_not_seen_it(minilm: Encoder) -> None:
    """A label with one example cannot be known to a model that was trained without it."""
    lines = [line for line in messages(60) if line["expected"]["intent"] != "weather"]
    texts = [*(line["input"] for line in lines), "hedgehogs eat worms"]
    expected = [*(line["expected"] for line in lines), {"intent": "rare"}]
    field = Field("intent", "label", {}, ("login", "rare", "refund", "never"))
    found, static = learn((texts, expected), minilm, [field])
    assert found.rehearsal[len(lines)].fields["intent"] != "rare"
    (rare, *others) = static.answer_all(["hedgehogs eat worms", *texts[:20]])
    assert rare.fields == {"intent": "rare"}
    assert [answer.fields["intent"] for answer in others] == [row["intent"] for row in expected[:20]]


def test_confidence_is_calibrated_on_what_was_rehearsed(trained: Trained, gold: Any) -> None:
    right = [trained.rehearsal[at].fields["intent"] == row["intent"] for at, row in enumerate(gold[1])]
    said = [answer.field_confidence["intent"] for answer in trained.rehearsal.values()]
    assert 0.6 < np.mean(right) < 1
    assert np.mean(said) == pytest.approx(np.mean(right), abs=0.03)


def test_strange_texts_are_answered_and_trusted_less(static: Static) -> None:
    answers = static.answer_all(STRANGE)
    assert answers[2].fields["order"] == "AB1234"
    assert all(0 <= probability <= 1 for probability in joint(answers))
    inside = joint(static.answer_all([line["input"] for line in messages(40, seed=9)]))
    assert np.mean(joint(answers)) < np.mean(inside) - 0.1


def test_an_answer_does_not_depend_on_the_batch(static: Static) -> None:
    texts = [*STRANGE, *(line["input"] for line in messages(300, seed=3))]
    together = static.answer_all(texts)
    assert static.answer_all(texts[::-1])[::-1] == together
    assert [answer for text in texts for answer in static.answer_all([text])] == together
    assert ask_together(static, texts) == together
    assert static.answer_all([]) == []


def test_a_closed_static_model_answers_in_another_loop(static: Static) -> None:
    assert [len(ask_together(static, ["hi"])) for _ in range(2)] == [1, 1]


def test_several_label_fields_are_learnt_at_once_beside_numbers_true_and_null(minilm: Encoder) -> None:
    urgent = Field("urgent", "label", {"type": "boolean"}, (True, False))
    grade = Field("grade", "label", {}, (0, 1.0, True, None))
    grades = {"refund": 0, "login": 1, "weather": True}
    lines = messages(90)
    expected: list[Fields] = [
        {**line["expected"], "urgent": line["expected"]["intent"] == "refund", "grade": grades[line["expected"]["intent"]]}
        for line in lines
    ]
    texts = [line["input"] for line in lines]
    _, static = learn((texts, expected), minilm, [urgent, INTENT, grade, ORDER])
    for answer, line in zip(static.answer_all(texts[:12]), expected, strict=False):
        assert list(answer.fields) == ["urgent", "intent", "grade", "order"]
        assert answer.fields == line
        assert isinstance(answer.fields["grade"], bool) == isinstance(line["grade"], bool)


@pytest.mark.parametrize("cases", [1, 2, 7])
def test_a_handful_of_cases_is_enough_to_train(cases: int, minilm: Encoder) -> None:
    lines = messages(cases)
    texts = [line["input"] for line in lines]
    found, static = learn((texts, [line["expected"] for line in lines]), minilm, [INTENT, ORDER])
    (answer,) = static.answer_all(texts[:1])
    assert answer.fields["intent"] in INTENTS and 0 < min(answer.field_confidence.values()) < 1
    assert len(found.rehearsal) == cases


@pytest.mark.parametrize("labels", [("refund",), ("refund", "login", "weather")])
def test_gold_of_one_label_and_texts_without_words_can_be_learnt_from(labels: tuple[str, ...], minilm: Encoder) -> None:
    texts = [*STRANGE, "money back please"]
    _, static = learn((texts, [{"intent": "refund"}] * len(texts)), minilm, [Field("intent", "label", {}, labels)])
    for answer in static.answer_all(texts):
        assert answer.fields == {"intent": "refund"}
        assert 0 < answer.field_confidence["intent"] < 1


def test_copy_fields_alone_need_no_network(minilm: Encoder, tmp_path: Path) -> None:
    lines = messages(30)
    texts = [line["input"] for line in lines]
    _, static = learn((texts, [line["expected"] for line in lines]), minilm, [ORDER])
    static.save(tmp_path)
    answers = load_static(tmp_path, [ORDER]).answer_all(texts)
    assert answers == static.answer_all(texts)
    assert [answer.fields["order"] for answer in answers] == [line["expected"]["order"] for line in lines]


def test_fields_that_need_words_in_their_text_are_refused(gold: Any, minilm: Encoder) -> None:
    size = Field("size", "copy", {"type": ["integer", "null"]})
    with pytest.raises(ValueError, match="cannot learn to copy size"):
        train_static(*gold, minilm, [INTENT, size], CACHE)


def test_training_twice_gives_the_same_bits(gold: Any, minilm: Encoder, trained: Trained, tmp_path: Path) -> None:
    again, _ = learn(gold, minilm)
    assert again.rehearsal == trained.rehearsal
    for name, which in (("one", trained), ("two", again)):
        which.specialist.save(tmp_path / name)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_progress_ends_at_a_hundred(minilm: Encoder) -> None:
    lines = messages(12)
    told: list[int] = []
    train_static(
        [line["input"] for line in lines], [line["expected"] for line in lines], minilm, [INTENT, ORDER], CACHE, told.append
    )
    assert told == sorted(told) and told[-1] == 100


def test_token_vectors_are_computed_once_and_again_where_the_file_is_damaged(tmp_path: Path) -> None:
    words = Reader().vocabulary
    asked: list[Sequence[str]] = []

    class Counting:
        name = "counting"

        def embed(self, texts: Sequence[str], progress: Any) -> Any:
            asked.append(texts)
            return np.ones((len(texts), 384), np.float32)

    encoder: Any = Counting()
    assert embed_tokens(encoder, tmp_path).shape == (len(words), 384)
    embed_tokens(encoder, tmp_path)
    assert len(asked) == 1 and not any(text.startswith("##") for text in asked[0])
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-9])
    embed_tokens(encoder, tmp_path)
    assert len(asked) == 2


def test_a_saved_static_model_answers_with_the_same_bits(static: Static, tmp_path: Path) -> None:
    static.save(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["static.json", "static.safetensors"]
    loaded = load_static(tmp_path, FIELDS)
    texts = [*STRANGE, *(line["input"] for line in messages(10, seed=5))]
    assert loaded.answer_all(texts) == static.answer_all(texts)
    loaded.save(tmp_path / "again")
    for name in ("static.json", "static.safetensors"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def damage_json(change: Any) -> Any:
    def damage(folder: Path) -> None:
        raw = json.loads((folder / "static.json").read_text(encoding="utf-8"))
        change(raw)
        (folder / "static.json").write_text(json.dumps(raw), encoding="utf-8")

    return damage


def damage_tensor(name: str, change: Any) -> Any:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / "static.safetensors")
        tensors[name] = np.ascontiguousarray(change(tensors[name]))
        save_file(tensors, folder / "static.safetensors")

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "static.json").unlink(),
        lambda folder: (folder / "static.safetensors").unlink(),
        lambda folder: (folder / "static.json").write_text("[]"),
        lambda folder: (folder / "static.json").write_bytes(b"\xff"),
        lambda folder: (folder / "static.safetensors").write_bytes(b"\xff" * 1000),
        lambda folder: (folder / "static.safetensors").write_bytes((folder / "static.safetensors").read_bytes()[:-9]),
        lambda folder: save_file({"other": np.zeros(3)}, folder / "static.safetensors"),
        damage_json(lambda raw: raw.pop("encoder")),
        damage_json(lambda raw: raw.update(labels=3)),
        damage_json(lambda raw: raw["labels"].clear()),
        damage_json(lambda raw: raw["labels"][0]["labels"].pop()),
        damage_json(lambda raw: raw["labels"][0]["prior"].pop()),
        damage_json(lambda raw: raw["labels"][0]["calibration"].update(weights=[])),
        damage_json(lambda raw: raw["labels"][0]["calibration"].update(weights={"other": [1, 1, 1]})),
        damage_json(lambda raw: raw["labels"][0].update(field="other")),
        damage_json(lambda raw: raw["copies"].clear()),
        damage_tensor("first", lambda first: first[1:]),
        damage_tensor("first", lambda first: first[:, 1:]),
        damage_tensor("first", lambda first: first.ravel()),
        damage_tensor("weights", lambda weights: weights[1:]),
        damage_tensor("bias", lambda bias: bias[1:]),
        damage_tensor("outer", lambda outer: outer[:, 1:]),
        damage_tensor("outer_bias", lambda bias: bias[:, None]),
        damage_tensor("grams", lambda grams: grams[1:]),
        damage_tensor("buckets", lambda buckets: buckets + BUCKETS),
        damage_tensor("buckets", lambda buckets: buckets.astype(np.float32)),
    ],
)
def test_damaged_files_are_refused_with_the_next_command(damage: Any, static: Static, tmp_path: Path) -> None:
    static.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(ArtefactError, match=r"cannot be read .* `rung train`") as refused:
        load_static(tmp_path, FIELDS)
    assert str(tmp_path) in str(refused.value)


def test_a_static_model_of_another_vocabulary_is_refused(static: Static, tmp_path: Path) -> None:
    static.save(tmp_path)
    for name in ("first", "weights"):
        damage_tensor(name, lambda rows: rows[:-1])(tmp_path)
    with pytest.raises(ArtefactError, match="vocabulary"):
        load_static(tmp_path, FIELDS)
