"""Which special token plays which role."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

ROLES = {
    "bos": ("<s>", "[BOS]", "<bos>", "<|startoftext|>", "<|begin_of_text|>"),
    "eos": ("</s>", "[EOS]", "<eos>", "<|endoftext|>", "<|end_of_text|>"),
    "unk": ("[UNK]", "<unk>"),
    "sep": ("[SEP]", "<sep>"),
    "pad": ("[PAD]", "<pad>", "<|pad|>", "<|padding|>"),
    "cls": ("[CLS]", "<cls>"),
    "mask": ("[MASK]", "<mask>"),
}
"""The roles of transformers, with the names under which a token of that role is usual."""


def roles_of(config: Mapping[str, Any], token_to_id: Callable[[str], int | None]) -> dict[str, str]:
    """Tokens by role: what tokenizer_config.json says, else a usual name in the vocabulary."""
    found = {}
    for role, usual in ROLES.items():
        named = config.get(f"{role}_token")
        if isinstance(named, Mapping):  # an AddedToken as transformers writes it
            named = named.get("content")
        candidates = (named,) if isinstance(named, str) else usual
        for token in candidates:
            if token_to_id(token) is not None:
                found[role] = token
                break
    return found


def role_by_name(token: str) -> str | None:
    """The role of a token that has a usual name."""
    return next((role for role, usual in ROLES.items() if token in usual), None)
