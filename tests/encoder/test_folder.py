"""What a model folder may hold, and what is refused."""

import json
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedsearch.encoder.fingerprint import fingerprint
from embedsearch.encoder.folder import ModelFolder
from embedsearch.encoder.weights import read_header
from embedsearch.errors import ModelError
from tests.encoder.tiny import edit_json, make_tiny_model


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_tiny_model(tmp_path / "model")


def refused(folder: Path, match: str) -> None:
    with pytest.raises(ModelError, match=match):
        ModelFolder.read(folder)


def set_module(folder: Path, number: int, **changes) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[number] |= changes
    (folder / "modules.json").write_text(json.dumps(modules))


def test_read(folder):
    model = ModelFolder.read(folder)
    assert [module.kind for module in model.modules] == ["Transformer", "Pooling", "Normalize"]
    assert (model.dim, model.max_seq_length, model.prompts) == (32, 64, {})


def test_modules_under_their_new_names(folder):
    set_module(folder, 0, type="sentence_transformers.base.modules.transformer.Transformer")
    set_module(folder, 2, type="sentence_transformers.base.modules.normalize.Normalize")
    kinds = [module.kind for module in ModelFolder.read(folder).modules]
    assert kinds == ["Transformer", "Pooling", "Normalize"]


def test_an_empty_folder(tmp_path):
    refused(tmp_path, r"neither modules\.json nor config\.json")


@pytest.mark.parametrize(
    ("file", "match"),
    [
        ("config.json", r"no config\.json"),
        ("model.safetensors", r"no model\.safetensors"),
        ("tokenizer.json", r"no tokenizer\.json: save the model again"),
        ("1_Pooling/config.json", None),
    ],
)
def test_a_missing_file(folder, file, match):
    (folder / file).unlink()
    if match is None:  # the architecture tells the dimension, and the mean is the default
        assert ModelFolder.read(folder).dim == 32
    else:
        refused(folder, match)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_pickled_weights_are_refused_with_the_way_to_convert(folder, name):
    (folder / "model.safetensors").rename(folder / name)
    refused(folder, rf"{name} only, a pickle.*save_pretrained")


def test_pickled_weights_of_a_later_module(folder):
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense" / "pytorch_model.bin").write_bytes(b"")
    set_module(folder, 2, path="2_Dense", type="sentence_transformers.models.Dense")
    refused(folder, "a pickle")


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_of_the_folder_is_never_run(folder, file):
    edit_json(folder / file, auto_map={"AutoModel": "modeling_mine.Mine"})
    refused(folder, "asks for its own code to be run")


def test_code_asked_for_in_a_nested_config(folder):
    edit_json(folder / "config.json", text_config={"auto_map": {"AutoModel": "mine.Mine"}})
    refused(folder, "asks for its own code to be run")


def test_attention_kernels_of_the_hub(folder):
    arguments = {"attn_implementation": "kernels-community/flash-attn"}
    edit_json(folder / "sentence_bert_config.json", model_args=arguments)
    refused(folder, "kernel from the hub")


@pytest.mark.parametrize(
    "kind", ["modeling_mine.Mine", "os.system", "sentence_transformers_mine.Pooling", "Pooling"]
)
def test_modules_from_elsewhere(folder, kind):
    set_module(folder, 1, type=kind)
    refused(folder, "code from outside sentence-transformers")


def test_a_module_that_is_not_supported(folder):
    set_module(folder, 1, type="sentence_transformers.models.Router")
    refused(folder, r"'Router', which is not supported \(supported: Dense")


def test_a_module_outside_the_folder(folder):
    set_module(folder, 1, path="../elsewhere")
    refused(folder, "a folder outside the model")


def test_an_adapter(folder):
    (folder / "adapter_config.json").write_text("{}")
    refused(folder, "an adapter for another model")


@pytest.mark.parametrize(
    ("file", "content", "match"),
    [
        ("modules.json", "[]", "lists no modules"),
        ("modules.json", "{", "not JSON"),
        ("modules.json", "[1]", "without type or path"),
        ("config.json", "[]", "holds list, not a JSON object"),
        ("config.json", "[" * 100_000, "not JSON"),
        ("config.json", b"\xff\xfe", "not JSON"),
        ("sentence_bert_config.json", '{"max_seq_length": "many"}', "make no sense"),
        ("sentence_bert_config.json", '{"tokenizer_args": [1]}', "make no sense"),
        ("config_sentence_transformers.json", '{"prompts": {"query": 1}}', "are not strings"),
        ("config_sentence_transformers.json", '{"prompts": ["a"]}', "make no sense"),
        ("config_sentence_transformers.json", '{"truncate_dim": -1}', "from 1, not -1"),
        ("config_sentence_transformers.json", '{"truncate_dim": 0}', "from 1, not 0"),
        ("config_sentence_transformers.json", '{"truncate_dim": "8"}', "from 1, not '8'"),
        ("config_sentence_transformers.json", '{"model_type": "SparseEncoder"}', "SparseEncoder"),
        ("1_Pooling/config.json", '{"word_embedding_dimension": []}', None),
    ],
)
def test_files_that_make_no_sense(folder, file, content, match):
    data = content if isinstance(content, bytes) else content.encode()
    (folder / file).write_bytes(data)
    if match is None:
        assert ModelFolder.read(folder).dim == 32
    else:
        refused(folder, match)


@pytest.mark.parametrize(
    ("own", "tokenizer", "expected"),
    [(None, 512, 128), (None, 100, 100), (None, int(1e30), 128), (300, 512, 300), (64, 16, 64)],
)
def test_max_seq_length(folder, own, tokenizer, expected):
    """Its own setting wins; else the smaller of the tokenizer's and the positions (128)."""
    edit_json(folder / "sentence_bert_config.json", max_seq_length=own)
    edit_json(folder / "tokenizer_config.json", model_max_length=tokenizer)
    assert ModelFolder.read(folder).max_seq_length == expected
    if expected <= 128:
        from sentence_transformers import SentenceTransformer

        oracle = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        assert oracle.max_seq_length == expected


@pytest.mark.parametrize("keep", [0, 7, 8, 100, 4000])
def test_weights_cut_short(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match="damaged or is not a safetensors file"):
        fingerprint(folder)


def test_a_header_that_claims_too_much(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    with pytest.raises(ModelError, match="a header of 1152921504606846976 bytes"):
        read_header(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    header=st.binary(max_size=80)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["a", "dtype", "shape", "data_offsets"]), inner, max_size=3
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_header_makes_a_traceback(tmp_path, header):
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with suppress(ModelError):
        assert isinstance(read_header(path), dict)


@pytest.mark.parametrize("name", ["../model.safetensors", "gone.safetensors", "/etc/passwd", 1])
def test_an_index_that_names_other_files(folder, name):
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(folder, "names '|not an index")
