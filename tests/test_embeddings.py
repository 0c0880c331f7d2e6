import numpy as np
import pytest

from rung.training.embeddings import embed_gold

TEXTS = [f"text number {number}" for number in range(1200)]


class CountingEncoder:
    """Embeds by the text's hash and remembers what it was asked."""

    name = "counting"

    def __init__(self, fail_after=None):
        self.asked = []
        self.fail_after = fail_after

    def embed(self, texts, progress=None):
        if self.fail_after is not None and len(self.asked) >= self.fail_after:
            raise KeyboardInterrupt
        self.asked += texts
        rows = np.array([np.random.default_rng(list(text.encode("utf-8", "surrogatepass"))).normal(size=384) for text in texts])
        if progress is not None:
            progress(len(texts))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_a_second_call_computes_nothing_and_gives_the_same(tmp_path):
    first = embed_gold(CountingEncoder(), TEXTS, tmp_path)
    encoder = CountingEncoder()
    second = embed_gold(encoder, TEXTS, tmp_path)
    assert encoder.asked == []
    assert np.array_equal(first, second)
    assert first.shape == (1200, 384) and first.dtype == np.float32


def test_the_embeddings_are_those_of_the_encoder_in_order(tmp_path):
    embed_gold(CountingEncoder(), TEXTS[100:200], tmp_path)
    found = embed_gold(CountingEncoder(), TEXTS[:300][::-1], tmp_path)
    assert np.array_equal(found, CountingEncoder().embed(TEXTS[:300][::-1]))


def test_only_new_texts_are_computed_and_repeated_ones_once(tmp_path):
    embed_gold(CountingEncoder(), ["a", "b"], tmp_path)
    encoder = CountingEncoder()
    found = embed_gold(encoder, ["b", "c", "a", "c", ""], tmp_path)
    assert sorted(encoder.asked) == ["", "c"]
    assert np.array_equal(found[1], found[3])


def test_an_interrupted_run_resumes(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        embed_gold(CountingEncoder(fail_after=1024), TEXTS, tmp_path)
    encoder = CountingEncoder()
    embed_gold(encoder, TEXTS, tmp_path)
    assert len(encoder.asked) == 1200 - 1024


@pytest.mark.parametrize("lost", [1, 700, 1567])
def test_a_torn_last_record_is_computed_again(tmp_path, lost):
    expected = embed_gold(CountingEncoder(), TEXTS[:10], tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-lost])
    encoder = CountingEncoder()
    embed_gold(encoder, TEXTS[:10], tmp_path)
    assert encoder.asked == [TEXTS[9]]
    assert np.array_equal(embed_gold(CountingEncoder(fail_after=0), TEXTS[:10], tmp_path), expected)


def test_a_hole_left_by_a_crash_is_computed_again(tmp_path):
    expected = embed_gold(CountingEncoder(), TEXTS[:3], tmp_path)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[1568 + 100 : 2 * 1568] = bytes(1468)
    file.write_bytes(content)
    encoder = CountingEncoder()
    assert np.array_equal(embed_gold(encoder, TEXTS[:3], tmp_path), expected)
    assert encoder.asked == [TEXTS[1]]


def test_another_encoder_has_its_own_embeddings(tmp_path):
    embed_gold(CountingEncoder(), ["a"], tmp_path)
    other = CountingEncoder()
    other.name = "another"
    embed_gold(other, ["a"], tmp_path)
    assert other.asked == ["a"]


def test_progress_rises_to_the_number_of_texts(tmp_path):
    embed_gold(CountingEncoder(), TEXTS[:100], tmp_path)
    seen = []
    embed_gold(CountingEncoder(), TEXTS, tmp_path, seen.append)
    assert seen == sorted(seen) and seen[0] == 100 and seen[-1] == 1200


def test_no_texts_give_no_rows(tmp_path):
    assert embed_gold(CountingEncoder(), [], tmp_path).shape == (0, 384)


def test_a_lone_surrogate_is_text_too(tmp_path):
    assert embed_gold(CountingEncoder(), ["\ud800"], tmp_path).shape == (1, 384)
