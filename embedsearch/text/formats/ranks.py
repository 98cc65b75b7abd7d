"""tiktoken's rank files: a token in base64 and its rank a line, to byte-level BPE."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.errors import ModelError
from embedsearch.text.formats.bytelevel import SPLIT_PATTERNS, as_characters
from embedsearch.text.formats.files import read_bytes, reported

if TYPE_CHECKING:
    import tokenizers

_RANKS = {50_256: "r50k", 100_256: "cl100k", 199_998: "o200k"}
"""How many ranks a vocabulary has: a file under another name is known by it."""

_SPECIAL_TOKENS = {
    "r50k": {"<|endoftext|>": 50_256},
    "cl100k": {
        "<|endoftext|>": 100_257,
        "<|fim_prefix|>": 100_258,
        "<|fim_middle|>": 100_259,
        "<|fim_suffix|>": 100_260,
        "<|endofprompt|>": 100_276,
    },
    "o200k": {"<|endoftext|>": 199_999, "<|endofprompt|>": 200_018},
}
_LONGEST_TOKEN = 1024


def read_ranks(path: Path) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    """The backend and its settings. ModelError for a damaged file or a vocabulary not known."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        processors,
    )

    ranks = _parse(path)
    name = _name(path, len(ranks))
    special = _SPECIAL_TOKENS[name]
    vocabulary = {as_characters(token): rank for token, rank in ranks.items()}
    with reported(path, "tiktoken rank file"):
        backend = Tokenizer(
            # The ids of special tokens leave gaps, which only the model's own vocabulary may have.
            models.BPE(vocabulary | special, _merges(ranks), ignore_merges=True)
        )
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERNS[name]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    backend.decoder = decoders.ByteLevel()
    return backend, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}


def _name(path: Path, ranks: int) -> str:
    for name in SPLIT_PATTERNS:
        if name in path.name.lower():
            return name
    if ranks not in _RANKS:
        raise ModelError(
            f"{path} has {ranks:,} ranks, which is no vocabulary known here: give the file a name "
            f"with {', '.join(SPLIT_PATTERNS)} in it, which says how texts are split"
        )
    return _RANKS[ranks]


def _parse(path: Path) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(read_bytes(path).splitlines(), 1):
        if not line:
            continue
        encoded, _, rank = line.partition(b" ")
        try:
            token = base64.b64decode(encoded, validate=True)
            if not 0 < len(token) <= _LONGEST_TOKEN:
                raise ValueError(f"a token of {len(token)} bytes")
            ranks[token] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise ModelError(
                f"{path}:{number} is not a token in base64 and its rank: {error}; fetch it again"
            ) from None
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise ModelError(
            f"{path} is cut short or no tiktoken rank file: it has {len(ranks):,} ranks and none "
            f"for the byte {missing[0]}; fetch it again"
        )
    if sorted(ranks.values()) != list(range(len(ranks))):
        raise ModelError(
            f"{path} is cut short or damaged: its {len(ranks):,} ranks are not the numbers from 0 "
            "on; fetch it again"
        )
    return ranks


def _merges(ranks: dict[bytes, int]) -> list[tuple[str, str]]:
    """Every way to put a token together from two: tiktoken joins whatever pair has a rank."""
    found: list[tuple[int, int, int, str, str]] = []
    names = {token: as_characters(token) for token in ranks}
    rank_of = ranks.get
    for token, rank in ranks.items():
        name = names[token]
        for cut in range(1, len(token)):
            left = rank_of(token[:cut])
            if left is not None and (right := rank_of(token[cut:])) is not None:
                found.append((rank, left, right, name[:cut], name[cut:]))
    found.sort()
    return [(left, right) for *_, left, right in found]
