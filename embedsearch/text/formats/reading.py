"""Which format a file or folder is in, and reading it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.errors import ModelError, NotFoundError
from embedsearch.text.formats.files import read_object, read_text, reported
from embedsearch.text.formats.ranks import read_ranks
from embedsearch.text.formats.sentencepiece import read_sentencepiece
from embedsearch.text.formats.vocabulary import read_bert, read_gpt2
from embedsearch.text.hub import cached, fetch, is_hub_id
from embedsearch.text.paths import typed_path

if TYPE_CHECKING:
    import tokenizers

    _Read = tuple[tokenizers.Tokenizer, dict[str, Any]]

FILE_NAME = "tokenizer.json"
CONFIG_NAME = "tokenizer_config.json"
TEMPLATE_NAME = "chat_template.jinja"
SAVED_NAMES = (FILE_NAME, CONFIG_NAME, TEMPLATE_NAME)
"""What `Tokenizer.save` writes into a folder."""
KNOWN = (
    f"{FILE_NAME}, vocab.json with merges.txt, vocab.txt, a SentencePiece .model or a .tiktoken "
    "rank file"
)
_SPM_NAMES = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
_HUB_FILES = ["*.json", "*.model", "*.tiktoken", "merges.txt", "vocab.txt", TEMPLATE_NAME]
_HUB_IGNORED = ["*/*", "*.index.json"]
_GENERIC = frozenset({"PreTrainedTokenizerFast", "TokenizersBackend"})
_BY_HAND = (
    "to bring a tokenizer by hand, copy its tokenizer.json (and tokenizer_config.json) to this "
    "machine and give the path"
)


@dataclass(frozen=True, kw_only=True)
class TokenizerParts:
    """A tokenizer as it was read: `config` is tokenizer_config.json, completed by the format."""

    backend: tokenizers.Tokenizer
    config: Mapping[str, Any]
    chat_template: str | None


def read_tokenizer(source: str | Path) -> TokenizerParts:
    """Reads a folder, a single file of a known format, or a repository of the hub by its id.

    NotFoundError where there is no tokenizer, ModelError where it cannot be read.
    """
    path = typed_path(source)
    if not path.exists() and isinstance(source, str) and _may_be_on_hub(source):
        return _from_hub(source)
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise NotFoundError(f"no tokenizer at {str(path)!r}; give the folder or the file: {KNOWN}")
    config = _config(path.parent)
    reader = _READERS.get(path.suffix.lower())
    if path.name == "vocab.json":
        backend, found = read_gpt2(path, path.with_name("merges.txt"), config)
    elif path.name == "merges.txt":
        backend, found = read_gpt2(path.with_name("vocab.json"), path, config)
    elif reader is not None:
        backend, found = reader(path, config)
    else:
        raise ModelError(f"{str(path)!r} is no tokenizer file known here: {KNOWN}")
    return _parts(path.parent, backend, found, config)


def _from_hub(repo: str) -> TokenizerParts:
    """What is in the cache needs no network; a part that an interrupted download left is no use."""
    folder = cached(repo)
    if folder is not None and folder.is_dir():
        with contextlib.suppress(NotFoundError):
            return _read_folder(folder)
    called = f"the tokenizer {repo!r}"
    return _read_folder(
        fetch(repo, called=called, allow=_HUB_FILES, ignore=_HUB_IGNORED, by_hand=_BY_HAND)
    )


def _may_be_on_hub(source: str) -> bool:
    looks_like_file = source.startswith((".", "/", "~")) or source.count(os.sep) > 1
    suffixes = (".json", ".txt", ".model", ".tiktoken")
    return is_hub_id(source) and not looks_like_file and not source.endswith(suffixes)


def _read_json(path: Path) -> _Read:
    from tokenizers import Tokenizer

    content = read_text(path)
    with reported(path, f"{FILE_NAME} of Hugging Face tokenizers"):
        return Tokenizer.from_str(content), {}


_READERS: dict[str, Callable[[Path, Mapping[str, Any]], _Read]] = {
    ".json": lambda path, _config: _read_json(path),
    ".txt": read_bert,
    ".model": lambda path, _config: read_sentencepiece(path),
    ".tiktoken": lambda path, _config: read_ranks(path),
}


def _read_folder(folder: Path) -> TokenizerParts:
    """The first of the known formats that is there; tokenizer.json says most."""
    config = _config(folder)
    if (folder / FILE_NAME).is_file():
        backend, found = _read_json(folder / FILE_NAME)
    elif _names_class(config):
        backend, found = _through_transformers(folder), {}
    elif (folder / "vocab.json").is_file() or (folder / "merges.txt").is_file():
        backend, found = read_gpt2(folder / "vocab.json", folder / "merges.txt", config)
    elif (folder / "vocab.txt").is_file():
        backend, found = read_bert(folder / "vocab.txt", config)
    else:
        backend, found = _read_only_model(folder)
    return _parts(folder, backend, found, config)


def _read_only_model(folder: Path) -> _Read:
    named = [folder / name for name in _SPM_NAMES if (folder / name).is_file()]
    models = named[:1] or sorted(folder.glob("*.model"))
    ranks = sorted(folder.glob("*.tiktoken"))
    if len(models) == 1 and not ranks:
        return read_sentencepiece(models[0])
    if len(ranks) == 1 and not models:
        return read_ranks(ranks[0])
    if models or ranks:
        names = ", ".join(path.name for path in (*models, *ranks))
        raise ModelError(f"{str(folder)!r} holds several tokenizers, give one of them: {names}")
    raise NotFoundError(f"no tokenizer in {str(folder)!r}; looked for were {KNOWN}")


def _names_class(config: Mapping[str, Any]) -> bool:
    name = config.get("tokenizer_class")
    return isinstance(name, str) and name not in _GENERIC and "auto_map" not in config


def _through_transformers(folder: Path) -> tokenizers.Tokenizer:
    """A folder without tokenizer.json whose config names a class: that class knows what is added to
    the vocabulary file (the ids that XLM-R shifts, the extra ids of T5)."""
    from transformers import AutoTokenizer

    with reported(folder, "tokenizer that transformers loads"):
        loaded = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
        return loaded.backend_tokenizer


def _config(folder: Path) -> dict[str, Any]:
    """tokenizer_config.json, its special tokens completed from special_tokens_map.json."""
    config = read_object(folder / CONFIG_NAME)
    for key, value in read_object(folder / "special_tokens_map.json").items():
        config.setdefault(key, value)
    return config


def _parts(
    folder: Path,
    backend: tokenizers.Tokenizer,
    found: Mapping[str, Any],
    config: Mapping[str, Any],
) -> TokenizerParts:
    template = folder / TEMPLATE_NAME
    chat = read_text(template) if template.is_file() else _template(config.get("chat_template"))
    merged = {**found, **config}
    merged.pop("chat_template", None)
    return TokenizerParts(backend=backend, config=merged, chat_template=chat)


def _template(value: object) -> str | None:
    """A template, or of several with names the default one."""
    if isinstance(value, list):
        named = {e.get("name"): e.get("template") for e in value if isinstance(e, dict)}
        value = named.get("default")
    return value if isinstance(value, str) else None
