"""The fingerprint of a model: one hash over all that decides its vectors, nothing else.

Covered: every tensor, the tokenizer, the architecture's config, the modules with their order and
settings (pooling first of all), the prompts, where texts are truncated. Left out: names, paths,
version stamps, and how a release of sentence-transformers or transformers happens to write the same
thing; so a renamed copy, and a model loaded and saved again, keep their fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedsearch.encoder.cache import remembered
from embedsearch.encoder.folder import ModelFolder, Module, read_json
from embedsearch.encoder.weights import hash_tensors

SCHEME = 1
"""Raised when the same model would get another fingerprint."""

_COSMETIC = frozenset(
    {
        "_name_or_path",
        "_commit_hash",
        "transformers_version",
        "architectures",
        # vectors are computed in float32 whatever this says; the tensors' own dtype is covered
        "dtype",
        "torch_dtype",
        # they matter in training and generation only
        "gradient_checkpointing",
        "initializer_range",
        "initializer_factor",
        "tie_word_embeddings",
        "use_cache",
        # heads that an encoder does not use
        "id2label",
        "label2id",
        "problem_type",
    }
)

_ARCHITECTURE_DEFAULTS: Mapping[str, Any] = {
    "add_cross_attention": False,
    "is_decoder": False,
    "is_encoder_decoder": False,
    "position_embedding_type": "absolute",
    "output_attentions": False,
    "output_hidden_states": False,
    "return_dict": True,
    "chunk_size_feed_forward": 0,
}
"""Keys that a newer transformers adds or drops at these values when it saves a config."""

TRANSFORMER_DEFAULTS: Mapping[str, Any] = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
    "do_lower_case": False,
}
"""Keys of a Transformer module that every release of sentence-transformers takes to be so."""

_TOKENIZER_KEYS = frozenset(
    {
        "do_lower_case",
        "strip_accents",
        "tokenize_chinese_chars",
        "tokenizer_class",
        "add_prefix_space",
        "add_bos_token",
        "add_eos_token",
        "legacy",
        "padding_side",
        "truncation_side",
    }
)
"""Keys of tokenizer_config.json that transformers builds its tokenizer from, beside the tokens."""

_TOKENIZER_DEFAULTS: Mapping[str, Any] = {
    "padding_side": "right",
    "truncation_side": "right",
    "tokenize_chinese_chars": True,
}


def fingerprint(folder: Path) -> str:
    """Hex SHA-256 over all that decides the vectors of the model in `folder`, without torch.

    Raises ModelError for a folder that is not a usable model (see `ModelFolder.read`).
    """
    return fingerprint_of(ModelFolder.read(folder))


def fingerprint_of(model: ModelFolder) -> str:
    """As `fingerprint`, of a folder that was read; remembered while its files stay the same."""
    folders = {model.root, *(module.folder for module in model.modules)}
    files = sorted(
        path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.is_file()
    )
    return remembered(f"fingerprint {SCHEME}", files, lambda: _fingerprint(model))


def _fingerprint(model: ModelFolder) -> str:
    digest = hashlib.sha256()
    _feed(digest, "scheme", SCHEME)
    _feed(digest, "max_seq_length", model.max_seq_length)
    _feed(digest, "truncate_dim", model.settings.get("truncate_dim"))
    _feed(digest, "prompts", model.prompts)
    _feed(digest, "default_prompt", model.settings.get("default_prompt_name"))
    _feed(digest, "tokenizer", _tokenizer(read_json(model.tokenizer_file)))
    _feed(digest, "tokenizer_config", _tokenizer_config(model.tokenizer_config))
    _feed(digest, "architecture", _architecture(model.architecture))
    for module in model.modules:
        _feed(digest, "module", [module.kind, _module_config(module)])
        hash_tensors(list(module.weights), digest)
    return digest.hexdigest()


def _feed(digest: Any, what: str, value: Any) -> None:
    """One line of canonical JSON; its keys are sorted and a newline cannot occur inside."""
    line = json.dumps([what, value], sort_keys=True, separators=(",", ":"))
    digest.update(line.encode("utf-8", "surrogatepass") + b"\n")


def _without_defaults(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Without the keys that hold null or their default."""
    return {
        key: value
        for key, value in config.items()
        if value is not None and not (key in defaults and defaults[key] == value)
    }


def _architecture(config: Mapping[str, Any]) -> dict[str, Any]:
    """config.json without what does not reach the vectors; dropout rests outside training."""
    kept = {
        key: _architecture(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if key not in _COSMETIC and not key.endswith(("dropout", "dropout_prob", "_token_id"))
    }
    # a padding index shifts the positions of RoBERTa's kin
    kept["pad_token_id"] = config.get("pad_token_id")
    return _without_defaults(kept, _ARCHITECTURE_DEFAULTS)


def _module_config(module: Module) -> dict[str, Any]:
    if module.kind != "Transformer":
        defaults = {"use_residual": False} if module.kind == "Dense" else {}
        return _without_defaults(module.config, defaults)
    config = {key: value for key, value in module.config.items() if key != "max_seq_length"}
    config = _without_defaults(config, TRANSFORMER_DEFAULTS)
    return {key: value for key, value in config.items() if value != {}}


def _tokenizer(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """tokenizer.json without truncation and padding, which the model's own settings override."""
    kept = {
        key: value
        for key, value in tokenizer.items()
        if key not in ("version", "truncation", "padding") and value is not None
    }
    model = dict(kept.get("model") or {})
    # written as "a b" before tokenizers 0.20, as ["a", "b"] since
    merges = model.get("merges")
    if merges and isinstance(merges[0], str):
        model["merges"] = [merge.split(" ") for merge in merges]
    # older writers leave these out
    switches = dict.fromkeys(("fuse_unk", "byte_fallback", "ignore_merges"), False)
    kept["model"] = _without_defaults(model, switches)
    return kept


def _tokenizer_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that decide tokens; a token may stand as a string or as an object with `content`."""
    kept: dict[str, Any] = {}
    for key, value in config.items():
        if key.endswith("_token") and isinstance(value, str | dict):
            kept[key] = value.get("content") if isinstance(value, dict) else value
        elif key == "tokenizer_class" and isinstance(value, str):
            kept[key] = value.removesuffix("Fast")
        elif key in _TOKENIZER_KEYS:
            kept[key] = value
    return _without_defaults(kept, _TOKENIZER_DEFAULTS)
