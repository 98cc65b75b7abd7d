"""Word vectors as a sentence encoder."""

from __future__ import annotations

import numpy as np
import pytest

from embedsearch.encoder import SentenceEncoder
from embedsearch.errors import InputError
from embedsearch.word2vec import KeyedVectors
from embedsearch.word2vec.sentence_model import save_sentence_model, sif_vectors


@pytest.fixture(scope="module")
def found() -> KeyedVectors:
    random = np.random.default_rng(0)
    keys = ["the", "cat", "sat", "on", "mat", "île", "café"]
    vectors = random.normal([3, 0, 0, 0, 0], size=(7, 5)).astype(np.float32)
    return KeyedVectors(keys, vectors, counts=np.array([900, 40, 30, 20, 8, 1, 1]))


@pytest.mark.parametrize("rows", [1, 3, 1 << 12])
def test_the_encoder_is_sif(tmp_path, found, monkeypatch, rows):
    monkeypatch.setattr("embedsearch.word2vec.sentence_model._ROWS_AT_A_TIME", rows)
    save_sentence_model(found, tmp_path / "model", weight=0.01)
    encoder = SentenceEncoder.load(tmp_path / "model")
    texts = ["The cat, the mat!", "on CAFÉ île", "unknown cat", "nothing here"]
    tokens = [["the", "cat", "the", "mat"], ["on", "café", "île"], ["cat"], []]
    share = found.counts / found.counts.sum()
    weights = dict(zip(found.keys, 0.01 / (0.01 + share), strict=True))
    mean = share @ (found.vectors * (0.01 / (0.01 + share))[:, None])
    vectors = encoder.encode_document(texts)
    # The common direction is taken out: it is that of the mean, but for what words scatter.
    common = _common(found, 0.01)
    assert abs(common @ mean) / np.linalg.norm(mean) > 0.9
    for vector, words in zip(vectors, tokens, strict=True):
        expected = sum((weights[word] * found[word] for word in words), np.zeros(5))
        expected = expected - common * (common @ expected)
        if words:
            expected /= np.linalg.norm(expected)
        np.testing.assert_allclose(vector, expected, atol=1e-5)


def _common(found: KeyedVectors, weight: float) -> np.ndarray:
    """The first principal component of drawn sentences, which the model works out by formula."""
    random = np.random.default_rng(1)
    share = found.counts / found.counts.sum()
    rows = random.choice(len(found), (40_000, 20), p=share)
    weighted = found.vectors * (weight / (weight + share))[:, None]
    drawn = np.linalg.svd(weighted[rows].mean(axis=1), full_matrices=False)[2][0]
    changed = sif_vectors(found.vectors, found.counts, weight)
    exact = np.linalg.svd(changed)[2][-1]  # the direction that nothing is left of
    assert abs(exact @ drawn) > 0.999
    np.testing.assert_allclose(changed @ exact, 0, atol=1e-5)
    return exact


def test_vectors_without_counts_are_refused(tmp_path, found):
    with pytest.raises(InputError, match="no counts"):
        save_sentence_model(KeyedVectors(found.keys, found.vectors), tmp_path)


def test_what_a_killed_saving_left_is_taken_away(tmp_path):
    (tmp_path / ".unfinished" / "1_Normalize").mkdir(parents=True)
    (tmp_path / ".unfinished" / "model.safetensors").touch()
    found = KeyedVectors(["emu"], np.ones((1, 2), np.float32), counts=np.array([3]))
    save_sentence_model(found, tmp_path)
    assert not (tmp_path / ".unfinished").exists()
