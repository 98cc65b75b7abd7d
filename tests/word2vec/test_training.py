"""Training: what is learned, what repeats, what goes on, what is refused."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from embedsearch.errors import DeviceError, InputError, StorageError
from embedsearch.word2vec import (
    KeyedVectors,
    Word2VecConfig,
    corpus,
    train_word2vec,
    training,
)
from embedsearch.word2vec.checkpoint import remove_checkpoint
from embedsearch.word2vec.torch_training import TorchTrainer
from tests.word2vec.texts import ENDS, GROUPS, sentences

SMALL = {"vector_size": 16, "window": 3, "min_count": 1, "sample": 0.0}


class Told:
    """Progress that remembers; `at_note` is called with each remark."""

    def __init__(self, at_note=lambda message: None):
        self.stages, self.done, self.notes, self.at_note = [], [], [], at_note

    def start(self, description, total, unit):
        self.stages.append((description, total, unit))
        self.done.append(0)

    def advance(self, amount):
        self.done[-1] += amount

    def note(self, message):
        self.notes.append(message)
        self.at_note(message)


def same(one: KeyedVectors, other: KeyedVectors) -> bool:
    return (
        one.keys == other.keys
        and np.array_equal(one.vectors, other.vectors)
        and np.array_equal(one.output, other.output)
        and one.losses == other.losses
    )


def groups_are_found(vectors: KeyedVectors) -> bool:
    """Whether the nearest word of each noun is one of its own kind."""
    return all(
        vectors.most_similar(noun, topn=1)[0][0] in (*nouns, *ENDS[group])
        for group, nouns in GROUPS.items()
        for noun in nouns
    )


@pytest.mark.parametrize("workers", [1, 2, 0])
def test_words_of_a_kind_come_together(workers):
    text = sentences(4000)
    vectors = train_word2vec(text, Word2VecConfig(**SMALL, epochs=10, workers=workers))
    assert groups_are_found(vectors)
    assert vectors.vectors.dtype == np.float32
    assert vectors.vectors.flags.c_contiguous
    assert vectors.vectors.shape == (len(vectors.keys), 16)
    assert vectors.counts.sum() == sum(map(len, text))
    assert vectors.keys[0] == "the"
    assert (np.diff(vectors.counts) <= 0).all()
    assert len(vectors.losses) == 10
    assert vectors.losses[-1] < vectors.losses[0]


def test_sequences_may_come_from_a_generator_and_be_tuples():
    text = sentences(300)
    config = Word2VecConfig(**SMALL, epochs=2, deterministic=True)
    assert same(
        train_word2vec(text, config), train_word2vec((tuple(each) for each in text), config)
    )


def test_deterministic_training_is_bit_equal_whatever_the_workers():
    text = sentences(20_000)  # more than one block
    found = [
        train_word2vec(
            text, Word2VecConfig(**SMALL, epochs=2, deterministic=True, workers=workers, seed=5)
        )
        for workers in (1, 3)
    ]
    assert same(*found)
    other = train_word2vec(text, Word2VecConfig(**SMALL, epochs=2, deterministic=True, seed=6))
    assert not np.array_equal(other.vectors, found[0].vectors)


def test_progress_tells_words_and_losses():
    told = Told()
    text = sentences(500)
    vectors = train_word2vec(text, Word2VecConfig(**SMALL, epochs=3), progress=told)
    words = sum(map(len, text))
    assert told.stages == [("reading", None, "words"), ("training", 3 * words, "words")]
    assert told.done == [words, 3 * words]
    epochs = [note for note in told.notes if note.startswith("epoch")]
    assert [note.split(",")[0] for note in epochs] == [
        f"epoch {number} of 3: loss {loss:.4f}" for number, loss in enumerate(vectors.losses, 1)
    ]


def test_min_count_and_max_vocab():
    text = [["a", "b", "c"]] * 5 + [["a", "b", "d"]] * 3 + [["a", "e"]]
    found = train_word2vec(text, Word2VecConfig(**SMALL | {"min_count": 3}, epochs=1))
    assert found.keys == ["a", "b", "c", "d"]
    assert found.counts.tolist() == [9, 8, 5, 3]
    found = train_word2vec(text, Word2VecConfig(**SMALL, max_vocab=2, epochs=1))
    assert found.keys == ["a", "b"]


def test_a_million_words_in_one_line_and_words_alone():
    line = ["a", "b", "c", "d"] * 250_000
    found = train_word2vec([["x"], line, ["y"], []], Word2VecConfig(**SMALL, epochs=1))
    assert found.keys == ["a", "b", "c", "d", "x", "y"]
    assert np.isfinite(found.vectors).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ([], "no words"),
        ([[]], "no words"),
        ([["a"], ["b"]], "no sequence has two words side by side"),
        (["a text"], "split it"),
        ([[b"a", b"b"]], "not bytes"),
        ([[1, 2]], "not int 2"),
        ([[["a"], "b"]], "list of strings"),
        ([3], "list of strings"),
        ([["a", "\ud800"]], "lone surrogate"),
    ],
)
def test_texts_that_cannot_be_learned_from(text, message):
    with pytest.raises(InputError, match=message):
        train_word2vec(text, Word2VecConfig(**SMALL))


def test_errors_of_the_text_itself_come_through():
    def text():
        yield ["a", "b"]
        raise FileNotFoundError("gone")

    with pytest.raises(FileNotFoundError, match="gone"):
        train_word2vec(text(), Word2VecConfig(**SMALL))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("words", [2, 1 << 21])
def test_a_full_disk_is_told(words):
    with pytest.raises(StorageError, match="No space left"):
        corpus.Scan([["a"] * words], Path("/dev/full"))


def test_a_vocabulary_that_min_count_empties():
    for often, told in ((3, "occurs 3 times"), (1, "occurs 1 time;")):
        with pytest.raises(InputError, match=f"min_count is 9 and the most frequent, 'a', {told}"):
            train_word2vec([["a", "b"]] * often, Word2VecConfig(min_count=9))


@pytest.mark.parametrize(
    "setting",
    [
        {"vector_size": 0},
        {"vector_size": 2.5},
        {"window": 0},
        {"negative": 0},
        {"epochs": True},
        {"max_vocab": 0},
        {"sample": -1},
        {"sample": float("nan")},
        {"alpha": 0},
        {"min_alpha": 0.5},
        {"seed": -1},
        {"workers": -2},
        {"ns_exponent": "high"},
        {"deterministic": True, "device": "cuda"},
        {"device": "mps"},
    ],
    ids=str,
)
def test_settings_that_make_no_sense(setting):
    with pytest.raises(InputError, match=next(iter(setting))):
        Word2VecConfig(**setting)


@pytest.mark.parametrize("setting", [{"alpha": 1.0}, {"negative": 1000}])
def test_a_training_that_bursts_is_told_and_leaves_nothing(tmp_path, setting):
    text = [["a", "b", "c", "d"] * 10] * 20
    config = Word2VecConfig(
        **SMALL | {"vector_size": 8, "window": 5} | setting, epochs=20, workers=1
    )
    with pytest.raises(InputError, match="beyond all bounds; try alpha="):
        train_word2vec(text, config, checkpoint=tmp_path / "checkpoint")
    state = tmp_path / "checkpoint" / "state.json"
    assert not state.exists() or "NaN" not in state.read_text()


def test_a_sample_that_leaves_nothing_is_told():
    told = Told()
    text, config = [["a", "b"]] * 20, Word2VecConfig(**SMALL | {"sample": 1e-300}, epochs=2)
    train_word2vec(text, config, progress=told)
    assert told.notes[-1].startswith("nothing was learned: sample=1e-300")
    train_word2vec(text, Word2VecConfig(**SMALL, epochs=2), progress=told)
    assert told.notes[-1].startswith("epoch 2")


# going on


def test_an_interrupted_run_goes_on_after_its_last_epoch(tmp_path):
    text = sentences(2000)
    config = Word2VecConfig(**SMALL, epochs=5, deterministic=True)
    whole = train_word2vec(text, config)

    def interrupt(message):
        if message.startswith("epoch 4"):
            raise KeyboardInterrupt

    folder = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        train_word2vec(text, config, checkpoint=folder, progress=Told(interrupt))
    told = Told()
    assert same(train_word2vec(text, config, checkpoint=folder, progress=told), whole)
    assert told.notes[0] == "going on after epoch 3 of 5"
    assert sum(note.startswith("epoch") for note in told.notes) == 2
    assert same(train_word2vec(text, config, checkpoint=folder), whole)  # nothing is trained again
    remove_checkpoint(folder)
    assert not folder.exists()


@pytest.mark.parametrize("change", ["text", "settings", "damage"])
def test_a_checkpoint_of_another_run_is_not_taken(tmp_path, change):
    text = sentences(500)
    config = Word2VecConfig(**SMALL, epochs=3)

    def interrupt(message):
        if message.startswith("epoch 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_word2vec(text, config, checkpoint=tmp_path, progress=Told(interrupt))
    (tmp_path / "other.txt").write_text("mine")
    if change == "text":
        text = sentences(500, seed=1)
    elif change == "settings":
        config = Word2VecConfig(**SMALL, epochs=4)
    else:
        file = next(tmp_path.glob("syn1-*"))
        file.write_bytes(file.read_bytes()[:-1])
    (tmp_path / "state.json.1234.partial").write_text("of a process that was killed")
    told = Told()
    train_word2vec(text, config, checkpoint=tmp_path, progress=told)
    remove_checkpoint(tmp_path)
    assert not any(note.startswith("going on") for note in told.notes)
    assert "from the beginning" in told.notes[0]
    assert [path.name for path in tmp_path.iterdir()] == ["other.txt"]


def test_training_goes_on_with_new_text_and_new_words():
    config = Word2VecConfig(**SMALL, epochs=10, deterministic=True)
    start = train_word2vec(sentences(3000), config)
    new = [["the", each, "meows", "and", "purrs"] for each in ("cat", "lynx")] * 1500
    found = train_word2vec(new, config, start=start)
    assert found.keys == [*start.keys, "meows", "purrs", "lynx"]
    assert found.counts[found.key_to_index["cat"]] == start.counts[start.key_to_index["cat"]] + 1500
    assert found.counts[found.key_to_index["gold"]] == start.counts[start.key_to_index["gold"]]
    assert "cat" in [word for word, _ in found.most_similar("lynx", topn=3)]
    assert found.similarity("gold", "iron") == pytest.approx(
        start.similarity("gold", "iron"), abs=0.1
    )


def test_going_on_without_new_words_or_without_the_second_matrix():
    config = Word2VecConfig(**SMALL, epochs=2)
    start = train_word2vec(sentences(300), config)
    bare = KeyedVectors(start.keys, start.vectors)
    for each in (start, bare):
        found = train_word2vec([["cat", "dog"]] * 50, config, start=each)
        assert found.keys == start.keys
        assert not np.array_equal(found["cat"], start["cat"])
        np.testing.assert_array_equal(found.output.shape, start.vectors.shape)


def test_going_on_with_another_size_is_refused():
    start = train_word2vec(sentences(100), Word2VecConfig(**SMALL, epochs=1))
    config = Word2VecConfig(**SMALL | {"vector_size": 8})
    with pytest.raises(InputError, match="set vector_size=16"):
        train_word2vec(sentences(100), config, start=start)


# the GPU's trainer, on the CPU


@pytest.mark.filterwarnings("ignore")
def test_the_torch_trainer_learns_the_same(monkeypatch):
    text = sentences(4000)
    config = Word2VecConfig(**SMALL, epochs=10, workers=1)
    ours = train_word2vec(text, config)
    monkeypatch.setattr(
        training,
        "CpuTrainer",
        lambda corpus, config, matrices: TorchTrainer(corpus, config, matrices, "cpu"),
    )
    theirs = train_word2vec(text, config)
    assert groups_are_found(theirs)
    assert theirs.losses[-1] == pytest.approx(ours.losses[-1], rel=0.05)


@pytest.mark.gpu
def test_training_on_a_gpu():
    vectors = train_word2vec(sentences(4000), Word2VecConfig(**SMALL, epochs=10, device="cuda"))
    assert groups_are_found(vectors)


def test_a_device_that_is_not_there():
    with pytest.raises(DeviceError, match="cuda:99"):
        train_word2vec(sentences(10), Word2VecConfig(device="cuda:99"))


def test_threads_end_when_one_fails(monkeypatch):
    monkeypatch.setattr(training, "BLOCK_IDS", 1 << 8)
    before = threading.active_count()

    class Failing(Told):
        def advance(self, amount):
            super().advance(amount)
            if self.stages[-1][0] == "training" and self.done[-1] > 2000:
                raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        train_word2vec(
            sentences(5000), Word2VecConfig(**SMALL, workers=2, epochs=1), progress=Failing()
        )
    assert threading.active_count() == before
