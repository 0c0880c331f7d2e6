"""Hashed n-grams are the same numbers everywhere and for ever."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.models.ngrams import BUCKETS, HALF, ngrams

STRANGE = ["", " \n", "hi", "😡😡 third time!!!", "\ud800 half a pair", "\x00", "ß ẞ SS", "我的订单在哪里", "a" * 10_000]


def lengths(text: str) -> tuple[float, float]:
    """The Euclidean lengths of the words' and of the characters' weights."""
    buckets, weights = ngrams(text)
    return float(np.linalg.norm(weights[buckets < HALF])), float(np.linalg.norm(weights[buckets >= HALF]))


@given(st.text(st.characters(), max_size=60))
def test_buckets_ascend_and_each_kind_has_length_one(text: str) -> None:
    buckets, weights = ngrams(text)
    assert (buckets.dtype, weights.dtype) == (np.int64, np.float32)
    assert (np.diff(buckets) > 0).all() and ((buckets >= 0) & (buckets < BUCKETS)).all()
    assert (weights > 0).all()
    expected = 1.0 if text.split() else 0.0
    assert lengths(text) == pytest.approx((expected, expected), abs=1e-5)


def test_an_empty_text_has_no_buckets() -> None:
    for text in ("", " \n\t", "\u3000"):
        assert [len(part) for part in ngrams(text)] == [0, 0]


@pytest.mark.parametrize("text", STRANGE)
def test_the_same_text_gives_the_same_bits(text: str) -> None:
    assert [part.tobytes() for part in ngrams(text)] == [part.tobytes() for part in ngrams(text)]


def test_a_fresh_process_gives_the_same_bits() -> None:
    program = (
        "import hashlib; from rung.models.ngrams import ngrams;"
        "print(hashlib.sha256(b''.join(p.tobytes() for t in ('Where is my parcel?', '😡 42') for p in ngrams(t))).hexdigest())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True)
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout != ""


def test_the_buckets_of_a_known_text_never_change() -> None:
    # A release's weights are stored by bucket: other buckets for the same text would be a silent break.
    buckets, weights = ngrams("Where is my parcel?")
    assert (len(buckets), int(buckets.sum()), round(float(weights.sum()), 4)) == (90, 16641794, 12.2959)


def test_case_and_spacing_do_not_count_and_repetition_counts_by_its_logarithm() -> None:
    assert np.array_equal(ngrams("Hello  WORLD")[0], ngrams("hello world")[0])
    assert not np.array_equal(ngrams("hello world")[0], ngrams("world hello")[0])
    buckets, weights = ngrams("no no no no")
    words = weights[buckets < HALF]  # no 4 times, no no 3 times, no no no twice
    counts = 1 + np.log([4, 3, 2])
    assert sorted(words.tolist()) == pytest.approx(sorted(counts / np.linalg.norm(counts)), abs=1e-5)


def test_texts_that_share_words_share_buckets() -> None:
    one, same, other = (set(ngrams(text)[0].tolist()) for text in ("refund the lamp", "refund the chair", "sunny Oslo"))
    assert len(one & same) > 20 > 3 > len(one & other)
