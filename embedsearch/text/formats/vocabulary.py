"""GPT-2's vocab.json with merges.txt, and BERT's vocab.txt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.errors import ModelError, NotFoundError
from embedsearch.text.formats.bytelevel import byte_characters
from embedsearch.text.formats.files import read_object, read_text, reported
from embedsearch.text.roles import role_by_name

if TYPE_CHECKING:
    import tokenizers

_SPECIAL = re.compile(r"<\|[^|<>]+\|>")


def read_gpt2(
    vocabulary: Path, merges: Path, config: Mapping[str, Any]
) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    """Byte-level BPE of GPT-2 and its kin; `config` is what tokenizer_config.json says."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    for path in (vocabulary, merges):
        if not path.is_file():
            raise NotFoundError(f"{path} is missing: vocab.json and merges.txt go together")
    ids = read_object(vocabulary)
    missing = [character for character in byte_characters() if character not in ids]
    if missing:
        raise ModelError(
            f"{vocabulary} is not the vocabulary of a byte-level BPE (it has no token "
            f"{missing[0]!r}); give a tokenizer.json instead"
        )
    with reported(vocabulary, "vocab.json"):
        backend = Tokenizer(models.BPE(ids, _parse_merges(merges, ids)))
    special = sorted(
        (token for token in ids if _SPECIAL.fullmatch(token) or role_by_name(token)),
        key=ids.__getitem__,
    )
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=config.get("add_prefix_space") is True
    )
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    backend.decoder = decoders.ByteLevel()
    if special == ["<|endoftext|>"]:
        roles = ("bos_token", "eos_token", "unk_token")
        return backend, dict.fromkeys(roles, "<|endoftext|>")
    return backend, {}


def _parse_merges(path: Path, ids: Mapping[str, Any]) -> list[tuple[str, str]]:
    merges = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        line = line.rstrip("\r")
        if not line or (number == 1 and line.startswith("#version")):
            continue
        left, _, right = line.partition(" ")
        unknown = [token for token in (left, right, left + right) if token not in ids]
        if not right or unknown:
            raise ModelError(
                f"{path}:{number} is no merge of two tokens of the vocabulary: {line[:60]!r}; "
                "fetch both files again"
            )
        merges.append((left, right))
    return merges


def read_bert(path: Path, config: Mapping[str, Any]) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    """WordPiece of BERT. Where `config` does not say, a vocabulary without capitals is uncased."""
    from tokenizers import (
        AddedToken,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
    )

    # Not splitlines(): some vocabularies hold the other line separators of Unicode as tokens.
    lines = read_text(path).split("\n")
    tokens = [line.rstrip("\r") for line in (lines[:-1] if not lines[-1] else lines)]
    ids = {token: number for number, token in enumerate(tokens)}
    if "[UNK]" not in ids:
        raise ModelError(
            f"{path} is cut short or not the vocabulary of a BERT: its {len(tokens):,} lines have "
            "no [UNK]; fetch it again"
        )
    lower = config.get("do_lower_case")
    if not isinstance(lower, bool):
        lower = not any(re.match(r"(?:##)?[A-Z]", token) for token in ids)
    accents = config.get("strip_accents")
    with reported(path, "vocab.txt"):
        backend = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))  # noqa: S106 - no password
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.get("tokenize_chinese_chars") is not False,
        strip_accents=accents if isinstance(accents, bool) else None,
        lowercase=lower,
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    special = [t for t in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if t in ids]
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    if "[CLS]" in ids and "[SEP]" in ids:
        backend.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[(token, ids[token]) for token in ("[CLS]", "[SEP]")],
        )
    return backend, {f"{token[1:-1].lower()}_token": token for token in special}
