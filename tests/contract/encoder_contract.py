"""The suite that every Encoder passes, whatever engine computes its vectors.

Subclass `EncoderContract` in a test module as a class named `Test…` and override `make_encoder`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from embedsearch.errors import InputError
from embedsearch.types import Encoder
from tests.encoder.tiny import make_tiny_model

MakeEncoder = Callable[[Path], Encoder]

PROMPTS = {"query": "query: ", "document": "document: ", "other": "log in "}
TEXTS = [
    "A cat sat on the mat.",
    "How do I log in to my account?",
    "",
    "bread",
    "The stock market fell as the bank raised the interest rate. " * 3,
    "  \n\t ",
    "日本語 Ünïcödé 🚀\x00 end",
    "A cat sat on the mat.",
]
LONG = "the river flows from the mountain to the sea and the rain falls on the forest " * 20


class EncoderContract:
    tolerance = 1e-5
    """By how much a number of a vector may differ where nothing but rounding should."""

    @pytest.fixture(scope="class")
    @classmethod
    def make_encoder(cls) -> MakeEncoder:
        """How to make the encoder under test from a model folder."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def plain(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return make_tiny_model(tmp_path_factory.mktemp("plain"))

    @pytest.fixture(scope="class")
    @classmethod
    def prompted(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return make_tiny_model(tmp_path_factory.mktemp("prompted"), prompts=PROMPTS)

    @pytest.fixture(scope="class")
    @classmethod
    def encoder(cls, make_encoder: MakeEncoder, plain: Path) -> Encoder:
        return make_encoder(plain)

    def test_is_an_encoder(self, encoder: Encoder) -> None:
        assert isinstance(encoder, Encoder)
        assert encoder.engine
        assert encoder.dim == 32
        assert len(bytes.fromhex(encoder.fingerprint)) == 32

    def test_vectors_are_contiguous_float32_of_unit_length(self, encoder: Encoder) -> None:
        for vectors in (encoder.encode_query(TEXTS), encoder.encode_document(TEXTS)):
            assert vectors.dtype == np.float32
            assert vectors.flags.c_contiguous
            assert vectors.shape == (len(TEXTS), encoder.dim)
            np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

    @pytest.mark.parametrize(
        "prompts", [None, PROMPTS, {"query": "query: ", "passage": "passage: "}]
    )
    def test_equals_sentence_transformers(
        self, make_encoder: MakeEncoder, prompts: dict[str, str] | None, tmp_path: Path
    ) -> None:
        folder = make_tiny_model(tmp_path, prompts=prompts)
        encoder, oracle = make_encoder(folder), sentence_transformer(folder)
        texts = [*TEXTS, LONG]
        np.testing.assert_allclose(
            encoder.encode_query(texts),
            oracle.encode_query(texts, normalize_embeddings=True, show_progress_bar=False),
            atol=self.tolerance,
        )
        np.testing.assert_allclose(
            encoder.encode_document(texts),
            oracle.encode_document(texts, normalize_embeddings=True, show_progress_bar=False),
            atol=self.tolerance,
        )

    def test_each_side_has_its_prompt(
        self, make_encoder: MakeEncoder, plain: Path, prompted: Path
    ) -> None:
        encoder, bare = make_encoder(prompted), make_encoder(plain)
        query, document = encoder.encode_query(["cat"]), encoder.encode_document(["cat"])
        np.testing.assert_allclose(query, bare.encode_query(["query: cat"]), atol=self.tolerance)
        np.testing.assert_allclose(
            document, bare.encode_query(["document: cat"]), atol=self.tolerance
        )
        assert (query @ document.T).item() < 0.999

    def test_order_is_kept(self, encoder: Encoder) -> None:
        """Engines sort by length inside; the rows must not."""
        texts = [" ".join(["cat", "dog", "bread"][i % 3 :] * (1 + i % 5)) for i in range(70)]
        together = encoder.encode_document(texts)
        alone = np.vstack([encoder.encode_document([text]) for text in texts])
        np.testing.assert_allclose(together, alone, atol=self.tolerance)

    def test_equal_texts_have_equal_vectors(self, encoder: Encoder) -> None:
        first = encoder.encode_document(TEXTS)
        np.testing.assert_array_equal(first, encoder.encode_document(TEXTS))
        np.testing.assert_allclose(first[0], first[7], atol=self.tolerance)

    def test_words_decide_similarity(self, encoder: Encoder) -> None:
        query = encoder.encode_query(["the cat on the mat"])
        cat, market = encoder.encode_document(
            ["A cat sat on a mat", "investors sold shares as the stock market fell"]
        )
        assert (query @ cat).item() > (query @ market).item() + 0.1

    def test_no_texts(self, encoder: Encoder) -> None:
        for vectors in (encoder.encode_query([]), encoder.encode_document([])):
            assert vectors.shape == (0, encoder.dim)
            assert vectors.dtype == np.float32

    def test_any_sequence_of_strings_will_do(self, encoder: Encoder) -> None:
        np.testing.assert_array_equal(
            encoder.encode_query(("cat", "dog")), encoder.encode_query(["cat", "dog"])
        )

    def test_a_lone_surrogate_is_refused_with_its_place(self, encoder: Encoder) -> None:
        with pytest.raises(InputError, match="text number 1 has a lone surrogate at character 3"):
            encoder.encode_document(["fine", "not\ud800fine"])

    @pytest.mark.parametrize("texts", ["a string", [None], [b"bytes"]])
    def test_what_is_no_list_of_strings_is_refused(
        self, encoder: Encoder, texts: list[str]
    ) -> None:
        with pytest.raises(InputError, match="string"):
            encoder.encode_query(texts)

    @pytest.mark.parametrize("folder", ["plain", "prompted"])
    def test_max_tokens_is_the_edge_of_what_is_seen(
        self, make_encoder: MakeEncoder, folder: str, request: pytest.FixtureRequest
    ) -> None:
        encoder = make_encoder(request.getfixturevalue(folder))
        seen = ["cat"] * (encoder.max_tokens - 1)
        assert encoder.tokens.count([" ".join(seen)]) == [encoder.max_tokens - 1]
        bread, dog, bread_and_dog = encoder.encode_document(
            [" ".join([*seen, *tail]) for tail in (["bread"], ["dog"], ["bread", "dog"])]
        )
        seen_apart, cut_off = np.linalg.norm(bread - dog), np.linalg.norm(bread - bread_and_dog)
        assert cut_off < seen_apart / 3


def sentence_transformer(folder: Path):
    """sentence-transformers, used as its documentation says."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)
