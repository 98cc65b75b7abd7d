"""Every engine against sentence-transformers, and which one is taken."""

import json
import logging
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from embedsearch.device import best_device
from embedsearch.encoder import EngineName, SentenceEncoder, engine_of, numpy_engine
from embedsearch.encoder import engine as engines
from embedsearch.encoder.engine import SMALL_CHARACTERS
from embedsearch.encoder.resolve import bundled_model
from embedsearch.encoder.torch_engine import _half_precision
from embedsearch.errors import DependencyError, InputError, ModelError
from tests.contract.encoder_contract import (
    LONG,
    TEXTS,
    EncoderContract,
    MakeEncoder,
    sentence_transformer,
)
from tests.encoder.tiny import edit_json, make_tiny_model
from tests.support import after_a_fork, needs_fork

ROOT = Path(__file__).parents[2]
HALF_PRECISION = 4e-3
"""What bfloat16 products move a number of a unit vector by, at most, where the CPU has them."""


def load(folder: Path, engine: EngineName = "auto") -> SentenceEncoder:
    return SentenceEncoder.load(folder, device="cpu", engine=engine)


class TestNumpy(EncoderContract):
    @pytest.fixture(scope="class")
    @classmethod
    def make_encoder(cls) -> MakeEncoder:
        return lambda folder: load(folder, "numpy")


class TestOpenVino(EncoderContract):
    tolerance = HALF_PRECISION

    @pytest.fixture(scope="class")
    @classmethod
    def make_encoder(cls) -> MakeEncoder:
        return lambda folder: load(folder, "openvino")


class TestTorch(EncoderContract):
    tolerance = HALF_PRECISION

    @pytest.fixture(scope="class")
    @classmethod
    def make_encoder(cls) -> MakeEncoder:
        return lambda folder: load(folder, "torch")


class TestAuto(EncoderContract):
    tolerance = HALF_PRECISION

    @pytest.fixture(scope="class")
    @classmethod
    def make_encoder(cls) -> MakeEncoder:
        return load


@pytest.mark.gpu
class TestTorchOnTheGpu(EncoderContract):
    tolerance = HALF_PRECISION

    @pytest.fixture(scope="class")
    @classmethod
    def make_encoder(cls) -> MakeEncoder:
        if best_device() != "cuda":
            pytest.skip("no CUDA device")
        return lambda folder: SentenceEncoder.load(folder, device="cuda", engine="torch")


FAMILIES = {
    "bert": ("BertConfig", {"type_vocab_size": 2}),
    "roberta": ("RobertaConfig", {"type_vocab_size": 1, "pad_token_id": 0}),
    "xlm-roberta": ("XLMRobertaConfig", {"type_vocab_size": 1, "pad_token_id": 1}),
    "camembert": ("CamembertConfig", {"type_vocab_size": 1, "pad_token_id": 1}),
    "mpnet": ("MPNetConfig", {"pad_token_id": 1}),
    "distilbert": ("DistilBertConfig", {}),
}


def make_family(folder: Path, kind: str, activation: str = "gelu") -> Path:
    """The tiny model with a random transformer of another architecture, saved by transformers."""
    import torch
    import transformers

    make_tiny_model(folder)
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    name, extra = FAMILIES[kind]
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 48, "hidden_act": activation}
    if kind == "distilbert":
        sizes = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "activation": activation}
    config = getattr(transformers, name)(
        vocab_size=len(vocabulary), max_position_embeddings=300, **sizes, **extra
    )
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(config)
    with torch.no_grad():  # as drawn, the layers would hardly move a vector
        for parameter in model.parameters():
            parameter.mul_(5).add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("engine", ["numpy", "openvino"])
@pytest.mark.parametrize("kind", FAMILIES)
def test_every_family(tmp_path, kind, engine):
    """Texts as long as MPNet's distances need, and one with a padding token in its midst."""
    folder = make_family(tmp_path, kind)
    edit_json(folder / "sentence_bert_config.json", max_seq_length=200)
    texts = [*TEXTS, LONG, "the [PAD] cat [UNK] sat"]
    expected = sentence_transformer(folder).encode(texts, show_progress_bar=False)
    tolerance = 2e-5 if engine == "numpy" else 2e-2
    vectors = load(folder, engine).encode_document(texts)
    np.testing.assert_allclose(vectors, expected, atol=tolerance)
    assert (vectors * expected).sum(axis=1).min() > 0.999


@pytest.mark.parametrize("engine", ["numpy", "openvino"])
@pytest.mark.parametrize("activation", ["gelu_new", "gelu_pytorch_tanh", "relu"])
def test_every_activation(tmp_path, activation, engine):
    folder = make_family(tmp_path, "bert", activation)
    expected = sentence_transformer(folder).encode(TEXTS, show_progress_bar=False)
    vectors = load(folder, engine).encode_document(TEXTS)
    np.testing.assert_allclose(vectors, expected, atol=2e-5 if engine == "numpy" else 2e-2)


MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]


@pytest.mark.parametrize("engine", ["numpy", "openvino"])
@pytest.mark.parametrize("mode", [*MODES, "both"])
def test_every_pooling(tmp_path, mode, engine):
    folder = make_tiny_model(tmp_path)
    modes = ["mean", "max"] if mode == "both" else [mode]
    pooling = {"embedding_dimension": 32, "pooling_mode": modes, "include_prompt": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    expected = sentence_transformer(folder).encode(TEXTS, show_progress_bar=False)
    vectors = load(folder, engine).encode_document(TEXTS)
    np.testing.assert_allclose(
        vectors, expected, atol=1e-5 if engine == "numpy" else HALF_PRECISION
    )


@pytest.mark.model
@pytest.mark.parametrize("engine", ["numpy", "openvino", "torch"])
def test_the_bundled_model(engine):
    encoder = SentenceEncoder.load(device="cpu", engine=engine)
    texts = [*TEXTS, LONG * 3, "word " * 400, "\ufeffBOM", "a\x07b\x1b[0m", "ﷺ" * 50, "x" * 3000]
    expected = sentence_transformer(bundled_model()).encode(texts, show_progress_bar=False)
    vectors = encoder.encode_document(texts)
    assert (vectors * expected).sum(axis=1).min() > 0.999


@pytest.mark.model
def test_a_text_of_100_000_words():
    text = "all work and no play makes a dull day " * 12_000
    first = SentenceEncoder.load(device="cpu").encode_document([text])
    np.testing.assert_allclose(first @ first.T, 1, atol=1e-5)


def test_the_same_call_gives_the_same_vectors_whatever_was_loaded_before(tmp_path):
    folder = make_tiny_model(tmp_path)
    encoder = load(folder)
    before = encoder.encode_query(["the cat"])
    encoder.encode_document(["dog " * SMALL_CHARACTERS])
    np.testing.assert_array_equal(encoder.encode_query(["the cat"]), before)
    np.testing.assert_array_equal(load(folder, "numpy").encode_query(["the cat"]), before)


def test_threads_may_share_an_encoder(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    folder = make_tiny_model(tmp_path)
    encoder = load(folder, "openvino")
    lists = [[f"cat {i} {j} " * (1 + (i + j) % 9) for j in range(40)] for i in range(6)]
    expected = [encoder.encode_document(texts) for texts in lists]
    with ThreadPoolExecutor(6) as pool:
        for found, alone in zip(pool.map(encoder.encode_document, lists), expected, strict=True):
            np.testing.assert_allclose(found, alone, atol=HALF_PRECISION)


# Which engine is taken


def heavy_modules(code: str) -> str:
    """Which heavy modules a program has imported at its end."""
    tail = "\nprint([m for m in ('torch', 'transformers', 'openvino', "
    tail += "'openvino.tools.ovc', 'openvino_telemetry') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", "import sys\n" + code + tail],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_few_texts_load_nothing_and_many_load_openvino_without_its_telemetry(tmp_path):
    folder = make_tiny_model(tmp_path)
    start = (
        f"from embedsearch import SentenceEncoder as E; e = E.load({str(folder)!r}, device='cpu')"
    )
    assert heavy_modules(f"{start}; e.encode_query(['cat'] * 3)") == "[]"
    assert heavy_modules(f"{start}; e.encode_query(['cat'] * 900)") == "[]"
    assert heavy_modules(f"{start}; e.encode_document(['cat'] * 900)") == "['openvino']"


def test_what_openvino_left_out_can_be_imported_afterwards(tmp_path):
    folder = make_tiny_model(tmp_path)
    code = (
        f"from embedsearch import SentenceEncoder as E\nE.load({str(folder)!r}, engine='openvino')"
        ".encode_query(['cat'])\nimport openvino.tools.ovc"
    )
    assert "openvino.tools.ovc" in heavy_modules(code)


def test_names_are_told(tmp_path):
    folder = make_tiny_model(tmp_path)
    assert [load(folder, name).engine for name in ("auto", "numpy", "openvino", "torch")] == [
        "openvino",
        "numpy",
        "openvino",
        "torch",
    ]
    assert engine_of(folder) == load(folder).engine
    assert engine_of(tmp_path / "nowhere") is None
    with pytest.raises(InputError, match="unknown engine 'onnx': use auto, numpy, openvino, torch"):
        load(folder, "onnx")
    with pytest.raises(InputError, match="numpy computes on the CPU, not on 'cuda'"):
        engines.choose_engine(load(folder)._inputs.folder, "numpy", "cuda")


def test_on_a_gpu_machine_torch_takes_the_many_texts(tmp_path, monkeypatch):
    folder = load(make_tiny_model(tmp_path))._inputs.folder
    monkeypatch.setattr(engines, "has_accelerator", lambda: True)
    assert engines.choose_engine(folder, "auto", "auto") == engines.Choice(
        large="torch", small="numpy"
    )
    assert engines.choose_engine(folder, "auto", "cpu").large == "openvino"
    assert engines.choose_engine(folder, "auto", "cuda:1").large == "torch"


def test_without_openvino(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(engines, "is_installed", lambda: False)
    encoder = load(make_tiny_model(tmp_path))
    assert encoder.engine == "torch"
    encoder.encode_query(["cat"])
    assert caplog.records == []  # NumPy did it
    encoder.encode_document(["cat"] * 900)
    assert "OpenVINO, several times faster, is not installed" in caplog.text
    with pytest.raises(DependencyError, match=r"pip install 'embedsearch\[cpu\]'"):
        load(tmp_path, "openvino")


def add_dense(folder: Path, **config) -> None:
    """A Dense module of 32 by 32 in place of Normalize."""
    edit_json(folder / "2_Dense" / "config.json", in_features=32, out_features=32, **config)
    weight = np.random.default_rng(0).standard_normal((32, 32)).astype(np.float32)
    tensors = {"linear.weight": weight, "linear.bias": np.zeros(32, "f4")}
    save_file(tensors, folder / "2_Dense" / "model.safetensors")
    modules = json.loads((folder / "modules.json").read_text())
    modules[2] |= {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (folder / "modules.json").write_text(json.dumps(modules))


def setting(**changes):
    return lambda folder: edit_json(folder / "sentence_bert_config.json", **changes)


ONLY_TORCH = {
    "lower case by sentence-transformers": setting(do_lower_case=True),
    "lengths of queries and documents": setting(query_length=4, document_length=3),
    "a length of all texts": setting(processing_kwargs={"text": {"max_length": 3}}),
    "no special tokens": setting(processing_kwargs={"text": {"add_special_tokens": False}}),
    "case by sentence-transformers": setting(tokenizer_args={"do_lower_case": False}),
    "layers by sentence-transformers": setting(config_args={"num_hidden_layers": 1}),
    "tokenizers that differ": lambda f: edit_json(f / "tokenizer_config.json", do_lower_case=False),
    "an activation": lambda f: edit_json(f / "config.json", hidden_act="silu"),
    "a residual Dense": lambda f: add_dense(f, use_residual=True),
    "an activation of someone's": lambda f: add_dense(f, activation_function="mine.ReLU"),
}


@pytest.mark.parametrize("change", ONLY_TORCH.values(), ids=ONLY_TORCH)
def test_what_only_torch_can_compute_is_left_to_it_with_a_remark(tmp_path, change, caplog):
    folder = make_tiny_model(tmp_path)
    change(folder)
    encoder = load(folder)
    assert encoder.engine == "torch"
    texts = ["The Cat sat", "a dog"]
    expected = sentence_transformer(folder).encode_document(texts, normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode_document(texts), expected, atol=HALF_PRECISION)
    assert len([r for r in caplog.records if r.name == "embedsearch"]) == 1
    for engine in ("numpy", "openvino"):
        with pytest.raises(ModelError, match="use auto"):
            load(folder, engine)


def test_a_tokenizer_of_another_model(tmp_path):
    """More tokens than the weights have rows: an error, not a crash or someone else's memory."""
    folder = make_tiny_model(tmp_path)
    size = len(load_file(folder / "model.safetensors")["embeddings.word_embeddings.weight"])
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["zebra"] = size + 7
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    for engine in ("numpy", "openvino"):
        with pytest.raises(ModelError, match=f"needs token {size + 7}"):
            load(folder, engine).encode_document(["zebra"])
    with pytest.raises(ModelError, match="fails on a text, so its files do not belong together"):
        load(folder, "torch").encode_document(["zebra"])


def test_lengths_of_documents_are_counted(tmp_path):
    folder = make_tiny_model(tmp_path)
    setting(document_length=9)(folder)
    encoder = load(folder)
    assert (encoder.max_tokens, encoder.truncated_tokens(["cat " * 10])) == (7, 3)


ENGINES = ["numpy", "openvino", "torch"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("width", "shapes", "message"),
    [
        (32, {"weight": (32, 30), "bias": (32,)}, "Dense has the tensors|cannot be loaded"),
        (32, {"weight": (20, 32), "bias": (20,)}, "Dense has the tensors|cannot be loaded"),
        (32, {"weight": (32, 32)}, "Dense has the tensors|cannot be loaded"),
        (16, {"weight": (32, 16), "bias": (32,)}, "for vectors of 16 numbers|fails on a text"),
    ],
)
def test_a_dense_module_that_does_not_fit(tmp_path, engine, width, shapes, message):
    folder = make_tiny_model(tmp_path)
    add_dense(folder)
    edit_json(folder / "2_Dense" / "config.json", in_features=width)
    made = {f"linear.{name}": np.ones(shape, np.float32) for name, shape in shapes.items()}
    save_file(made, folder / "2_Dense" / "model.safetensors")
    with pytest.raises(ModelError, match=message):
        load(folder, engine).encode_query(["cat"])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_text_without_tokens_is_a_row_of_zeros(tmp_path, engine):
    """Where the tokenizer adds no special ones, an empty text has none."""
    folder = make_tiny_model(tmp_path)
    edit_json(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    edit_json(folder / "tokenizer.json", post_processor=None)
    encoder = load(folder, engine)
    assert not encoder.encode_query([""]).any()
    lengths = np.linalg.norm(encoder.encode_document(["", "cat", " \n"]), axis=1)
    np.testing.assert_allclose(lengths, [0, 1, 0], atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_weights_in_float64(tmp_path, engine):
    folder = make_tiny_model(tmp_path)
    before = load(folder, engine).encode_query(TEXTS)
    tensors = load_file(folder / "model.safetensors")
    doubles = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    save_file(doubles, folder / "model.safetensors", metadata={"format": "pt"})
    np.testing.assert_allclose(load(folder, engine).encode_query(TEXTS), before, atol=1e-6)


def drop(name: str):
    def change(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        del tensors[name]
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return change


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("bert", "embeddings.token_type_embeddings.weight"),
        ("mpnet", "encoder.relative_attention_bias.weight"),
    ],
)
def test_weights_that_are_only_added_may_not_be_missing(tmp_path, kind, name):
    folder = make_family(tmp_path, kind)
    drop(name)(folder)
    logging.disable(logging.CRITICAL)  # a program may want to hear nothing
    try:
        with pytest.raises(ModelError, match=f"lacks the weights {name}"):
            load(folder).encode_query(["cat"])
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.parametrize("engine", ["numpy", "openvino"])
def test_the_padding_token_of_mpnet_is_fixed(tmp_path, engine):
    folder = make_family(tmp_path, "mpnet")
    edit_json(folder / "config.json", pad_token_id=5)
    expected = sentence_transformer(folder).encode(TEXTS, show_progress_bar=False)
    vectors = load(folder, engine).encode_document(TEXTS)
    assert (vectors * expected).sum(axis=1).min() > 0.999


@needs_fork
@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_a_forked_process_encodes_too(tmp_path, engine):
    """OpenVINO's threads stay behind, and it would wait for them."""
    folder = make_tiny_model(tmp_path)
    assert after_a_fork(
        f"""
import numpy as np
from embedsearch import SentenceEncoder
encoder = SentenceEncoder.load({str(folder)!r}, device="cpu", engine={engine!r})
texts = ["the cat sat on the mat " * 9] * 300
vectors = encoder.encode_document(texts)
""",
        f"np.allclose(encoder.encode_document(texts), vectors, atol={HALF_PRECISION})",
    )


@pytest.mark.parametrize("kind", ["bert", "mpnet"])
def test_heads_of_a_long_text_are_computed_one_after_the_other(tmp_path, kind, monkeypatch):
    folder = make_family(tmp_path, kind)
    expected = load(folder, "numpy").encode_query([LONG, "cat"])
    monkeypatch.setattr(numpy_engine, "SCORES_AT_A_TIME", 64 * 64)
    np.testing.assert_allclose(
        load(folder, "numpy").encode_query([LONG, "cat"]), expected, atol=1e-6
    )


@pytest.mark.parametrize(("native", "dtype"), [(["cuda:1"], "bfloat16"), (["cuda:0"], "float16")])
def test_bfloat16_is_for_gpus_that_compute_it(monkeypatch, native, dtype):
    """Each GPU of a machine for itself; older ones emulate bfloat16, slowly."""
    import torch

    current = []

    @contextmanager
    def on(name):
        current.append(name)
        yield

    def supported(including_emulation=True):
        return including_emulation or current[-1] in native

    monkeypatch.setattr(torch.cuda, "device", on)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr(torch, "autocast", lambda *chosen: chosen)
    assert _half_precision("cuda:1") == ("cuda", getattr(torch, dtype))
