"""Static models against NumPy, sentence-transformers and the encoder they come from."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.numpy import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from embedsearch.encoder import SentenceEncoder
from embedsearch.encoder.bags import ROUNDS, bags_of, fit_tokens
from embedsearch.encoder.static import StaticConfig, distil_static
from embedsearch.encoder.static_folder import write_static
from embedsearch.encoder.token_rows import read_vocabulary
from embedsearch.errors import InputError, ModelError, NotFoundError, StorageError
from embedsearch.types import SILENT
from tests.contract.encoder_contract import sentence_transformer
from tests.encoder.tiny import TINY_DIM, VOCABULARY, make_tiny_model

TEXTS = [
    "A cat sat on the mat.",
    "How do I log in to my account?",
    "bread",
    "日本語 Ünïcödé 🚀\x00 end",
    "the river flows to the sea " * 300,
]
CORPUS = [
    "how do i log in to my account when i forgot the password",
    "the stock market fell as the bank raised the interest rate and investors sold shares",
    "preheat the oven then bake the bread with flour water salt and yeast for an hour",
    "the rocket launched into space and the satellite orbits the planet and the moon",
] * 30


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def distilled(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("static") / "plain"
    distil_static(tiny, folder, StaticConfig(dims=TINY_DIM))
    return folder


def model2vec_by_hand(folder: Path, sif: float) -> np.ndarray:
    """Mean of the last layer over [CLS] token [SEP], PCA in all directions, SIF over Zipf ranks;
    one row for each token that stands for text (model2vec.distill, release 0.10)."""
    import torch
    from transformers import AutoModel

    ids = [1, *range(5, len(VOCABULARY))]  # the unknown token, then those after the special ones
    model = AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        rows = torch.tensor([[2, i, 3] for i in ids])
        mean = model(rows).last_hidden_state.mean(1).double().numpy()
    centred = mean - mean.mean(axis=0)
    rotated = centred @ np.linalg.eigh(centred.T @ centred)[1]
    inverse_rank = 1 / np.arange(2, len(ids) + 2)
    probability = inverse_rank / inverse_rank.sum()
    return rotated * (sif / (sif + probability))[:, None]


def test_without_a_corpus_it_is_model2vec(tiny, distilled):
    """A rotation aside, which no cosine sees: so Gram matrices are compared."""
    rows = load_file(distilled / "model.safetensors")["embedding.weight"]
    found = rows[[1, *range(5, len(VOCABULARY))]].astype(np.float64)
    expected = model2vec_by_hand(tiny, StaticConfig.sif)
    found_gram, expected_gram = found @ found.T, expected @ expected.T
    scale = np.trace(expected_gram) / np.trace(found_gram)
    np.testing.assert_allclose(found_gram * scale, expected_gram, atol=1e-4 * expected_gram.max())
    assert not rows[[0, 2, 3, 4]].any()  # [PAD] [CLS] [SEP] [MASK]


def test_fewer_dims_are_the_best_subspace(tiny, distilled, tmp_path):
    distil_static(tiny, tmp_path / "small", StaticConfig(dims=8))
    whole = load_file(distilled / "model.safetensors")["embedding.weight"]
    small = load_file(tmp_path / "small" / "model.safetensors")["embedding.weight"]
    assert small.shape == (len(VOCABULARY), 8)
    singular = np.linalg.svd(whole, compute_uv=False)  # Eckart and Young 1936
    np.testing.assert_allclose(np.linalg.norm(small) ** 2, (singular[:8] ** 2).sum(), rtol=1e-4)


@pytest.mark.parametrize("corpus", [None, CORPUS])
def test_every_loader_gives_the_same_vectors(tiny, tmp_path, corpus):
    report = distil_static(tiny, tmp_path / "m", StaticConfig(dims=16), corpus=corpus)
    encoder, oracle = SentenceEncoder.load(tmp_path / "m"), sentence_transformer(tmp_path / "m")
    vectors = encoder.encode_document(TEXTS)
    np.testing.assert_allclose(vectors, oracle.encode(TEXTS), atol=1e-6)
    weights = load_file(tmp_path / "m" / "model.safetensors")["embedding.weight"]
    for text, vector in zip(TEXTS, vectors, strict=True):
        total = weights[encoder.tokens.encode(text, special_tokens=False).ids].sum(axis=0)
        np.testing.assert_allclose(vector, total / np.linalg.norm(total), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (report.dims, report.fingerprint) == (encoder.dim, encoder.fingerprint)
    assert encoder.dim == 16
    assert (report.passages > 0) == (corpus is not None)


def test_long_texts_are_read_whole(distilled):
    """The tokenizer of an encoder truncates; that of a static model must not."""
    encoder = SentenceEncoder.load(distilled)
    whole, cut = encoder.encode_document(["cat " * 2000 + "moon " * 6000, "cat " * 2000])
    assert (whole @ cut).item() < 0.9


def test_what_it_learns_is_the_encoder_s_vectors_about_their_mean(tiny, distilled, tmp_path):
    """With fewer texts than tokens the fit can reach them all; each is one passage."""
    texts = [" ".join(text.split()[:8]) for text in CORPUS[:4]]
    texts += [" ".join(text.split()[4:10]) for text in CORPUS[:4]]
    config = StaticConfig(dims=TINY_DIM, ridge=1e-3)
    assert distil_static(tiny, tmp_path / "m", config, corpus=texts).passages == 8
    wanted = SentenceEncoder.load(tiny).encode_document(texts)
    wanted = wanted - wanted.mean(axis=0)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    taught = SentenceEncoder.load(tmp_path / "m").encode_document(texts)
    np.testing.assert_allclose(taught @ taught.T, wanted @ wanted.T, atol=0.02)
    alone = SentenceEncoder.load(distilled).encode_document(texts)
    assert np.abs(alone @ alone.T - wanted @ wanted.T).max() > 0.05


def test_the_same_settings_make_the_same_model(tiny, tmp_path):
    config = StaticConfig(dims=16, passages=20)
    first = distil_static(tiny, tmp_path / "a", config, corpus=iter(CORPUS))
    again = distil_static(tiny, tmp_path / "b", config, corpus=CORPUS)
    other = distil_static(
        tiny, tmp_path / "c", StaticConfig(dims=16, passages=20, seed=1), corpus=CORPUS
    )
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.passages == 20


def test_the_folder_tells_where_it_comes_from(tiny, distilled):
    told = json.loads((distilled / "static_config.json").read_text())
    assert told["distilled_from"]["fingerprint"] == SentenceEncoder.load(tiny).fingerprint
    assert (told["dims"], told["sif"], told["ridge"]) == (TINY_DIM, 1e-4, StaticConfig.ridge)


# The fit


@given(
    rows=st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=1, max_size=8),
)
def test_bags_count_tokens(rows):
    counts = bags_of(rows, 6).toarray()
    expected = np.array([[row.count(token) for token in range(6)] for row in rows])
    np.testing.assert_array_equal(counts, expected)


def test_the_fit_solves_the_ridge_regression():
    random = np.random.default_rng(0)
    rows = [list(random.integers(0, 11, random.integers(1, 9))) for _ in range(40)]
    targets = random.standard_normal((40, 5)).astype(np.float32)
    tokens = random.standard_normal((12, 5)).astype(np.float32)
    found = fit_tokens(bags_of(rows, 12), targets, tokens, 0.5, SILENT)
    expected, counts = tokens.astype(np.float64), bags_of(rows, 12).toarray()
    for _ in range(ROUNDS):  # by the normal equations
        inputs = counts / np.linalg.norm(counts @ expected, axis=1, keepdims=True)
        normal = inputs.T @ inputs + 0.5 * np.eye(12)
        expected += np.linalg.solve(normal, inputs.T @ (targets - inputs @ expected))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    np.testing.assert_array_equal(found[11], tokens[11])  # no text has it


# Vocabularies


def test_a_byte_level_vocabulary(tmp_path):
    tokens = ["<s>", "</s>", "<unk>", "a", "b", "Ġ", "Ġa", "madeupword0001"]
    backend = Tokenizer(
        models.BPE({token: i for i, token in enumerate(tokens)}, [("Ġ", "a")], unk_token="<unk>")
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    backend.add_special_tokens(["<s>", "</s>", "<unk>"])
    backend.enable_truncation(4)
    backend.save(str(tmp_path / "tokenizer.json"))
    vocabulary = read_vocabulary(tmp_path / "tokenizer.json")
    assert vocabulary.ids == [2, 3, 4, 5, 6]
    assert (vocabulary.prefix, vocabulary.suffix) == ([0], [1])
    assert vocabulary.size == 8
    assert vocabulary.rows(["a a a a a a"]) == [[6] * 6]


# Bad input


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"dims": 0}, "dims must be at least 1, not 0"),
        ({"sif": 0.0}, "sif must be between 0 and 1"),
        ({"sif": 1.0}, "sif must be between 0 and 1"),
        ({"sif": float("nan")}, "sif must be between 0 and 1"),
        ({"passages": 0}, "passages must be at least 1"),
        ({"ridge": 0.0}, "ridge must be above 0"),
        ({"ridge": float("inf")}, "ridge must be above 0"),
        ({"dims": 2.5}, "dims must be a whole number, not 2.5"),
        ({"passages": True}, "passages must be a whole number"),
        ({"seed": "x"}, "seed must be a whole number"),
        ({"sif": "x"}, "sif must be a number"),
    ],
)
def test_settings_out_of_range(settings, part):
    with pytest.raises(InputError, match=part):
        StaticConfig(**settings)


def test_more_dims_than_the_encoder_has_are_all_it_has(tiny, tmp_path):
    assert distil_static(tiny, tmp_path / "m", StaticConfig(dims=999)).dims == TINY_DIM


@pytest.mark.parametrize("corpus", [[], ["", " \n\t"]])
def test_a_corpus_without_words(tiny, tmp_path, corpus):
    with pytest.raises(InputError, match="no word"):
        distil_static(tiny, tmp_path / "m", corpus=corpus)
    assert not (tmp_path / "m").exists()


def test_a_corpus_that_is_one_string(tiny, tmp_path):
    with pytest.raises(InputError, match="list of texts"):
        distil_static(tiny, tmp_path / "m", corpus="one string")


def test_awkward_texts_in_the_corpus(tiny, tmp_path):
    corpus = ["\ud800 lone", "\x00\x07", "日本語 " * 500, "word" * 10_000, "cat dog"]
    distil_static(tiny, tmp_path / "m", StaticConfig(dims=8), corpus=corpus)
    assert np.isfinite(SentenceEncoder.load(tmp_path / "m").encode_document(["cat"])).all()


def test_nothing_is_overwritten(tiny, tmp_path):
    kept = tmp_path / "mine"
    kept.mkdir()
    (kept / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="is there already"):
        distil_static(tiny, kept)
    assert (kept / "thesis.txt").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    assert distil_static(tiny, tmp_path / "empty").output == tmp_path / "empty"


def test_an_output_below_a_file(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="m cannot be written: "):
        distil_static("no model, which would be looked for later", tmp_path / "file" / "m")
    with pytest.raises(InputError, match="too long for a path"):
        distil_static(tiny, tmp_path / ("m" * 300))


def test_what_fails_leaves_nothing(tiny, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    def full_within_safetensors(*_):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    for failing in (full, full_within_safetensors):
        monkeypatch.setattr("safetensors.numpy.save_file", failing)
        with pytest.raises(StorageError, match="No space left"):
            distil_static(tiny, tmp_path / "m")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_tokenizer_that_the_disk_has_no_room_for(tiny, tmp_path):
    vocabulary = read_vocabulary(tiny / "tokenizer.json")
    home = tmp_path / "home"
    home.mkdir()

    def fill(folder, _tokens, save_tokenizer):
        (folder / "tokenizer.json").symlink_to("/dev/full")
        save_tokenizer(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("embedsearch.encoder.static_folder.fill_static_folder", fill)
        with pytest.raises(StorageError, match="No space left"):
            write_static(home / "m", vocabulary, np.zeros((vocabulary.size, 2), np.float32), {})
    assert list(home.iterdir()) == []


def test_the_output_may_be_where_one_stands_or_a_link(tiny, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    distil_static(tiny, ".", StaticConfig(dims=8))
    assert SentenceEncoder.load(".").dim == 8
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    distil_static(tiny, tmp_path / "link", StaticConfig(dims=8))
    assert SentenceEncoder.load(tmp_path / "there").dim == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "link", "there"]


def test_a_static_model_is_not_distilled_again(distilled, tmp_path):
    with pytest.raises(ModelError, match="static already"):
        distil_static(distilled, tmp_path / "m")


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(NotFoundError, match="nowhere"):
        distil_static("./nowhere", tmp_path / "m")


def test_prompts_of_the_encoder_are_not_taken_over(tmp_path):
    model = make_tiny_model(tmp_path / "tiny", prompts={"query": "query: "})
    distil_static(model, tmp_path / "m", StaticConfig(dims=8), corpus=CORPUS)
    encoder = SentenceEncoder.load(tmp_path / "m")
    np.testing.assert_array_equal(encoder.encode_query(["cat"]), encoder.encode_document(["cat"]))
