import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from embedsearch.encoder.fingerprint import fingerprint
from tests.encoder.tiny import VOCABULARY, edit_json, make_tiny_model


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_tiny_model(tmp_path / "model", prompts={"query": "query: ", "title": "title: "})


def save(folder: Path, tensors: dict[str, np.ndarray]) -> None:
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def edit_tokenizer(folder: Path, edit: Callable[[dict], object]) -> None:
    path = folder / "tokenizer.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    edit(value)
    path.write_text(json.dumps(value), encoding="utf-8")


def nudge_weight(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    weight = tensors["encoder.layer.0.output.dense.weight"]
    weight[3, 5] = np.nextafter(weight[3, 5], np.float32(2))
    save(folder, tensors)


def swap_tensors(folder: Path) -> None:
    """The same bytes under other names."""
    tensors = load_file(folder / "model.safetensors")
    query, key = (f"encoder.layer.0.attention.self.{name}.weight" for name in ("query", "key"))
    tensors[query], tensors[key] = tensors[key], tensors[query]
    save(folder, tensors)


def reshape_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    name = "encoder.layer.0.output.dense.weight"
    tensors[name] = tensors[name].reshape(64, 32)
    save(folder, tensors)


def move_normalize_first(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([modules[0], modules[2], modules[1]]))


def drop_normalize(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[:2]))


def swap_words(tokenizer: dict) -> None:
    vocab = tokenizer["model"]["vocab"]
    vocab["cat"], vocab["dog"] = vocab["dog"], vocab["cat"]


def max_pooling(folder: Path) -> None:
    flags = {"pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}
    edit_json(folder / "1_Pooling" / "config.json", **flags)


def set_prompts(folder: Path, **prompts: str) -> None:
    edit_json(folder / "config_sentence_transformers.json", prompts=prompts)


CHANGES = {
    "one weight": nudge_weight,
    "weights under other names": swap_tensors,
    "shape of a tensor": reshape_tensor,
    "one entry of the vocabulary": lambda f: edit_tokenizer(f, swap_words),
    "casing": lambda f: edit_tokenizer(f, lambda t: t["normalizer"].update(lowercase=False)),
    "special tokens": lambda f: edit_tokenizer(f, lambda t: t.update(post_processor=None)),
    "casing in tokenizer_config": lambda f: edit_json(
        f / "tokenizer_config.json", do_lower_case=False
    ),
    "casing in sentence_bert_config": lambda f: edit_json(
        f / "sentence_bert_config.json", do_lower_case=True
    ),
    "max_seq_length": lambda f: edit_json(f / "sentence_bert_config.json", max_seq_length=63),
    "pooling mode": max_pooling,
    "prompt left out of pooling": lambda f: edit_json(
        f / "1_Pooling" / "config.json", include_prompt=False
    ),
    "order of modules": move_normalize_first,
    "a module less": drop_normalize,
    "query prompt": lambda f: set_prompts(f, query="Query: ", title="title: "),
    "document prompt": lambda f: set_prompts(f, query="query: ", title="title: ", document="x"),
    "a prompt less": lambda f: set_prompts(f, query="query: "),
    "default prompt": lambda f: edit_json(
        f / "config_sentence_transformers.json", default_prompt_name="title"
    ),
    "truncated vectors": lambda f: edit_json(
        f / "config_sentence_transformers.json", truncate_dim=16
    ),
    "activation": lambda f: edit_json(f / "config.json", hidden_act="relu"),
    "number of heads": lambda f: edit_json(f / "config.json", num_attention_heads=4),
    "layer norm": lambda f: edit_json(f / "config.json", layer_norm_eps=1e-5),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_decides_the_vectors_changes_it(folder, change):
    before = fingerprint(folder)
    change(folder)
    assert fingerprint(folder) != before


def test_it_is_a_sha256(folder):
    assert len(bytes.fromhex(fingerprint(folder))) == 32


def test_every_change_has_its_own(tmp_path, folder):
    seen = {fingerprint(folder)}
    for number, change in enumerate(CHANGES.values()):
        copy = shutil.copytree(folder, tmp_path / str(number))
        change(copy)
        seen.add(fingerprint(copy))
    assert len(seen) == len(CHANGES) + 1


def split_weights(folder: Path) -> None:
    """Two shards and their index, as transformers writes large models."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors, reverse=True)
    weight_map = {}
    for part, chosen in (("2", names[::2]), ("1", names[1::2])):
        save_file({name: tensors[name] for name in chosen}, folder / f"part-{part}.safetensors")
        weight_map |= dict.fromkeys(chosen, f"part-{part}.safetensors")
    index = {"weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def add_position_ids(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.position_ids"] = np.arange(128, dtype=np.int64)[None]
    save(folder, tensors)


def truncate_tokenizer(tokenizer: dict) -> None:
    tokenizer["truncation"] = {
        "direction": "Right",
        "max_length": 8,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    tokenizer["padding"] = None


def restamp(folder: Path) -> None:
    edit_json(
        folder / "config.json", _name_or_path="a/b", transformers_version="9", dtype="float16"
    )
    edit_json(folder / "config_sentence_transformers.json", __version__={"pytorch": "9"})


def reorder_vocabulary(tokenizer: dict) -> None:
    tokenizer["model"]["vocab"] = dict(reversed(tokenizer["model"]["vocab"].items()))


def rename_weights(folder: Path) -> None:
    """Another order of tensors in the file."""
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt", "by": "someone"})


SAME = {
    "other files": lambda f: (f / "README.md").write_text("changed"),
    "shards": split_weights,
    "metadata of the file": rename_weights,
    "position ids": add_position_ids,
    "truncation set in the tokenizer": lambda f: edit_tokenizer(f, truncate_tokenizer),
    "version stamps": restamp,
    "order of the vocabulary": lambda f: edit_tokenizer(f, reorder_vocabulary),
    "empty prompts": lambda f: set_prompts(f, query="query: ", title="title: ", document=""),
    "a token as an object": lambda f: edit_json(
        f / "tokenizer_config.json", cls_token={"content": "[CLS]", "lstrip": False}
    ),
    "the fast tokenizer's old name": lambda f: edit_json(
        f / "tokenizer_config.json", tokenizer_class="BertTokenizerFast"
    ),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME.keys())
def test_what_does_not_reach_the_vectors_leaves_it(folder, change):
    before = fingerprint(folder)
    change(folder)
    assert fingerprint(folder) == before


def test_merges_may_be_written_either_way(tmp_path):
    """tokenizers wrote "a b" before 0.20 and writes ["a", "b"] since."""
    first = make_tiny_model(tmp_path / "first")
    second = make_tiny_model(tmp_path / "second")
    edit_tokenizer(first, lambda t: t["model"].update(merges=["c a", "ca t"]))
    edit_tokenizer(second, lambda t: t["model"].update(merges=[["c", "a"], ["ca", "t"]]))
    assert fingerprint(first) == fingerprint(second)
    edit_tokenizer(second, lambda t: t["model"].update(merges=[["ca", "t"], ["c", "a"]]))
    assert fingerprint(first) != fingerprint(second)


def test_the_name_of_the_folder_does_not_matter(folder, tmp_path):
    assert fingerprint(shutil.copytree(folder, tmp_path / "other")) == fingerprint(folder)


def test_seeds_differ(tmp_path):
    first, again, other = (
        fingerprint(make_tiny_model(tmp_path / name, seed=seed))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == again != other


def test_saved_again_by_sentence_transformers(folder, tmp_path):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    model.save_pretrained(str(tmp_path / "again"), create_model_card=False)
    assert fingerprint(tmp_path / "again") == fingerprint(folder)
    assert len(VOCABULARY) == model.tokenizer.vocab_size
    model.max_seq_length = 32
    model.save_pretrained(str(tmp_path / "shorter"), create_model_card=False)
    assert fingerprint(tmp_path / "shorter") != fingerprint(folder)


def test_every_pooling_mode_is_told_apart(tmp_path):
    folder = make_tiny_model(tmp_path)
    path = folder / "1_Pooling" / "config.json"
    seen = set()
    for modes in ("mean", "cls", "max", "lasttoken", "weightedmean", ["mean", "max"]):
        path.write_text(json.dumps({"embedding_dimension": 32, "pooling_mode": modes}))
        seen.add(fingerprint(folder))
    assert len(seen) == 6
    both = {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}
    path.write_text(json.dumps({"word_embedding_dimension": 32} | both))
    seen.add(fingerprint(folder))
    # the old flags are concatenated in a fixed order: max, then mean
    path.write_text(json.dumps({"embedding_dimension": 32, "pooling_mode": ["max", "mean"]}))
    seen.add(fingerprint(folder))
    assert len(seen) == 7
