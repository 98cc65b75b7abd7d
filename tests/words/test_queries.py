"""Word vectors from files: training to a folder, asking and measuring it, searching with it."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from safetensors import SafetensorError

import embedsearch as es
from embedsearch.encoder import SentenceEncoder
from embedsearch.errors import InputError, LockedError, NotFoundError, StorageError
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.text.words import word_tokenizer
from embedsearch.words.plots import draw_words, project
from embedsearch.words.queries import (
    evaluate_words,
    load_vectors,
    nearest_words,
    parse_expression,
    train_words,
)
from tests.word2vec.texts import sentences

CONFIG = es.Word2VecConfig(vector_size=16, min_count=2, sample=0.0, epochs=8, deterministic=True)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    lines = (" ".join(sentence).capitalize() + "." for sentence in sentences(3000))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory, corpus):
    folder = tmp_path_factory.mktemp("model") / "words"
    train_words([corpus], folder, CONFIG)
    return folder


def test_the_report_and_the_folder(tmp_path, corpus):
    report = train_words([corpus], tmp_path / "words", CONFIG)
    vectors = es.KeyedVectors.load(tmp_path / "words")
    assert report.vocabulary == len(vectors)
    assert report.words == 15_000
    assert report.losses == vectors.losses
    assert json.loads((tmp_path / "words" / "config.json").read_text())["epochs"] == 8
    assert not (tmp_path / "words" / "checkpoint").exists()
    expected = es.train_word2vec(sentences(3000), CONFIG)
    assert vectors.keys == expected.keys
    np.testing.assert_array_equal(vectors.vectors, expected.vectors)


def test_the_folder_may_lie_among_the_texts(tmp_path, corpus):
    home = tmp_path / "notes"
    home.mkdir()
    (home / "text.txt").write_bytes(corpus.read_bytes())
    first = train_words([home], home / "words", CONFIG)
    again = train_words([home], home / "words", CONFIG)
    assert (again.words, again.losses) == (first.words, first.losses)
    train_words([home / "text.txt"], home, CONFIG)
    beside = train_words([home / "text.txt"], home, CONFIG)
    assert (beside.words, beside.losses) == (first.words, first.losses)


def killed(epoch):
    """Progress of a run that is interrupted after an epoch."""

    class Killed:
        def start(self, *_):
            pass

        def advance(self, *_):
            pass

        def note(self, message):
            if message.startswith(f"epoch {epoch}"):
                raise KeyboardInterrupt

    return Killed()


def test_an_interrupted_run_goes_on_where_the_folder_lies_among_the_texts(tmp_path, corpus):
    whole = train_words([corpus], tmp_path / "whole", CONFIG)
    home = tmp_path / "notes"
    home.mkdir()
    (home / "text.txt").write_bytes(corpus.read_bytes())
    with pytest.raises(KeyboardInterrupt):
        train_words([home], home / "words", CONFIG, progress=killed(5))
    assert (home / "words" / "checkpoint" / "state.json").is_file()
    found = train_words([home], home / "words", CONFIG)
    assert found.losses == whole.losses
    np.testing.assert_array_equal(
        es.KeyedVectors.load(home / "words").vectors,
        es.KeyedVectors.load(tmp_path / "whole").vectors,
    )


def test_a_second_training_into_the_folder_is_told_to_wait(tmp_path, corpus):
    class Second:
        error = None

        def start(self, *_):
            pass

        def advance(self, *_):
            pass

        def note(self, message):
            if message.startswith("epoch 2"):
                with pytest.raises(LockedError, match=r"wait|write again"):
                    train_words([corpus], tmp_path / "words", CONFIG)
                Second.error = True

    report = train_words([corpus], tmp_path / "words", CONFIG, progress=Second())
    assert Second.error
    assert len(report.losses) == 8
    assert es.KeyedVectors.load(tmp_path / "words").losses == report.losses


def test_a_training_that_cannot_be_leaves_no_folder(tmp_path, corpus):
    with pytest.raises(NotFoundError):
        train_words([tmp_path / "none"], tmp_path / "words", CONFIG)
    assert not (tmp_path / "words").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(NotFoundError):
        train_words([tmp_path / "none"], tmp_path / "mine", CONFIG)
    assert (tmp_path / "mine").is_dir()
    with pytest.raises(StorageError, match="Not a directory"):
        train_words([corpus], corpus / "words", CONFIG)


@pytest.mark.parametrize("broken", ["vectors", "model", "settings"])
def test_until_all_is_written_nothing_changes(tmp_path, corpus, monkeypatch, broken):
    folder = tmp_path / "words"
    train_words([corpus], folder, CONFIG)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    whole = train_words([corpus], tmp_path / "whole", CONFIG, start=folder)

    def full(*_, **__):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    def no_space(_path):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if broken == "model":
            patch.setattr("safetensors.numpy.save_file", full)
        elif broken == "vectors":
            patch.setattr("embedsearch.word2vec.folder.matrix_writer", lambda *_: no_space)
            patch.setattr("embedsearch.word2vec.checkpoint.Checkpoint.save", lambda *_: None)
        else:
            patch.setattr("embedsearch.words.queries.block_writer", lambda _: no_space)
        with pytest.raises(StorageError, match=r"No space left on device.*the same command"):
            train_words([corpus], folder, CONFIG, start=folder)
    after = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert {p: data for p, data in after.items() if "checkpoint" not in p.parts} == before
    found = train_words([corpus], folder, CONFIG, start=folder)  # the text is not learned twice
    assert found.losses == whole.losses
    assert {p.name for p in folder.iterdir()} == {p.name for p in (tmp_path / "whole").iterdir()}


def test_search_that_learned_from_the_text_alone(tmp_path, model):
    encoder = SentenceEncoder.load(model)
    assert encoder.dim == 16
    assert len(encoder.fingerprint) == 64
    with es.open(tmp_path / "notes.es", model=model) as collection:
        collection.upsert(
            [
                es.Document(id="animals", text="The horse eats and the sheep sleeps."),
                es.Document(id="metals", text="The copper melts and the tin bends."),
                es.Document(id="drinks", text="The milk boils and the juice cools."),
            ]
        )
        for query, expected in (("dog", "animals"), ("gold", "metals"), ("tea", "drinks")):
            hits = collection.search(query, k=3, mode="semantic")
            assert hits[0].document_id == expected


def test_going_on_from_a_folder(tmp_path, model):
    more = tmp_path / "more.txt"
    more.write_text("the lynx runs and sleeps\nthe lynx eats\n" * 50, encoding="utf-8")
    train_words([more], tmp_path / "next", CONFIG, start=model)
    found = es.KeyedVectors.load(tmp_path / "next")
    assert found.keys == [*es.KeyedVectors.load(model).keys, "lynx"]


def test_training_on_the_tokens_of_a_tokenizer(tmp_path, corpus):
    folder = tmp_path / "tok"
    folder.mkdir()
    word_tokenizer(["the", "cat", "dog", "gold", "and"]).save(str(folder / "tokenizer.json"))
    train_words([corpus], tmp_path / "words", CONFIG, tokenizer=folder)
    found = es.KeyedVectors.load(tmp_path / "words")
    assert set(found.keys) == {"the", "cat", "dog", "gold", "and", "[UNK]"}
    own = Tokenizer.load(tmp_path / "words" / "0_StaticEmbedding")
    assert own.encode("The cat").ids == Tokenizer.load(folder).encode("The cat").ids
    train_words([corpus], tmp_path / "words", CONFIG, start=tmp_path / "words")
    assert es.KeyedVectors.load(tmp_path / "words").keys == found.keys


def test_words_and_tokens_are_not_mixed(tmp_path, corpus, model):
    folder = tmp_path / "tok"
    folder.mkdir()
    word_tokenizer(["the", "cat"]).save(str(folder / "tokenizer.json"))
    with pytest.raises(InputError, match="vectors of words"):
        train_words([corpus], tmp_path / "words", CONFIG, tokenizer=folder, start=model)


@pytest.mark.parametrize(
    ("expression", "positive", "negative"),
    [
        ("king", ["king"], []),
        ("king - man + woman", ["king", "woman"], ["man"]),
        ("  - a + b-c  +  d_e ", ["b-c", "d_e"], ["a"]),
        ("+ c++", ["c++"], []),
    ],
)
def test_expressions(expression, positive, negative):
    assert parse_expression(expression) == (positive, negative)


@pytest.mark.parametrize("expression", ["", "king man", "king -", "king - - man", "+"])
def test_expressions_that_cannot_be_read(expression):
    with pytest.raises(InputError, match="king - man"):
        parse_expression(expression)


def test_nearest_words(model):
    vectors = load_vectors(model)
    assert nearest_words(vectors, "CAT + dog", 3) == vectors.most_similar(["cat", "dog"], topn=3)
    with pytest.raises(NotFoundError, match="gold"):
        nearest_words(vectors, "golds")
    accent = es.KeyedVectors(["café", "b"], np.eye(2, dtype=np.float32))
    assert nearest_words(accent, "Cafe\u0301") == [("b", 0)]


def test_vectors_from_a_file_of_word2vec(tmp_path, model):
    vectors = load_vectors(model)
    vectors.save_word2vec_format(tmp_path / "vectors.bin", binary=True)
    assert load_vectors(tmp_path / "vectors.bin").keys == vectors.keys


def test_files_of_the_same_name_and_a_file_that_is_named_twice(tmp_path, model):
    vectors = load_vectors(model)
    for name, rows in (
        ("one", "cat dog 9\ncat gold 1\ntea milk 8\n"),
        ("two", "cat dog 1\nx y 2\n"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pairs.txt").write_text(rows)
    (tmp_path / "one" / "questions.txt").write_text(": s\ncat dog iron gold\n")
    found = evaluate_words(
        vectors, [tmp_path / "one", tmp_path / "two", tmp_path / "one" / "questions.txt"]
    )
    assert {name: value.pairs for name, value in found.similarity.items()} == {
        str(tmp_path / "one" / "pairs.txt"): 3,
        str(tmp_path / "two" / "pairs.txt"): 2,
    }
    assert found.analogies.total.questions == 1


def test_evaluation(tmp_path, model):
    vectors = load_vectors(model)
    (tmp_path / "analogies.txt").write_text(": s\ncat dog iron gold\ncat x iron gold\n")
    (tmp_path / "pairs.txt").write_text("cat dog 9\ncat gold 1\ntea milk 8\nx y 1\n")
    found = evaluate_words(vectors, [tmp_path]).as_json()
    assert found["analogies"].keys() >= {"accuracy", "questions", "covered"}
    assert (found["analogies"]["questions"], found["analogies"]["covered"]) == (2, 1)
    assert found["similarity"]["pairs"]["covered"] == 3
    assert found["similarity"]["pairs"]["spearman"] > 0
    with pytest.raises(NotFoundError):
        evaluate_words(vectors, [tmp_path / "none.txt"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match="empty"):
        evaluate_words(vectors, [tmp_path / "empty"])


# reading


def test_files_of_many_kinds(tmp_path):
    (tmp_path / "a.txt").write_text("One two\n\nTHREE, four.\n")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"five six"))
    (tmp_path / "c.jsonl").write_text('{"id": 1, "title": "Seven", "text": "eight"}\n{bad\n')
    (tmp_path / "d.png").write_bytes(b"\x89PNG")
    assert list(es.read_sequences([tmp_path])) == [
        ["one", "two"],
        ["three", "four"],
        ["five", "six"],
        ["seven"],
        ["eight"],
    ]


def test_a_line_of_a_million_words_is_cut_between_words(tmp_path):
    words = [f"word{i}" for i in range(300_000)]
    (tmp_path / "long.txt").write_text(" ".join(words) + "\nend")
    found = list(es.read_sequences([tmp_path / "long.txt"]))
    assert [word for sequence in found for word in sequence] == [*words, "end"]
    assert len(found) > 2


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"fine\n\xe9t\xe9\n", InputError, r"x\.txt:2: not UTF-8 at byte 1"),
        (b"a\0b", InputError, "there is no text in"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, data, error, message):
    (tmp_path / "x.txt").write_bytes(data)
    with pytest.raises(error, match=message):
        list(es.read_sequences([tmp_path / "x.txt"]))


def test_no_file(tmp_path):
    with pytest.raises(NotFoundError):
        list(es.read_sequences([tmp_path / "none"]))
    with pytest.raises(InputError, match="there is no text"):
        list(es.read_sequences([tmp_path]))
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="--out names a folder"):
        train_words([tmp_path], tmp_path / "file", CONFIG)


# pictures


def test_near_vectors_are_near_in_the_plane():
    random = np.random.default_rng(0)
    centres = np.repeat(np.eye(3, 8), 12, axis=0)
    units = centres + random.normal(size=(36, 8)) * 0.05
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    places = project(units.astype(np.float32))
    assert places.min() >= 0
    assert places.max() <= 1
    group = np.arange(36) // 12
    distance = np.linalg.norm(places[:, None] - places[None], axis=2) + np.eye(36) * 9
    assert (group[distance.argmin(axis=1)] == group).all()


def test_a_picture_of_words(tmp_path, model):
    vectors = load_vectors(model)
    words = vectors.keys[:20]
    draw_words(vectors, words, tmp_path / "map.html", "a <title>")
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert all(f">{word}</text>" in page for word in words)
    assert "a &lt;title&gt;" in page
    pytest.importorskip("matplotlib")
    draw_words(vectors, words, tmp_path / "map.png", "words")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "count", "message"), [("map.gif", 9, r"map\.gif"), ("map.png", 2, "not 2")]
)
def test_pictures_that_cannot_be_drawn(tmp_path, model, name, count, message):
    vectors = load_vectors(model)
    with pytest.raises(InputError, match=message):
        draw_words(vectors, vectors.keys[:count], tmp_path / name, "")
