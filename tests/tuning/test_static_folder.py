"""A static model's folder, as sentence-transformers reads it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from embedsearch.text.tokenizer import Tokenizer
from embedsearch.text.words import word_tokenizer
from embedsearch.tuning.static_folder import fill_static_folder
from embedsearch.word2vec import KeyedVectors
from embedsearch.word2vec.sentence_model import save_sentence_model

WORDS = ["lynx", "emu", "auk"]


def test_sentence_transformers_loads_it(tmp_path):
    from sentence_transformers import SentenceTransformer

    tokenizer = Tokenizer(word_tokenizer(WORDS))
    tokens = np.random.default_rng(0).standard_normal((tokenizer.vocab_size, 6), dtype=np.float32)
    fill_static_folder(tmp_path, tokens, tokenizer.save)
    model = SentenceTransformer(str(tmp_path), device="cpu")
    lynx, emu = (tokens[tokenizer.token_to_id(word)] for word in ("lynx", "emu"))
    expected = (2 * lynx + emu) / np.linalg.norm(2 * lynx + emu)
    np.testing.assert_allclose(model.encode(["lynx emu lynx"])[0], expected, atol=1e-6)
    assert model.similarity_fn_name == "cosine"


def test_files_can_be_read_by_whom_the_umask_lets(tmp_path):
    tokenizer = Tokenizer(word_tokenizer(WORDS))
    before = os.umask(0o027)
    try:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        fill_static_folder(folder, np.zeros((tokenizer.vocab_size, 6), "f4"), tokenizer.save)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.rglob("*"))}
    assert modes["model.safetensors"] == modes["modules.json"] == 0o640
    assert modes[folder.name] == modes["1_Normalize"] == 0o750


def test_word_vectors_take_the_place_of_an_earlier_model(tmp_path):
    from sentence_transformers import SentenceTransformer

    def saved(seed):
        vectors = np.random.default_rng(seed).standard_normal((3, 6), dtype=np.float32)
        found = KeyedVectors(WORDS, vectors, counts=np.array([3, 2, 1]))
        save_sentence_model(found, tmp_path)
        return SentenceTransformer(str(tmp_path), device="cpu").encode(["emu auk"])[0]

    (tmp_path / "vectors.json").write_text("the word vectors themselves")
    assert not np.allclose(saved(0), saved(1))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "0_StaticEmbedding",
        "1_Normalize",
        "config_sentence_transformers.json",
        "modules.json",
        "vectors.json",
        "writer.lock",
    ]
