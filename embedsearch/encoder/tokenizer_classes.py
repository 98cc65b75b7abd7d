"""Whether transformers makes the tokenizer that tokenizer.json describes.

transformers 5 takes only the vocabulary from there where the tokenizer's class is one of its own,
and sets up the rest by that class and the keys of tokenizer_config.json. The engines that read
tokenizer.json as it stands serve where both ways lead to the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from embedsearch.encoder.folder import read_json

if TYPE_CHECKING:
    from embedsearch.encoder.folder import ModelFolder

Settings = Mapping[str, Any]

_OF_ARCHITECTURE = {
    "bert": "BertTokenizer",
    "camembert": "CamembertTokenizer",
    "distilbert": "BertTokenizer",
    "mpnet": "MPNetTokenizer",
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
}
"""What transformers takes where no class is named."""

_AS_IT_STANDS = frozenset({"TokenizersBackend", "PreTrainedTokenizer"})

_BRACKETED = {"cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
_ANGULAR = {"cls_token": "<s>", "sep_token": "</s>", "bos_token": "<s>", "eos_token": "</s>"}


def difference(folder: ModelFolder) -> str:
    """In what the tokenizer of transformers is not that of tokenizer.json, or ""."""
    config, architecture = folder.tokenizer_config, folder.architecture
    usual = _OF_ARCHITECTURE.get(str(architecture.get("model_type")), "")
    name = str(config.get("tokenizer_class") or architecture.get("tokenizer_class") or usual)
    name = name.removesuffix("Fast")
    if name in _AS_IT_STANDS:
        return ""
    if name not in _CLASSES:
        return f"its tokenizer is a {name}"
    same = _CLASSES[name](_Parts(read_json(folder.tokenizer_file)), _settings(folder))
    odd = next((part for part in same if not same[part]), None)
    return f"its tokenizer.json has another {odd} than a {name}" if odd else ""


class _Parts:
    """The parts of a tokenizer.json, {} for those that it does not have."""

    def __init__(self, file: Settings) -> None:
        self.normalizer: Settings = file.get("normalizer") or {}
        self.words: Settings = file.get("pre_tokenizer") or {}
        self.model: Settings = file.get("model") or {}
        self.around: Settings = file.get("post_processor") or {}


def _settings(folder: ModelFolder) -> dict[str, Any]:
    """tokenizer_config.json, special tokens as strings; older folders have them in another file."""
    named = dict(folder.tokenizer_config)
    if "added_tokens_decoder" not in named:
        named |= read_json(folder.tokenizer_file.with_name("special_tokens_map.json"))
    return {
        key: value["content"] if isinstance(value, dict) and "content" in value else value
        for key, value in named.items()
        if value is not None
    }


def _bert(parts: _Parts, settings: Settings) -> dict[str, bool]:
    return _word_pieces(parts, _BRACKETED | dict(settings))


def _mpnet(parts: _Parts, settings: Settings) -> dict[str, bool]:
    return _word_pieces(parts, _ANGULAR | {"unk_token": "[UNK]"} | dict(settings))


def _word_pieces(parts: _Parts, settings: Settings) -> dict[str, bool]:
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": settings.get("tokenize_chinese_chars", True),
        "strip_accents": settings.get("strip_accents"),
        "lowercase": settings.get("do_lower_case", True),
    }
    model = {
        "type": "WordPiece",
        "unk_token": settings["unk_token"],
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
    }
    found = {"type": "WordPiece"} | dict(parts.model)  # older files leave the type out
    return {
        "normalizer": {"strip_accents": None} | dict(parts.normalizer) == normalizer,
        "pre_tokenizer": parts.words == {"type": "BertPreTokenizer"},
        "model": {key: found.get(key) for key in model} == model,
        "post_processor": _around(parts) == (settings["cls_token"], settings["sep_token"]),
    }


def _roberta(parts: _Parts, settings: Settings) -> dict[str, bool]:
    settings = _ANGULAR | dict(settings)
    words = {"type": "ByteLevel", "add_prefix_space": settings.get("add_prefix_space", False)}
    found = {"use_regex": True} | dict(parts.words)
    odd = {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"}
    odd |= {"fuse_unk", "byte_fallback", "ignore_merges"}
    return {
        "normalizer": not parts.normalizer,
        "pre_tokenizer": {key: found.get(key) for key in words} == words and found["use_regex"],
        "model": parts.model.get("type", "BPE") == "BPE"
        and not any(parts.model.get(key) for key in odd),
        "post_processor": _around(parts) == (settings["cls_token"], settings["sep_token"]),
    }


def _unigrams(parts: _Parts, settings: Settings) -> dict[str, bool]:
    """XLM-R and CamemBERT."""
    settings = _ANGULAR | {"unk_token": "<unk>"} | dict(settings)
    place, vocabulary = parts.model.get("unk_id"), parts.model.get("vocab") or []
    return {
        "normalizer": parts.normalizer.get("type", "Precompiled") == "Precompiled",
        "pre_tokenizer": _marks_words(parts.words, settings.get("add_prefix_space", True)),
        "model": parts.model.get("type", "Unigram") == "Unigram"
        and place == 3
        and vocabulary[3:4] != []
        and vocabulary[3][0] == settings["unk_token"]
        and not parts.model.get("byte_fallback"),
        "post_processor": _around(parts) == (settings["bos_token"], settings["eos_token"]),
    }


def _marks_words(words: Settings, always: bool) -> bool:
    """Whether texts are split at blanks and a mark is put before each word."""
    steps = words.get("pretokenizers") or []
    if len(steps) != 2 or steps[0] != {"type": "WhitespaceSplit"}:
        return False
    mark = {"split": True, "prepend_scheme": "always"} | steps[1]
    if "add_prefix_space" in mark and "prepend_scheme" not in steps[1]:  # older files
        mark["prepend_scheme"] = "always" if mark["add_prefix_space"] else "never"
    wanted = {"type": "Metaspace", "replacement": "▁", "split": True}
    wanted["prepend_scheme"] = "always" if always else "never"
    return {key: mark.get(key) for key in wanted} == wanted


def _around(parts: _Parts) -> tuple[str, str] | None:
    """The special tokens before and after a text; None where there are others."""
    kind = parts.around.get("type")
    if kind in ("BertProcessing", "RobertaProcessing"):
        return parts.around["cls"][0], parts.around["sep"][0]
    if kind != "TemplateProcessing":
        return None
    tokens = [piece.get("SpecialToken", {}).get("id") for piece in parts.around["single"]]
    return (tokens[0], tokens[2]) if len(tokens) == 3 and tokens[1] is None else None


_CLASSES: dict[str, Callable[[_Parts, Settings], dict[str, bool]]] = {
    "BertTokenizer": _bert,
    "CamembertTokenizer": _unigrams,
    "DistilBertTokenizer": _bert,
    "MPNetTokenizer": _mpnet,
    "RobertaTokenizer": _roberta,
    "XLMRobertaTokenizer": _unigrams,
}
