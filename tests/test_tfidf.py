"""The baseline: TF-IDF and logistic regression, beside scikit-learn's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from rung.core import Fields
from rung.training.descent import descend
from rung.training.heads import Trained
from rung.training.tfidf import TfIdf, load_tfidf, train_tfidf
from rung.workload import Field
from small_workload import INTENTS, messages, with_mixed

INTENT = Field("intent", "label", {}, tuple(INTENTS))
ORDER = Field("order", "copy", {"type": ["string", "null"], "pattern": "^AB[0-9]{4}$"}, find=(r"(?i)\bAB[ -]?[0-9]{4}\b",))
THING = Field("thing", "copy", {"type": ["string", "null"], "fill": "copy"})  # learnt from gold
FIELDS = [INTENT, ORDER, THING, Field("reply", "template", {}, template="reply.md")]
STRANGE = ["", " ", "\ud800 AB1234", "\x00", "😡" * 500, "x" * 100_000, "qzxj vwkp"]

Gold = tuple[list[str], list[Fields]]


@pytest.fixture(scope="module")
def gold() -> Gold:
    lines = with_mixed(180, 120)
    return [line["input"] for line in lines], [{**line["expected"], "thing": "a lamp"} for line in lines]


@pytest.fixture(scope="module")
def trained(gold: Gold) -> Trained:
    return train_tfidf(*gold, FIELDS)


def answers(model: Any, texts: list[str]) -> Any:
    assert isinstance(model, TfIdf)
    return model.answer_all(texts)


def test_labels_are_learnt_patterns_are_found_and_what_gold_teaches_to_copy_is_null(trained: Trained) -> None:
    lines = messages(60, seed=7)
    said = answers(trained.specialist, [line["input"] for line in lines])
    assert [one.fields for one in said] == [{**line["expected"], "thing": None} for line in lines]
    assert all(one.field_confidence["thing"] < 0.01 for one in said), "gold has a thing in every text"


def test_every_case_is_rehearsed_by_a_model_that_has_not_seen_it(trained: Trained, gold: Gold) -> None:
    def right(said: Any) -> float:
        return float(np.mean([one.fields["intent"] == row["intent"] for one, row in zip(said, gold[1], strict=True)]))

    assert sorted(trained.rehearsal) == list(range(len(gold[0])))
    assert right(trained.rehearsal.values()) < right(answers(trained.specialist, gold[0]))


def test_the_same_gold_gives_the_same_bits_and_what_is_opened_again_the_same_answers(
    trained: Trained, gold: Gold, tmp_path: Path
) -> None:
    trained.specialist.save(tmp_path / "first")
    train_tfidf(*gold, FIELDS).specialist.save(tmp_path / "second")
    files = [sorted(file.read_bytes() for file in (tmp_path / name).iterdir()) for name in ("first", "second")]
    assert files[0] == files[1]
    texts = [*gold[0][:20], *STRANGE]
    assert answers(load_tfidf(tmp_path / "first", FIELDS), texts) == answers(trained.specialist, texts)


def test_it_is_as_often_right_as_scikit_learns(gold: Gold) -> None:
    texts, expected = gold
    labels = [row["intent"] for row in expected]
    peer = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=20.0))
    later = with_mixed(60, 200, seed=5)
    asked, truth = [line["input"] for line in later], [line["expected"]["intent"] for line in later]
    theirs = np.mean(peer.fit(texts, labels).predict(asked) == truth)
    said = answers(train_tfidf(texts, expected, FIELDS).specialist, asked)
    ours = np.mean([one.fields["intent"] == label for one, label in zip(said, truth, strict=True)])
    assert abs(ours - theirs) < 0.05


def test_a_workload_without_labels_can_be_tried_too() -> None:
    lines = messages(30)
    expected = [{"order": line["expected"]["order"]} for line in lines]
    made = train_tfidf([line["input"] for line in lines], expected, [ORDER])
    assert [one.fields for one in answers(made.specialist, [lines[0]["input"]])] == expected[:1]


def test_descent_ends_where_a_convex_function_is_least() -> None:
    chance = np.random.default_rng(0)
    root = chance.normal(size=(12, 12))
    bend, pull = (root @ root.T + np.eye(12)).astype(np.float32), chance.normal(size=(12, 1)).astype(np.float32)
    found = descend(lambda at: (float((at * (bend @ at / 2 - pull)).sum()), bend @ at - pull), np.zeros_like(pull), 1e-4)
    assert found == pytest.approx(np.linalg.solve(bend, pull), abs=1e-3)
