"""Training in closed form, the specialist it gives, and the specialist's files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from rung.core import Answer, Case, Fields
from rung.models.encoder import Encoder
from rung.models.extraction import Extraction
from rung.models.heads import ArtefactError
from rung.models.ngrams import BUCKETS, ngrams
from rung.models.specialist import Specialist, load_specialist
from rung.training.copies import Page, train_copies
from rung.training.heads import FOLDS, USUAL, Reading, Trained, gram, solve, train_heads
from rung.workload import Field
from small_workload import INTENTS, CountingEncoder, messages, with_mixed

INTENT = Field("intent", "label", {}, tuple(INTENTS))
ORDER = Field("order", "copy", {"type": ["string", "null"], "pattern": "^AB[0-9]{4}$"}, find=(r"(?i)\bAB[ -]?[0-9]{4}\b",))
REPLY = Field("reply", "template", {}, template="reply.md")
OUTSIDE = [
    "asdf qwer zxcv lkjh",
    "x7Gk29 pQzz 0xDEADBEEF",
    "def area(radius): return 3.14 * radius ** 2",
    "Shares in the airline rose for a fourth day.",
    "The patient reports mild pain in the left knee.",
    "SELECT name FROM orders ORDER BY total DESC",
    "Donaudampfschifffahrtsgesellschaft",
    "!!! ??? ...",
]


@pytest.fixture(scope="module")
def gold(minilm: Encoder) -> tuple[Reading, list[Fields]]:
    """Texts as they are read, and answers."""
    lines = with_mixed(180, 60)
    texts = [line["input"] for line in lines]
    return Reading(minilm, texts, minilm.embed(texts)), [line["expected"] for line in lines]


@pytest.fixture(scope="module")
def trained(gold: Any, minilm: Encoder) -> Trained:
    return train_heads(*gold, [INTENT, ORDER, REPLY])


def joint(answers: Sequence[Answer]) -> list[float]:
    return [float(np.prod(list(answer.field_confidence.values()))) for answer in answers]


def test_gram_is_the_product_of_the_sparse_rows() -> None:
    grams = [ngrams(text) for text in ["", "hi", "hi", *(line["input"] for line in messages(150))]]
    ends = np.cumsum([0, *(len(buckets) for buckets, _ in grams)])
    columns, weights = (np.concatenate(parts) for parts in zip(*grams, strict=True))
    rows = csr_array((weights, columns, ends), shape=(len(grams), BUCKETS))
    assert np.allclose(gram(grams), (rows @ rows.T).toarray(), atol=1e-5)
    assert gram([ngrams(""), ngrams("")]).tolist() == [[0, 0], [0, 0]]


def test_what_is_rehearsed_is_what_a_machine_trained_without_the_fold_would_say(gold: Any) -> None:
    reading, expected = gold
    texts, embeddings = reading.texts, reading.embeddings
    targets = np.array([[float(label == row["intent"]) for label in INTENT.labels] for row in expected], np.float32)
    drawn = np.arange(len(texts)) % FOLDS
    folds = [(np.flatnonzero(drawn == fold), np.flatnonzero(drawn != fold)) for fold in range(FOLDS)]
    linear, cosines = gram([ngrams(text) for text in texts]), embeddings @ embeddings.T
    dual, smooth, sparse = solve(USUAL, linear, cosines, targets, folds)
    kernel = USUAL.compare(cosines).astype(np.float64) + linear
    assert np.allclose(dual, np.linalg.solve(kernel + USUAL.ridge * np.eye(len(kernel)), targets), atol=1e-4)
    for out, rest in folds:
        without = np.linalg.solve(kernel[np.ix_(rest, rest)] + USUAL.ridge * np.eye(len(rest)), targets[rest])
        assert np.allclose(smooth[out], USUAL.compare(cosines[np.ix_(out, rest)]) @ without, atol=1e-4)
        assert np.allclose(sparse[out], linear[np.ix_(out, rest)] @ without, atol=1e-4)


def test_training_twice_gives_the_same_bits(gold: Any, minilm: Encoder, trained: Trained, tmp_path: Path) -> None:
    again = train_heads(*gold, [INTENT, ORDER, REPLY])
    assert again.rehearsal == trained.rehearsal
    for name, which in (("one", trained), ("two", again)):
        (tmp_path / name).mkdir()
        which.specialist.save(tmp_path / name)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_the_specialist_answers_new_texts_with_every_field_a_model_fills(trained: Trained) -> None:
    lines = messages(60, seed=7)
    answers = trained.specialist.answer_all([line["input"] for line in lines])
    assert [dict(answer.fields) for answer in answers] == [line["expected"] for line in lines]
    assert list(answers[0].fields) == ["intent", "order"]
    for answer in answers:
        assert set(answer.field_confidence) == {"intent", "order"}
        assert all(0 < probability < 1 for probability in answer.field_confidence.values())
        assert set(answer.signals) == {"weakest", "joint"}


def test_rehearsed_answers_have_the_shape_of_served_ones(trained: Trained, gold: Any) -> None:
    served = trained.specialist.answer_all(gold[0].texts[:20])
    for one, other in zip(list(trained.rehearsal.values())[:20], served, strict=True):
        assert list(one.fields) == list(other.fields)
        assert set(one.field_confidence) == set(other.field_confidence)
        assert set(one.signals) == set(other.signals)


def test_text_out_of_scope_is_trusted_less(trained: Trained) -> None:
    inside = joint(trained.specialist.answer_all([line["input"] for line in messages(40, seed=9)]))
    outside = joint(trained.specialist.answer_all([*OUTSIDE, "", " "]))
    assert np.mean(outside) < np.mean(inside) - 0.15
    assert max(outside) < np.median(inside)


def test_confidence_is_calibrated_on_what_was_rehearsed(trained: Trained, gold: Any) -> None:
    right = [answer.fields["intent"] == row["intent"] for answer, row in zip(trained.rehearsal.values(), gold[1], strict=True)]
    said = [answer.field_confidence["intent"] for answer in trained.rehearsal.values()]
    assert 0.6 < np.mean(right) < 1
    assert np.mean(said) == pytest.approx(np.mean(right), abs=0.03)


def test_three_label_fields_of_all_kinds_are_learnt_at_once(minilm: Encoder) -> None:
    fields = [
        Field("urgent", "label", {"type": "boolean"}, (True, False)),
        INTENT,
        Field("grade", "label", {}, (0, 1.0, True, None)),
        ORDER,
    ]
    grades = {"refund": 0, "login": 1, "weather": True}
    lines = messages(90)
    expected = [
        {**line["expected"], "urgent": line["expected"]["intent"] == "refund", "grade": grades[line["expected"]["intent"]]}
        for line in lines
    ]
    texts = [line["input"] for line in lines]
    specialist = train_heads(Reading(minilm, texts, minilm.embed(texts)), expected, fields).specialist
    for answer, line in zip(specialist.answer_all(texts[:12]), expected[:12], strict=True):
        assert list(answer.fields) == ["urgent", "intent", "grade", "order"]
        assert answer.fields == line
        assert isinstance(answer.fields["grade"], bool) == isinstance(line["grade"], bool)


def test_a_rare_label_and_one_without_examples_do_no_harm(minilm: Encoder) -> None:
    lines = [line for line in messages(90) if line["expected"]["intent"] != "weather"]
    rare = [{"input": "hedgehogs eat worms", "expected": {"intent": "rare"}}]
    texts = [line["input"] for line in [*lines, *rare]]
    field = Field("intent", "label", {}, ("login", "rare", "refund", "never"))
    found = train_heads(Reading(minilm, texts, minilm.embed(texts)), [line["expected"] for line in [*lines, *rare]], [field])
    answers = found.specialist.answer_all(["what do hedgehogs eat", *texts[:20]])
    assert answers[0].fields == {"intent": "rare"}
    assert [answer.fields["intent"] for answer in answers[1:]] == [line["expected"]["intent"] for line in lines[:20]]
    assert answers[0].field_confidence["intent"] < min(answer.field_confidence["intent"] for answer in answers[1:])


@pytest.mark.parametrize("cases", [2, 3, 7])
def test_a_handful_of_cases_is_enough_to_train(cases: int, minilm: Encoder) -> None:
    lines = messages(cases)
    texts = [line["input"] for line in lines]
    found = train_heads(Reading(minilm, texts, minilm.embed(texts)), [line["expected"] for line in lines], [INTENT, ORDER])
    (answer,) = found.specialist.answer_all(texts[:1])
    assert answer.fields["intent"] in INTENTS and 0 < min(answer.field_confidence.values()) < 1


def ask_together(specialist: Specialist, texts: Sequence[str]) -> list[Answer]:
    async def ask() -> list[Answer]:
        answers = await asyncio.gather(*(specialist.answer(Case(text)) for text in texts))
        await specialist.close()
        return answers

    return asyncio.run(ask())


def test_concurrent_cases_get_the_answers_of_lone_ones(trained: Trained) -> None:
    texts = [line["input"] for line in messages(40, seed=3)]
    for together, text in zip(ask_together(trained.specialist, texts), texts, strict=True):
        (alone,) = trained.specialist.answer_all([text])
        assert together.fields == alone.fields
        assert joint([together]) == pytest.approx(joint([alone]), abs=0.01)


def test_strange_texts_are_answered_and_spoil_nothing_for_others(trained: Trained) -> None:
    texts = ["please give me my money back", "\ud800 AB1234", "", "\x00", "😡" * 500, "x" * 100_000]
    answers = ask_together(trained.specialist, texts)
    assert answers[0].fields["intent"] == "refund"
    assert answers[1].fields["order"] == "AB1234"
    assert all(0 <= probability <= 1 for probability in joint(answers))


def test_a_closed_specialist_answers_in_another_loop(trained: Trained) -> None:
    assert [len(ask_together(trained.specialist, ["hi"])) for _ in range(2)] == [1, 1]


def test_a_saved_specialist_answers_with_the_same_bits(trained: Trained, minilm: Encoder, tmp_path: Path) -> None:
    trained.specialist.save(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["specialist.json", "specialist.safetensors"]
    loaded = load_specialist(tmp_path, minilm, [INTENT, ORDER, REPLY])
    texts = [*OUTSIDE, *(line["input"] for line in messages(10, seed=5))]
    assert loaded.answer_all(texts) == trained.specialist.answer_all(texts)
    (tmp_path / "again").mkdir()
    loaded.save(tmp_path / "again")
    for name in ("specialist.json", "specialist.safetensors"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def damage_json(change: Any) -> Any:
    def damage(folder: Path) -> None:
        raw = json.loads((folder / "specialist.json").read_text(encoding="utf-8"))
        change(raw)
        (folder / "specialist.json").write_text(json.dumps(raw), encoding="utf-8")

    return damage


def damage_tensor(name: str, change: Any) -> Any:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / "specialist.safetensors")
        tensors[name] = np.ascontiguousarray(change(tensors[name]))
        save_file(tensors, folder / "specialist.safetensors")

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "specialist.json").unlink(),
        lambda folder: (folder / "specialist.safetensors").unlink(),
        lambda folder: (folder / "specialist.json").write_text("{"),
        lambda folder: (folder / "specialist.json").write_text("[]"),
        lambda folder: (folder / "specialist.json").write_bytes(b"\xff"),
        lambda folder: (folder / "specialist.safetensors").write_bytes(b""),
        lambda folder: (folder / "specialist.safetensors").write_bytes(b"\xff" * 1000),
        lambda folder: (folder / "specialist.safetensors").write_bytes((folder / "specialist.safetensors").read_bytes()[:-9]),
        lambda folder: save_file({"other": np.zeros(3)}, folder / "specialist.safetensors"),
        damage_json(lambda raw: raw.pop("kernel")),
        damage_json(lambda raw: raw["kernel"].update(extra=1)),
        damage_json(lambda raw: raw["labels"][0]["labels"].pop()),
        damage_json(lambda raw: raw["labels"][0]["prior"].pop()),
        damage_json(lambda raw: raw["labels"][0]["calibration"].update(weights=[])),
        damage_json(lambda raw: raw["labels"][0].update(field="other")),
        damage_json(lambda raw: raw["copies"].clear()),
        damage_json(lambda raw: raw.update(labels=3)),
        damage_tensor("dual", lambda dual: dual[1:]),
        damage_tensor("dual", lambda dual: dual[:, 1:]),
        damage_tensor("sparse", lambda sparse: sparse[:, 1:]),
        damage_tensor("sparse", lambda sparse: sparse[1:]),
        damage_tensor("anchors", lambda anchors: anchors[:, 1:]),
        damage_tensor("anchors", lambda anchors: anchors.ravel()),
        damage_tensor("buckets", lambda buckets: buckets + BUCKETS),
        damage_tensor("buckets", lambda buckets: buckets.astype(np.float32)),
    ],
)
def test_damaged_files_are_refused_with_the_next_command(damage: Any, trained: Trained, minilm: Encoder, tmp_path: Path) -> None:
    trained.specialist.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(ArtefactError, match=r"cannot be read .* `rung train`") as refused:
        load_specialist(tmp_path, minilm, [INTENT, ORDER, REPLY])
    assert str(tmp_path) in str(refused.value)


def test_a_specialist_of_another_encoder_is_refused(trained: Trained, minilm: Encoder, tmp_path: Path) -> None:
    trained.specialist.save(tmp_path)
    other: Any = CountingEncoder(minilm)
    other.name = "another"
    with pytest.raises(ArtefactError, match=r"trained on the encoder minilm.* this machine has another"):
        load_specialist(tmp_path, other, [INTENT, ORDER, REPLY])


SIZE = Field("size", "copy", {"type": ["integer", "null"]})
DAY = Field("day", "copy", {"type": ["string", "null"], "format": "date"})
LEARNT = [INTENT, SIZE, ORDER, DAY]


@pytest.fixture(scope="module")
def learnt(minilm: Encoder) -> Trained:
    """A specialist that also learns what to copy."""
    lines = messages(24)
    texts = [f"{line['input']} Size {at + 3}, by 0{at % 9 + 1}/05/2025" for at, line in enumerate(lines)]
    expected = [{**line["expected"], "size": at + 3, "day": f"2025-05-0{at % 9 + 1}"} for at, line in enumerate(lines)]
    embeddings, words = minilm.read(texts)
    pages = [Page(*page, {}) for page in zip(texts, words, expected, strict=True)]
    with threadpool_limits(1):
        copies = train_copies(pages, [Extraction(field) for field in (SIZE, DAY)])
    return train_heads(Reading(minilm, texts, embeddings), expected, LEARNT, copies)


def test_a_saved_specialist_with_learnt_fields_answers_with_the_same_bits(
    learnt: Trained, minilm: Encoder, tmp_path: Path
) -> None:
    learnt.specialist.save(tmp_path)
    loaded = load_specialist(tmp_path, minilm, LEARNT)
    texts = [*OUTSIDE, "I want to be refunded, size 12, by 04/05/2025", "", "\x00", "1 " * 9_000]
    answers = loaded.answer_all(texts)
    assert answers == learnt.specialist.answer_all(texts)
    assert list(answers[0].fields) == ["intent", "size", "order", "day"]
    (tmp_path / "again").mkdir()
    loaded.save(tmp_path / "again")
    for name in ("specialist.json", "specialist.safetensors"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        damage_json(lambda raw: raw.pop("tagger")),
        damage_json(lambda raw: raw.update(tagger=None)),
        damage_json(lambda raw: raw["tagger"]["kinds"].reverse()),
        damage_json(lambda raw: raw["tagger"]["kinds"].pop()),
        damage_json(lambda raw: raw["tagger"].update(least=[])),
        damage_json(lambda raw: raw["tagger"]["least"].update(size=None)),
        damage_tensor("tagger.mean", lambda mean: mean[1:]),
        damage_tensor("tagger.scale", lambda scale: scale[:, None]),
        damage_tensor("tagger.inner", lambda inner: inner[1:]),
        damage_tensor("tagger.inner", lambda inner: inner.ravel()),
        damage_tensor("tagger.inner_bias", lambda bias: bias[1:]),
        damage_tensor("tagger.outer", lambda outer: outer[:, 1:]),
        damage_tensor("tagger.outer_bias", lambda bias: bias[1:]),
        damage_tensor("tagger.moves", lambda moves: moves[1:]),
    ],
)
def test_a_damaged_tagger_is_refused_with_the_next_command(damage: Any, learnt: Trained, minilm: Encoder, tmp_path: Path) -> None:
    learnt.specialist.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(ArtefactError, match=r"cannot be read .* `rung train`"):
        load_specialist(tmp_path, minilm, LEARNT)


def test_a_tagger_of_other_fields_is_refused(learnt: Trained, trained: Trained, minilm: Encoder, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    trained.specialist.save(tmp_path / "bare")
    learnt.specialist.save(tmp_path)
    found = Field("size", "copy", SIZE.schema, find=("[0-9]+",))
    for folder, fields in (
        (tmp_path, [INTENT, DAY, ORDER, SIZE]),
        (tmp_path, [INTENT, found, ORDER, DAY]),
        (tmp_path / "bare", LEARNT),
    ):
        with pytest.raises(ArtefactError, match=r"`rung train`"):
            load_specialist(folder, minilm, fields)
