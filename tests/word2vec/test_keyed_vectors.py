"""Neighbours and analogies against gensim; saving; gensim's objects."""

from __future__ import annotations

import errno
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from gensim.models import KeyedVectors as GensimVectors
from gensim.models import Word2Vec
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from embedsearch.errors import (
    IndexFileError,
    InputError,
    LockedError,
    NotFoundError,
    StorageError,
)
from embedsearch.lock import writer_lock
from embedsearch.word2vec import KeyedVectors
from embedsearch.word2vec.keyed_vectors import best_rows
from tests.word2vec.texts import sentences


def drawn(count: int = 200, size: int = 12, *, seed: int = 0, **others) -> KeyedVectors:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, size)).astype(np.float32) * random.uniform(0.1, 9)
    return KeyedVectors([f"w{i}" for i in range(count)], vectors, **others)


@pytest.fixture(scope="module")
def ours() -> KeyedVectors:
    return drawn()


@pytest.fixture(scope="module")
def theirs(ours) -> GensimVectors:
    return ours.to_gensim()


@pytest.mark.parametrize(
    ("positive", "negative"),
    [
        ("w3", ()),
        (["w3"], []),
        (["w3", "w9"], ["w4"]),
        ([("w3", 0.25), "w9"], [("w7", 2.0)]),
        (("w3", 0.5), "w8"),
        ([], ["w5"]),
    ],
    ids=str,
)
def test_most_similar_is_gensims(ours, theirs, positive, negative):
    found = ours.most_similar(positive, negative, topn=7)
    lists = [x if isinstance(x, list) else [x] if x else [] for x in (positive, negative)]
    # gensim takes a negative weight of a negative key as it is
    expected = theirs.most_similar(
        lists[0],
        [(key[0], -key[1]) if isinstance(key, tuple) else key for key in lists[1]],
        topn=7,
    )
    assert [key for key, _ in found] == [key for key, _ in expected]
    np.testing.assert_allclose(
        [score for _, score in found], [score for _, score in expected], atol=1e-6
    )


def test_similarity_and_doesnt_match_are_gensims(ours, theirs):
    assert ours.similarity("w1", "w2") == pytest.approx(theirs.similarity("w1", "w2"), abs=1e-6)
    for start in range(0, 100, 5):
        keys = [f"w{i}" for i in range(start, start + 5)]
        assert ours.doesnt_match(keys) == theirs.doesnt_match(keys)


def test_nearest_to_a_vector(ours):
    found = ours.nearest(ours["w17"] * 3, topn=4)
    assert found[0][0] == "w17"
    assert found[0][1] == pytest.approx(1, abs=1e-6)
    assert len(ours.nearest(ours["w17"], topn=1000)) == len(ours)
    assert "w17" not in dict(ours.most_similar("w17", topn=1000))


def test_equal_scores_come_in_row_order_and_a_zero_vector_scores_zero():
    vectors = KeyedVectors(
        ["a", "b", "c", "d"], np.array([[1, 0], [0, 0], [2, 0], [1, 0]], np.float32)
    )
    assert vectors.nearest(np.array([1, 0], np.float32), topn=3) == [("a", 1), ("c", 1), ("d", 1)]
    assert vectors.similarity("a", "b") == 0


@given(
    hnp.arrays(
        np.float32, st.integers(1, 60), elements=st.sampled_from([0.0, 0.5, 1.0, -1.0, -np.inf])
    ),
    st.integers(0, 70),
)
def test_best_rows_are_a_stable_sort(scores, count):
    expected = np.argsort(-scores, kind="stable")[:count]
    assert best_rows(scores, min(count, len(scores))) == expected.tolist()


def test_container(ours):
    assert len(ours) == 200
    assert "w5" in ours
    assert "x" not in ours
    assert ours.vector_size == 12
    np.testing.assert_array_equal(ours["w5"], ours.vectors[5])
    assert "200 keys" in repr(ours)


@pytest.mark.parametrize(
    ("word", "near"),
    [("Paris", "paris"), ("pariss", "paris"), ("Berlni", "berlin"), ("zzzzqqq", None)],
)
def test_unknown_words_come_with_near_spellings(word, near):
    keys = ["paris", "berlin", "rome", "madrid"]
    vectors = KeyedVectors(keys, np.eye(4, dtype=np.float32))
    with pytest.raises(NotFoundError) as caught:
        vectors.most_similar(word)
    message = str(caught.value)
    assert repr(word) in message
    assert (f"near it: {near}" in message) if near else ("near it" not in message)


@pytest.mark.parametrize(
    "call",
    [
        lambda v: v.most_similar(),
        lambda v: v.most_similar("w1", topn=0),
        lambda v: v.nearest(np.zeros(3, np.float32)),
        lambda v: v.nearest(np.full(12, np.nan, np.float32)),
        lambda v: v.doesnt_match("w1"),
        lambda v: v.doesnt_match(["w1"]),
        lambda v: KeyedVectors(["a"], v.vectors),
        lambda v: KeyedVectors(["a", "a"], v.vectors[:2]),
        lambda v: KeyedVectors(v.keys, v.vectors.astype(np.float64)),
        lambda v: KeyedVectors(v.keys, v.vectors, counts=np.zeros(3, np.int64)),
        lambda v: KeyedVectors(["a"], v.vectors[:1], counts=[1]),
        lambda v: KeyedVectors(["a"], [[1.0, 2.0]]),
        lambda v: KeyedVectors(["a"], np.float32(1)),
        lambda v: KeyedVectors([7], v.vectors[:1]),
        lambda v: v[5],
        lambda v: v[["w1"]],
        lambda v: v.most_similar(["w1", 5]),
        lambda v: v.most_similar([v["w1"]]),
        lambda v: v.most_similar([("w1", "w2")]),
        lambda v: v.most_similar("w1", "w1"),
        lambda v: v.nearest(np.zeros(12, np.float32)),
    ],
)
def test_wrong_use(ours, call):
    with pytest.raises(InputError):
        call(ours)


def test_weights_may_be_numpys(ours):
    expected = ours.most_similar([("w1", 0.5), "w2"])
    assert ours.most_similar([("w1", np.float32(0.5)), "w2"]) == expected
    assert ours.most_similar(("w1", np.float32(0.5))) == ours.most_similar(("w1", 0.5))


# saving


@pytest.fixture
def saved(tmp_path):
    found = drawn(50, 7, counts=np.arange(50)[::-1].copy(), losses=(2.5, 2.25))
    found.output = drawn(50, 7, seed=1).vectors
    found.keys[3:6] = ["日本", "two words", "d'été"]
    found = KeyedVectors(
        found.keys, found.vectors, counts=found.counts, output=found.output, losses=found.losses
    )
    found.save(tmp_path / "saved")
    return found, tmp_path / "saved"


def test_saved_and_loaded_are_the_same(saved):
    found, folder = saved
    again = KeyedVectors.load(folder)
    assert again.keys == found.keys
    assert again.losses == found.losses
    np.testing.assert_array_equal(again.counts, found.counts)
    np.testing.assert_array_equal(again.vectors, found.vectors)
    np.testing.assert_array_equal(again.output, found.output)
    assert isinstance(again.vectors, np.memmap)
    assert again.most_similar("日本")[0][0] == found.most_similar("日本")[0][0]


def test_the_matrices_are_ordinary_safetensors(saved):
    from safetensors.numpy import load_file

    found, folder = saved
    np.testing.assert_array_equal(
        load_file(folder / "vectors.safetensors")["vectors"], found.vectors
    )


def test_saving_over_what_is_loaded_and_dropping_the_second_matrix(saved):
    _, folder = saved
    again = KeyedVectors.load(folder)
    again.save(folder)
    again = KeyedVectors.load(folder)
    KeyedVectors(again.keys, again.vectors).save(folder)
    last = KeyedVectors.load(folder)
    assert last.output is None
    assert last.counts is None
    files = ["vectors.json", "vectors.safetensors", "writer.lock"]
    assert sorted(path.name for path in folder.iterdir()) == files


def test_two_savings_at_once(tmp_path, monkeypatch):
    """The second begins when the first has put one of its files in place, and waits for the others:
    files of both would be refused."""
    one, other = drawn(), drawn(seed=1)
    begun, done = Event(), Event()
    replace = Path.replace

    def slow(path, target):
        replace(path, target)
        if not begun.is_set():
            begun.set()
            done.wait(0.5)  # in vain, where the second waits

    monkeypatch.setattr(Path, "replace", slow)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(one.save, tmp_path)
        begun.wait()
        other.save(tmp_path)
        done.set()
        first.result()
    np.testing.assert_array_equal(KeyedVectors.load(tmp_path).vectors, other.vectors)


def test_a_saving_that_lasts_too_long_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("embedsearch.word2vec.folder._PATIENCE_S", 0.0)
    with writer_lock(tmp_path), pytest.raises(LockedError, match=r"write again when it is done$"):
        drawn().save(tmp_path)


def test_what_a_killed_saving_left_is_taken_away(saved):
    found, folder = saved
    mine = folder / "vectors.safetensors.old.partial"
    for path in (folder / "vectors.safetensors.0badcafe.partial", mine):
        path.touch()
    found.save(folder)
    assert list(folder.glob("*.partial")) == [mine]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("vectors.safetensors", lambda data: data[:-9], "cut short"),
        ("vectors.safetensors", lambda data: b"\xff" * len(data), "damaged"),
        ("vectors.safetensors", lambda data: b"", "damaged"),
        ("output.safetensors", lambda data: data[:100], "damaged"),
        ("vectors.json", lambda data: data[:-9], "damaged"),
        ("vectors.json", lambda data: b"[]", "format 1"),
        ("vectors.json", lambda data: data.replace(b'"w7"', b'"w8x"'), "interrupted"),
        ("vectors.json", lambda data: data.replace(b'"w7"', b"7"), "keys are not strings"),
        ("vectors.json", lambda data: data.replace(b'"counts"', b'"count"'), "counts"),
        (
            "vectors.json",
            lambda data: data.replace(b"[49, ", b"["),
            "vectors.json is damaged.*counts",
        ),
        ("vectors.json", lambda data: data.replace(b'"w7"', rb'"\ud800"'), "surrogates"),
    ],
)
def test_damaged_files_are_told(saved, name, change, message):
    _, folder = saved
    file = folder / name
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(IndexFileError, match=message):
        KeyedVectors.load(folder)


def test_files_of_two_savings_of_the_same_keys_are_not_mixed(saved, tmp_path):
    found, folder = saved
    other = KeyedVectors(
        found.keys, found.vectors + 1, counts=found.counts, output=found.output, losses=found.losses
    )
    other.save(tmp_path / "other")
    for name in ("vectors.json", "vectors.safetensors", "output.safetensors"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes((tmp_path / "other" / name).read_bytes())
        with pytest.raises(IndexFileError, match="interrupted"):
            KeyedVectors.load(folder)
        (folder / name).write_bytes(whole)
    assert KeyedVectors.load(folder).keys == found.keys


def test_what_cannot_be_written_leaves_what_was_there(saved, monkeypatch):
    found, folder = saved
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("embedsearch.word2vec.folder.os.fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        KeyedVectors(found.keys, found.vectors * 2).save(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_missing_files(saved, tmp_path):
    _, folder = saved
    (folder / "vectors.safetensors").unlink()
    with pytest.raises(NotFoundError, match=r"vectors\.safetensors"):
        KeyedVectors.load(folder)
    shutil.rmtree(folder)
    with pytest.raises(NotFoundError, match=r"vectors\.json"):
        KeyedVectors.load(folder)


def test_settings_are_json(saved):
    found, folder = saved
    settings = json.loads((folder / "vectors.json").read_text(encoding="utf-8"))
    assert settings["keys"] == found.keys
    assert settings["vector_size"] == 7


# gensim


def test_to_gensim_and_back():
    found = drawn(counts=np.arange(200)[::-1].copy())
    made = found.to_gensim()
    assert made.index_to_key == found.keys
    assert made.get_vecattr("w3", "count") == 196
    back = KeyedVectors.from_gensim(made)
    assert back.keys == found.keys
    np.testing.assert_array_equal(back.vectors, found.vectors)
    np.testing.assert_array_equal(back.counts, found.counts)


def test_from_a_trained_model_of_gensim():
    model = Word2Vec(sentences(50), vector_size=10, min_count=1, sg=1, workers=1, epochs=1)
    found = KeyedVectors.from_gensim(model)
    np.testing.assert_array_equal(found.vectors, model.wv.vectors)
    np.testing.assert_array_equal(found.output, model.syn1neg)
    assert found.counts[found.key_to_index["the"]] == 50


@pytest.mark.parametrize("other", ["model.kv", None, {"index_to_key": ["a"]}], ids=str)
def test_what_is_not_of_gensim(other):
    with pytest.raises(InputError, match="gensim"):
        KeyedVectors.from_gensim(other)
