import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import embedsearch as es
from embedsearch.encoder.token_states import TokenModel
from embedsearch.errors import InputError, ModelError, NotFoundError
from tests.encoder.tiny import edit_json, make_tiny_model

SENTENCES = [
    "the cat sat on the mat",
    "the dog ran after the cat",
    "the stock market fell and the cat ran",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def model(folder):
    return TokenModel.load(folder, device="cpu")


def test_static_vectors_are_the_rows_of_the_matrix(folder, model):
    found = es.token_vectors(SENTENCES[0], model)
    matrix = load_file(folder / "model.safetensors")["embeddings.word_embeddings.weight"]
    ids = [token.id for token in found.tokens]
    assert found.static.dtype == found.contextual.dtype == np.float32
    np.testing.assert_array_equal(found.static, matrix[ids])
    units = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    for number, near in zip(ids, found.neighbours, strict=True):
        cosines = units @ units[number]
        cosines[number] = -np.inf
        best = np.argsort(-cosines)[: len(near)]
        np.testing.assert_allclose([cosine for _, cosine in near], cosines[best], atol=1e-5)
        assert near[0][0] == model.tokenizer._backend.id_to_token(int(best[0]))


def test_contextual_vectors_average_to_the_sentence(folder, model):
    encoder = es.SentenceEncoder.load(folder, device="cpu")
    for sentence, expected in zip(SENTENCES, encoder.encode_document(SENTENCES), strict=True):
        mean = es.token_vectors(sentence, model).contextual.mean(axis=0)
        np.testing.assert_allclose(mean / np.linalg.norm(mean), expected, atol=1e-5)


def test_tokens_and_json(folder):
    found = es.token_vectors("the cat", folder)
    assert [token.token for token in found.tokens] == ["[CLS]", "the", "cat", "[SEP]"]
    data = json.loads(json.dumps(found.as_json()))
    assert data["model"] == str(folder)
    assert data["count"] == len(data["static"]) == len(data["contextual"]) == 4
    np.testing.assert_allclose(data["static"], found.static, rtol=1e-6)


def test_a_word_in_several_sentences(folder, model):
    found = es.compare_word("Cat", SENTENCES, model)
    states = [es.token_vectors(sentence, model) for sentence in SENTENCES]
    rows = [[t.token for t in each.tokens].index("cat") for each in states]
    vectors = np.stack([each.contextual[row] for each, row in zip(states, rows, strict=True)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(found.contextual, vectors @ vectors.T, atol=1e-6)
    np.testing.assert_allclose(found.static, np.ones((3, 3)), atol=1e-6)
    assert found.contextual[0, 1] < 0.9999
    for each, sentence in zip(found.occurrences, SENTENCES, strict=True):
        assert each.sentence[each.start : each.end] == "cat"
        assert (each.sentence, each.tokens) == (sentence, ("cat",))


def test_a_word_of_several_tokens_is_their_mean(model):
    found = es.compare_word("xyz", ["the xyz sat", "xyz and the xyz"], model)
    assert [each.tokens for each in found.occurrences] == [("x", "##y", "##z")] * 3
    states = es.token_vectors("the xyz sat", model)
    first = states.contextual[2:5].mean(axis=0)
    again = es.token_vectors("xyz and the xyz", model).contextual[1:4].mean(axis=0)
    cosine = first @ again / np.linalg.norm(first) / np.linalg.norm(again)
    assert found.contextual[0, 1] == pytest.approx(cosine, abs=1e-5)
    np.testing.assert_allclose(found.static, np.ones((3, 3)), atol=1e-6)


@pytest.mark.parametrize(
    ("word", "sentences", "part"),
    [
        ("", ["a"], "is empty"),
        ("cat", [], "no sentences"),
        ("cat", "the cat", "a list of sentences"),
        ("cat", ["the cat"], "only once"),
        ("cat", ["the cat", "the cats"], "is not in 'the cats'"),
    ],
)
def test_words_that_cannot_be_compared(model, word, sentences, part):
    with pytest.raises(InputError, match=part):
        es.compare_word(word, sentences, model)


def test_a_text_that_is_too_long(model):
    with pytest.raises(InputError, match="202 tokens and the model sees 128"):
        es.token_vectors("cat " * 200, model)


def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def test_a_tokenizer_of_another_model(folder, tmp_path):
    copy = copied(folder, tmp_path)
    weights = load_file(copy / "model.safetensors")
    rows = len(weights["embeddings.word_embeddings.weight"])
    weights["embeddings.word_embeddings.weight"] = np.ascontiguousarray(
        weights["embeddings.word_embeddings.weight"][:-5]
    )
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    edit_json(copy / "config.json", vocab_size=rows - 5)
    with pytest.raises(ModelError, match=f"has {rows} ids .* {rows - 5} rows"):
        TokenModel.load(copy)


def test_models_that_cannot_be_loaded(folder, tmp_path):
    with pytest.raises(NotFoundError, match="nowhere"):
        TokenModel.load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"no config\.json"):
        TokenModel.load(tmp_path / "empty")
    copy = copied(folder, tmp_path)
    weights = load_file(copy / "model.safetensors")
    removed = next(name for name in weights if "layer.1.attention.self.query.weight" in name)
    del weights[removed]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="lacks the weights"):
        TokenModel.load(copy)
    (copy / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match="cannot be loaded"):
        TokenModel.load(copy)


PITCH = [
    "He threw a fast pitch and the batter swung.",
    "A wild pitch got past the catcher.",
    "The singer hit a high pitch on the last note.",
    "Her voice is on pitch in this song.",
    "The startup gave a sales pitch to investors.",
    "His elevator pitch won the client.",
]
"""Two each of baseball, music and sales."""


@pytest.mark.model
def test_pitch_parts_by_sense():
    found = es.compare_word("pitch", PITCH)
    np.testing.assert_allclose(found.static, np.ones((6, 6)), atol=1e-5)
    sense = np.repeat(np.arange(3), 2)
    same = (sense[:, None] == sense) & ~np.eye(6, dtype=bool)
    other = sense[:, None] != sense
    for row in range(6):  # the nearest to each is the other of its own sense
        assert found.contextual[row][same[row]].min() > found.contextual[row][other[row]].max()
