"""A sentence-transformers model folder: what its JSON files say, read and checked without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedsearch.encoder.static_table import table_entry
from embedsearch.encoder.weights import weight_files
from embedsearch.errors import ModelError

MAX_JSON_BYTES = 256 << 20

MODULES = frozenset(
    {"Transformer", "StaticEmbedding", "Pooling", "Normalize", "Dense", "LayerNorm", "Dropout"}
)
"""Modules that the fingerprint covers entirely and that run no code of the folder."""

_WEIGHTED = frozenset({"StaticEmbedding", "Dense", "LayerNorm"})

_POOLING_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""The keys of a Pooling config before sentence-transformers 5.4, in the order of concatenation."""


@dataclass(frozen=True, kw_only=True)
class Module:
    """One entry of modules.json; `weights` are its safetensors files."""

    kind: str
    folder: Path
    config: Mapping[str, Any]
    weights: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A model folder that can be loaded. The mappings are JSON files, empty where missing.

    `max_seq_length` counts tokens, special tokens among them; None means no limit.
    """

    root: Path
    modules: tuple[Module, ...]
    architecture: Mapping[str, Any]
    tokenizer_config: Mapping[str, Any]
    settings: Mapping[str, Any]
    max_seq_length: int | None
    dim: int

    @property
    def tokenizer_file(self) -> Path:
        return self.modules[0].folder / "tokenizer.json"

    @property
    def prompts(self) -> dict[str, str]:
        """The prompts that are not empty, by name."""
        return _prompts(self.settings)

    @classmethod
    def read(cls, root: Path) -> ModelFolder:
        """Read and check a folder.

        Raises ModelError for a folder that is no sentence encoder, that asks for its own code to
        be run, or whose weights are missing or pickled.
        """
        try:
            return _read(root)
        except ModelError:
            raise
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise ModelError(f"the settings of the model {root} make no sense: {error}") from None


def _read(root: Path) -> ModelFolder:
    modules = _read_modules(root)
    first = modules[0]
    architecture = read_json(first.folder / "config.json") if first.kind == "Transformer" else {}
    tokenizer_config = read_json(first.folder / "tokenizer_config.json")
    settings = read_json(root / "config_sentence_transformers.json")
    for config in (architecture, tokenizer_config, *(module.config for module in modules)):
        _refuse_code(config, root)
    if (first.folder / "adapter_config.json").is_file():
        raise ModelError(
            f"{root} is an adapter for another model: merge the two and save the result with "
            "sentence-transformers, then use that folder"
        )
    if not (first.folder / "tokenizer.json").is_file():
        raise ModelError(
            f"{first.folder} has no tokenizer.json: save the model again with "
            "SentenceTransformer(folder).save_pretrained(new_folder), and use the new folder"
        )
    kind = settings.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise ModelError(
            f"{root} is a {kind}, which does not make one vector of a text: choose a "
            "SentenceTransformer"
        )
    if not all(isinstance(text, str) for text in _prompts(settings).values()):
        raise ModelError(f"{root}: prompts in config_sentence_transformers.json are not strings")
    return ModelFolder(
        root=root,
        modules=modules,
        architecture=architecture,
        tokenizer_config=tokenizer_config,
        settings=settings,
        max_seq_length=_max_seq_length(first, architecture, tokenizer_config),
        dim=_dimension(root, modules, architecture, settings),
    )


def _prompts(settings: Mapping[str, Any]) -> dict[str, str]:
    return {name: text for name, text in (settings.get("prompts") or {}).items() if text}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file, {} where there is none; ModelError where it is something else."""
    value = _load_json(path) if path.is_file() else {}
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds {type(value).__name__}, not a JSON object")
    return value


def _load_json(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ModelError(f"{path} is larger than {MAX_JSON_BYTES} bytes")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON: {error}") from None


def _read_modules(root: Path) -> tuple[Module, ...]:
    listing = root / "modules.json"
    if not listing.is_file():
        return _plain_transformer(root)
    entries = _load_json(listing)
    if not isinstance(entries, list) or not entries:
        raise ModelError(f"{listing} lists no modules")
    modules = tuple(_read_module(root, entry) for entry in entries)
    if modules[0].kind not in ("Transformer", "StaticEmbedding"):
        raise ModelError(f"{root} begins with {modules[0].kind}, which takes no text")
    return modules


def _read_module(root: Path, entry: Any) -> Module:
    try:
        kind, path = str(entry["type"]), str(entry["path"])
    except (KeyError, TypeError):
        raise ModelError(f"{root / 'modules.json'} has an entry without type or path") from None
    package, _, name = kind.rpartition(".")
    if package.split(".")[0] != "sentence_transformers":
        raise ModelError(
            f"{root} needs the module {kind!r}, code from outside sentence-transformers: such code "
            "is never run, choose another model"
        )
    if name not in MODULES:
        raise ModelError(
            f"{root} needs the module {name!r}, which is not supported (supported: "
            f"{', '.join(sorted(MODULES))}): choose another model"
        )
    folder = (root / path).resolve()
    if not folder.is_relative_to(root.resolve()):
        raise ModelError(f"{root / 'modules.json'} names {path!r}, a folder outside the model")
    if name == "Transformer":
        return _transformer(folder)
    weights = tuple(weight_files(folder)) if name in _WEIGHTED else ()
    if name in _WEIGHTED and not weights:
        raise ModelError(f"{folder} has no model.safetensors")
    config = {} if name == "StaticEmbedding" else read_json(folder / "config.json")
    return Module(kind=name, folder=folder, config=_tidy(name, config), weights=weights)


def _transformer(folder: Path) -> Module:
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} has no config.json, so it is not a model")
    weights = tuple(weight_files(folder))
    if not weights:
        raise ModelError(f"{folder} has no model.safetensors")
    config = read_json(folder / "sentence_bert_config.json")
    if not config:  # old releases named the file after the architecture
        config = next(map(read_json, sorted(folder.glob("sentence_*_config.json"))), {})
    return Module(kind="Transformer", folder=folder, config=config, weights=weights)


def _plain_transformer(root: Path) -> tuple[Module, ...]:
    """A folder without modules.json, as sentence-transformers takes it: pooled by the mean, or by
    the last token where the architecture is a causal language model."""
    if not (root / "config.json").is_file():
        raise ModelError(
            f"{root} has neither modules.json nor config.json, so it is not a model folder"
        )
    first = _transformer(root)
    architecture = read_json(root / "config.json")
    names = architecture.get("architectures") or [""]
    causal = str(names[0]).endswith("ForCausalLM") and architecture.get("is_causal", True)
    sizes = (architecture.get(key) for key in ("hidden_size", "dim", "d_model"))
    hidden = next((size for size in sizes if size), 0)
    config = {"embedding_dimension": hidden, "pooling_mode": "lasttoken" if causal else "mean"}
    pooling = Module(kind="Pooling", folder=root, config=_tidy("Pooling", config))
    return first, pooling


def _tidy(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """A module's config in one form, whichever release of sentence-transformers wrote it."""
    tidy = dict(config)
    if kind == "Pooling":
        flags = {mode: tidy.pop(key, False) for key, mode in _POOLING_MODES.items()}
        modes = tidy.get("pooling_mode") or [mode for mode, on in flags.items() if on] or ["mean"]
        tidy["pooling_mode"] = [modes] if isinstance(modes, str) else list(modes)
        if "word_embedding_dimension" in tidy:
            tidy["embedding_dimension"] = tidy.pop("word_embedding_dimension")
        tidy.setdefault("include_prompt", True)
    elif kind in ("Normalize", "Dense"):
        source = tidy.setdefault("module_input_name", "sentence_embedding")
        tidy["module_output_name"] = tidy.get("module_output_name") or source
    return tidy


def _refuse_code(config: Mapping[str, Any], root: Path) -> None:
    """Raise ModelError where a config names code to fetch or run (`auto_map`, hub kernels)."""
    for key, value in config.items():
        if key == "auto_map" and value:
            raise ModelError(
                f"{root} asks for its own code to be run (auto_map): such code is never run, "
                "choose another model"
            )
        if key.endswith("attn_implementation") and "/" in str(value):
            raise ModelError(
                f"{root} asks for an attention kernel from the hub ({value}): such code is never "
                "run, choose another model or remove the key"
            )
        if isinstance(value, dict):
            _refuse_code(value, root)


def _max_seq_length(
    first: Module, architecture: Mapping[str, Any], tokenizer_config: Mapping[str, Any]
) -> int | None:
    """What sentence-transformers truncates to: its own settings, else the tokenizer's, which is
    capped by the positions that the model has. Of static models, what tokenizer.json says."""
    if first.kind == "StaticEmbedding":
        own = (read_json(first.folder / "tokenizer.json").get("truncation") or {}).get("max_length")
        return None if own is None else int(own)
    own = first.config.get("max_seq_length")
    for key in ("tokenizer_args", "processor_kwargs"):
        own = (first.config.get(key) or {}).get("model_max_length", own)
    call = (first.config.get("processing_kwargs") or {}).get("text") or {}
    own = call.get("max_length", first.config.get("document_length") or own)
    if own is not None:
        return int(own)
    limits = [
        int(limit)
        for limit in (
            tokenizer_config.get("model_max_length"),
            architecture.get("max_position_embeddings"),
        )
        # transformers writes 1e30 for "no limit", XLNet -1
        if isinstance(limit, int | float) and 0 < limit < 1e15
    ]
    return min(limits, default=None)


def _dimension(
    root: Path,
    modules: tuple[Module, ...],
    architecture: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> int:
    """Numbers in a vector, followed through the modules."""
    dim = 0
    for module in modules:
        if module.kind == "StaticEmbedding":
            dim = int(table_entry(module)[1]["shape"][1])
        elif module.kind == "Pooling":
            size = module.config.get("embedding_dimension") or architecture.get("hidden_size") or 0
            dim = int(size) * len(module.config["pooling_mode"])
        elif module.kind == "Dense":
            dim = int(module.config.get("out_features") or 0)
    if dim <= 0:
        raise ModelError(f"{root} does not make one vector of a text: it has no Pooling module")
    truncated = settings.get("truncate_dim")
    if truncated is None:
        return dim
    if not isinstance(truncated, int) or truncated < 1:
        raise ModelError(f"{root}: truncate_dim must be a whole number from 1, not {truncated!r}")
    return min(dim, truncated)
