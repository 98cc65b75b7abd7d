"""Tokenizers that transformers sets up by their class, against those of tokenizer.json."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers, trainers

from embedsearch.encoder.folder import ModelFolder
from embedsearch.encoder.tokenizer_classes import difference
from embedsearch.text.tokenizer import Tokenizer
from tests.encoder.tiny import edit_json, make_tiny_model

TEXTS = [
    "A cat sat on the mat.",
    "",
    " two  blanks\nand a line ",
    "Ünïcödé é 日本語 🚀\x00",
    "[CLS] <s>",
]
ANGULAR = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def byte_pairs() -> Backend:
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=ANGULAR, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(["the cat sat on the mat", "two blanks and a line"] * 5, trainer)
    return backend


def made_by_transformers(name: str):
    """A small tokenizer of a class."""
    import transformers

    kind = getattr(transformers, name)
    if name == "RobertaTokenizer":
        model = json.loads(byte_pairs().to_str())["model"]
        return kind(vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]])
    if name in ("XLMRobertaTokenizer", "CamembertTokenizer"):
        letters = "▁abcdefghijklmnoprstuwyACET.ïöÜ"
        words = [(token, 0.0) for token in ANGULAR[:4]]
        words += [("▁the", -2.0), ("▁cat", -3.0), *((letter, -5.0) for letter in letters)]
        return kind(vocab=words)
    first = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if name == "MPNetTokenizer":
        first = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
    words = [*first, *"abcdeéfghinorstuw.", *(f"##{letter}" for letter in "acdeinst"), "cat", "the"]
    return kind(vocab={word: number for number, word in enumerate(words)})


KINDS = {
    "BertTokenizer": "bert",
    "DistilBertTokenizer": "distilbert",
    "MPNetTokenizer": "mpnet",
    "RobertaTokenizer": "roberta",
    "XLMRobertaTokenizer": "xlm-roberta",
    "CamembertTokenizer": "camembert",
}


def saved(folder: Path, name: str) -> Path:
    make_tiny_model(folder)
    edit_json(folder / "config.json", model_type=KINDS[name])
    (folder / "tokenizer_config.json").unlink()
    made_by_transformers(name).save_pretrained(folder)
    return folder


def edit(folder: Path, part: str, **changes) -> None:
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer[part] = (tokenizer[part] or {}) | changes
    path.write_text(json.dumps(tokenizer))


def found(folder: Path) -> str:
    return difference(ModelFolder.read(folder))


def ids_of_transformers(folder: Path) -> list[list[int]]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return [tokenizer(text)["input_ids"] for text in TEXTS]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("name", KINDS)
def test_what_transformers_saves_is_taken_as_it_stands(tmp_path, name, named):
    folder = saved(tmp_path, name)
    if not named:  # the architecture tells the class
        edit_json(folder / "tokenizer_config.json", tokenizer_class=None)
    assert found(folder) == ""
    assert Tokenizer.load(folder / "tokenizer.json").encode_ids(TEXTS) == ids_of_transformers(
        folder
    )


LOWER = {"type": "Lowercase"}
CHANGES = {
    "accents in the config": ("BertTokenizer", {"strip_accents": False}, None),
    "case in the config": ("DistilBertTokenizer", {"do_lower_case": False}, None),
    "Chinese in the config": ("BertTokenizer", {"tokenize_chinese_chars": False}, None),
    "another first token": ("MPNetTokenizer", {"cls_token": "<mask>"}, None),
    "long words": ("BertTokenizer", {}, ("model", {"max_input_chars_per_word": 2})),
    "words": ("BertTokenizer", {}, ("pre_tokenizer", {"type": "WhitespaceSplit"})),
    "a normalizer": ("RobertaTokenizer", {}, ("normalizer", LOWER)),
    "a blank before": ("RobertaTokenizer", {}, ("pre_tokenizer", {"add_prefix_space": True})),
    "lower case": ("XLMRobertaTokenizer", {}, ("normalizer", LOWER)),
    "no mark": ("CamembertTokenizer", {"add_prefix_space": False}, None),
}


@pytest.mark.parametrize(("name", "config", "change"), CHANGES.values(), ids=CHANGES)
def test_what_differs_is_told(tmp_path, name, config, change):
    folder = saved(tmp_path, name)
    edit_json(folder / "tokenizer_config.json", **config)
    if change:
        edit(folder, change[0], **change[1])
    assert found(folder).endswith(f"than a {name}")
    assert Tokenizer.load(folder / "tokenizer.json").encode_ids(TEXTS) != ids_of_transformers(
        folder
    )


def test_a_class_that_takes_the_file_as_it_stands(tmp_path):
    folder = saved(tmp_path, "BertTokenizer")
    edit(folder, "normalizer", lowercase=False)
    for name in ("PreTrainedTokenizerFast", "TokenizersBackend"):
        edit_json(folder / "tokenizer_config.json", tokenizer_class=name)
        assert found(folder) == ""
        ours = Tokenizer.load(folder / "tokenizer.json").encode_ids(TEXTS)
        assert ours == ids_of_transformers(folder)
    edit_json(folder / "tokenizer_config.json", tokenizer_class="BertJapaneseTokenizer")
    assert found(folder) == "its tokenizer is a BertJapaneseTokenizer"


def test_files_of_older_releases(tmp_path):
    """As XLM-R and BERT have them on the hub: keys left out, special tokens in another file."""
    folder = saved(tmp_path / "xlm", "XLMRobertaTokenizer")
    mark = {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}
    edit(folder, "pre_tokenizer", pretokenizers=[{"type": "WhitespaceSplit"}, mark])
    assert found(folder) == ""
    folder = saved(tmp_path / "bert", "BertTokenizer")
    ids = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    around = {"sep": ["[SEP]", ids["[SEP]"]], "cls": ["[CLS]", ids["[CLS]"]]}
    edit(folder, "post_processor", type="BertProcessing", **around)
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "special_tokens_map.json").write_text(json.dumps({"cls_token": "[CLS]"}))
    assert found(folder) == ""
    (folder / "special_tokens_map.json").write_text(json.dumps({"cls_token": "[MASK]"}))
    assert "post_processor" in found(folder)
