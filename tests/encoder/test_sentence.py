import json
import logging
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from embedsearch.encoder import EngineName, SentenceEncoder
from embedsearch.encoder.torch_engine import quiet
from embedsearch.errors import DeviceError, InputError, ModelError, NotFoundError
from tests.contract.encoder_contract import LONG, sentence_transformer
from tests.encoder.tiny import VOCABULARY, edit_json, make_tiny_model

ROOT = Path(__file__).parents[2]


def load(folder: Path, engine: EngineName = "auto") -> SentenceEncoder:
    return SentenceEncoder.load(folder, device="cpu", engine=engine)


@pytest.fixture(params=["numpy", "openvino", "torch"])
def engine(request) -> EngineName:
    return request.param


def change_weights(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


def test_properties(tiny):
    encoder = load(tiny)
    assert encoder.name == str(tiny)
    assert encoder.engine == "openvino"
    assert encoder.device == "cpu"
    assert encoder.max_tokens == 62
    assert encoder.token_count(["a cat", ""]) == [2, 0]


def test_loading_does_not_import_torch(tiny):
    code = (
        "import sys; from embedsearch.encoder import EngineName, SentenceEncoder as E; "
        f"e = E.load({str(tiny)!r}); e.fingerprint, e.dim, e.max_tokens, e.tokens.count(['cat']), "
        "e.encode_query(['cat']); print([m for m in ('torch', 'transformers', "
        "'sentence_transformers', 'openvino') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_first_encoding_is_silent_and_offline(tiny, capfd, monkeypatch, caplog, engine):
    def refuse(*args):
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    load(tiny, engine).encode_query(["cat"])
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_surplus_weights_are_passed_over_silently(tmp_path, capfd, tiny, engine):
    """transformers reports tensors that no module asks for."""
    folder = make_tiny_model(tmp_path / "model")
    change_weights(folder, lambda t: t.update({"cls.extra": np.ones(3, dtype=np.float32)}))
    np.testing.assert_array_equal(
        load(folder, engine).encode_query(["cat"]), load(tiny, engine).encode_query(["cat"])
    )
    assert capfd.readouterr() == ("", "")


def test_logging_and_progress_bars_are_as_before(tiny):
    from transformers.utils import logging as transformers_logging

    logger = logging.getLogger("transformers")
    before = (list(logger.handlers), logger.level, logger.propagate)

    def interrupted():
        with quiet():
            assert not transformers_logging.is_progress_bar_enabled()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert transformers_logging.is_progress_bar_enabled()
    assert (list(logger.handlers), logger.level, logger.propagate) == before


def test_truncated_tokens_are_counted(tiny, tmp_path):
    encoder = load(tiny)
    words = LONG.split()
    assert encoder.truncated_tokens(["cat", LONG, ""]) == len(words) - 62
    assert encoder.truncated_tokens([" ".join(words[:62])]) == 0
    assert encoder.truncated_tokens([]) == 0
    prompted = load(make_tiny_model(tmp_path, prompts={"document": "the cat sat: "}))
    assert prompted.max_tokens == 58
    assert prompted.truncated_tokens([" ".join(words[:58])]) == 0
    assert prompted.truncated_tokens([" ".join(words[:60])]) == 2


def test_batch_tokens_do_not_change_vectors(tiny, engine):
    texts = [f"{'cat ' * n}sat" for n in range(7)]
    one = SentenceEncoder.load(tiny, device="cpu", engine=engine, batch_tokens=1)
    np.testing.assert_allclose(
        one.encode_document(texts), load(tiny, engine).encode_document(texts), atol=4e-3
    )
    with pytest.raises(InputError, match="batch_tokens must be at least 1, not 0"):
        SentenceEncoder.load(tiny, batch_tokens=0)


@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
def test_half_precision_weights_are_computed_in_float32(tmp_path, engine, stored):
    import torch
    from safetensors.torch import load_file, save_file

    folder = make_tiny_model(tmp_path)
    dtype = getattr(torch, stored)
    half = {name: t.to(dtype) for name, t in load_file(folder / "model.safetensors").items()}
    save_file(half, folder / "model.safetensors", metadata={"format": "pt"})
    edit_json(folder / "config.json", dtype=stored)
    vectors = load(folder, engine).encode_query(["the cat"])
    widened = {name: tensor.float() for name, tensor in half.items()}
    save_file(widened, folder / "model.safetensors", metadata={"format": "pt"})
    np.testing.assert_allclose(vectors, load(folder, engine).encode_query(["the cat"]), atol=1e-6)


def test_missing_weights_are_not_made_up(tmp_path):  # with auto: only torch takes the model
    folder = make_tiny_model(tmp_path)
    change_weights(folder, lambda t: t.pop("encoder.layer.1.output.dense.weight"))
    with pytest.raises(ModelError, match=r"the weights encoder\.layer\.1\.output\.dense\.weight:"):
        load(folder).encode_query(["cat"])


def test_a_missing_pooler_does_not_matter(tmp_path, tiny, engine):
    folder = make_tiny_model(tmp_path)
    change_weights(folder, lambda t: (t.pop("pooler.dense.weight"), t.pop("pooler.dense.bias")))
    np.testing.assert_allclose(
        load(folder, engine).encode_query(["cat"]),
        load(tiny, engine).encode_query(["cat"]),
        atol=1e-6,
    )


@pytest.mark.parametrize("key", ["intermediate_size", "hidden_size", "vocab_size"])
def test_weights_of_the_wrong_shape(tmp_path, engine, key):
    folder = make_tiny_model(tmp_path)
    edit_json(folder / "config.json", **{key: 48})
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(folder, engine).encode_query(["cat"])


def test_a_vector_that_is_not_finite(tmp_path, engine):
    folder = make_tiny_model(tmp_path)
    change_weights(folder, lambda t: t["embeddings.position_embeddings.weight"].fill(np.nan))
    with pytest.raises(ModelError, match="not finite, of text number 0"):
        load(folder, engine).encode_query(["cat"])


def test_settings_that_contradict_the_weights(tmp_path, engine):
    folder = make_tiny_model(tmp_path)
    edit_json(folder / "1_Pooling" / "config.json", word_embedding_dimension=31)
    with pytest.raises(ModelError, match=r"3[12] numbers.* 3[12].*settings contradict its weights"):
        load(folder, engine).encode_query(["cat"])


def test_no_room_for_text(tmp_path):
    with pytest.raises(ModelError, match="sees 3 tokens"):
        load(make_tiny_model(tmp_path, max_seq_length=3, prompts={"document": "the: "}))


def test_truncate_dim(tmp_path, engine):
    folder = make_tiny_model(tmp_path)
    full = load(folder, engine).encode_query(["cat"])
    edit_json(folder / "config_sentence_transformers.json", truncate_dim=8)
    encoder = load(folder, engine)
    assert encoder.dim == 8
    cut = full[:, :8] / np.linalg.norm(full[:, :8])
    np.testing.assert_allclose(encoder.encode_query(["cat"]), cut, atol=1e-5)


def test_dense_module(tmp_path, engine):
    folder = make_tiny_model(tmp_path)
    pooled = load(folder, engine).encode_query(["cat"])
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((32, 32)))[0][:16]
    dense = folder / "2_Dense"
    dense.mkdir()
    save_file({"linear.weight": rotation.astype(np.float32)}, dense / "model.safetensors")
    edit_json(
        dense / "config.json",
        in_features=32,
        out_features=16,
        bias=False,
        activation_function="torch.nn.modules.linear.Identity",
    )
    modules = json.loads((folder / "modules.json").read_text())
    modules[2] |= {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (folder / "modules.json").write_text(json.dumps(modules))
    encoder = load(folder, engine)
    expected = pooled @ rotation.T
    assert encoder.dim == 16
    np.testing.assert_allclose(
        encoder.encode_query(["cat"]), expected / np.linalg.norm(expected), atol=4e-3
    )


def make_static(folder: Path, truncation=None, **tensors) -> Path:
    make_tiny_model(folder / "tiny")
    edit_json(folder / "tiny" / "tokenizer.json", truncation=truncation)
    (folder / "tiny" / "tokenizer.json").rename(folder / "tokenizer.json")
    save_file({name.replace("_", "."): t for name, t in tensors.items()}, folder / WEIGHTS)
    kind = "sentence_transformers.models.StaticEmbedding"
    module = {"idx": 0, "name": "0", "path": "", "type": kind}
    (folder / "modules.json").write_text(json.dumps([module]))
    return folder


WEIGHTS = "model.safetensors"
ROWS = np.random.default_rng(0).standard_normal((len(VOCABULARY), 16)).astype(np.float32)
SCALE = np.random.default_rng(1).random(len(VOCABULARY))
PLACES = np.random.default_rng(2).integers(0, 40, len(VOCABULARY))
STATIC = {
    "float32": {"embedding_weight": ROWS},
    "float16": {"embedding_weight": ROWS.astype(np.float16)},
    "float64": {"embedding_weight": ROWS.astype(np.float64)},
    "beside another matrix": {"embedding_weight": ROWS, "another": ROWS[::-1].copy()},
    "of model2vec": {"embeddings": ROWS},
    "weighted": {"embeddings": ROWS, "weights": SCALE},
    "rows shared": {"embeddings": ROWS[:40], "mapping": PLACES},
    "weighted, shared": {"embeddings": ROWS[:40], "mapping": PLACES, "weights": SCALE},
}


@pytest.mark.parametrize("engine", ["auto", "numpy", "torch"])
@pytest.mark.parametrize("tensors", STATIC.values(), ids=STATIC)
def test_static_embeddings(tmp_path, engine, tensors):
    """No special tokens, no limit; the mean of the words' vectors, whoever saved them."""
    folder = make_static(tmp_path, **tensors)
    encoder = load(folder, engine)
    assert (encoder.dim, encoder.max_tokens, encoder.truncated_tokens([LONG])) == (16, 512, 0)
    expected = sentence_transformer(folder).encode(["cat dog", LONG], normalize_embeddings=True)
    vectors = encoder.encode_document(["cat dog", LONG, ""])
    half = any(tensor.dtype == np.float16 for tensor in tensors.values())
    np.testing.assert_allclose(vectors[:2], expected, atol=2e-3 if half else 1e-5)
    assert not vectors[2].any()


@pytest.mark.parametrize("engine", ["auto", "torch"])
@pytest.mark.parametrize("side", ["Right", "Left"])
def test_static_embeddings_of_a_tokenizer_that_cuts(tmp_path, engine, side):
    cut = {"direction": side, "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    folder = make_static(tmp_path, truncation=cut, embedding_weight=ROWS)
    encoder = load(folder, engine)
    assert (encoder.max_tokens, encoder.truncated_tokens([LONG])) == (4, LONG.count(" ") - 4)
    expected = sentence_transformer(folder).encode([LONG], normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode_document([LONG]), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("tensors", "match"),
    [
        ({"vectors": ROWS}, "no matrix of token vectors, embedding.weight or embeddings"),
        ({"embeddings": ROWS[0]}, "no matrix of token vectors"),
        ({"embeddings": ROWS.astype(np.int8)}, "stores its token vectors as I8"),
        ({"embeddings": ROWS[:9], "mapping": PLACES}, "its mapping names rows that are not there"),
        ({"embeddings": ROWS, "weights": SCALE[:9]}, r"weights of shape \(9,\) for \d+ tokens"),
    ],
)
def test_static_embeddings_that_make_no_sense(tmp_path, tensors, match):
    with pytest.raises(ModelError, match=match):
        load(make_static(tmp_path, **tensors)).encode_query(["cat"])


def test_a_transformer_without_sentence_transformers_settings_is_pooled_by_the_mean(tmp_path, tiny):
    folder = make_tiny_model(tmp_path)
    for name in ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"):
        (folder / name).unlink()
    encoder = load(folder)
    assert encoder.dim == 32
    assert encoder.max_tokens == 126  # the positions that the architecture has
    np.testing.assert_allclose(
        encoder.encode_query(["cat"]), load(tiny).encode_query(["cat"]), atol=1e-6
    )


def test_a_device_that_is_not_there_is_refused_at_once(tiny):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(DeviceError, match="device 'cuda' is not there"):
        SentenceEncoder.load(tiny, device="cuda")


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(NotFoundError, match="no model folder"):
        load(tmp_path / "nowhere")
