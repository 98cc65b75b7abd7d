"""The name of a tokenizer to the tokenizer, and back to something short to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from embedsearch.encoder.resolve import DEFAULT_MODEL
from embedsearch.errors import InputError
from embedsearch.text.tokenizer import Tokenizer

Tokenizers = Sequence[str | Path | Tokenizer] | Mapping[str, str | Path | Tokenizer]
"""Tokenizers, or their names, folders and files; a mapping says what to call each."""


def load_tokenizer(name: str | Path) -> Tokenizer:
    """A tokenizer by all names that `Tokenizer.load` takes, or that of a bundled model.

    Raises as `Tokenizer.load` and `resolve_model` do.
    """
    from embedsearch.encoder.resolve import BUNDLED_NAMES, resolve_model

    return Tokenizer.load(resolve_model(name) if name in BUNDLED_NAMES else name)


def named_tokenizers(tokenizers: Tokenizers | None) -> dict[str, Tokenizer]:
    """Tokenizers by what was given for them, in order; the default model's for None.

    One that has no name is called `tokenizer N`. Raises InputError where none is given, or one
    twice, and as `load_tokenizer` does.
    """
    if isinstance(tokenizers, str | Path | Tokenizer):
        raise InputError("a list of tokenizers is needed, not one: put it in a list")
    if isinstance(tokenizers, Mapping):
        given = dict(tokenizers)
    else:
        listed = [DEFAULT_MODEL] if tokenizers is None else list(tokenizers)
        given = {
            f"tokenizer {place}" if isinstance(each, Tokenizer) else str(each): each
            for place, each in enumerate(listed, 1)
        }
        if len(given) < len(listed):
            raise InputError(f"a tokenizer is given twice among {', '.join(map(str, listed))}")
    if not given:
        raise InputError(f"no tokenizer is given; the default is {DEFAULT_MODEL!r}")
    return {
        name: each if isinstance(each, Tokenizer) else load_tokenizer(each)
        for name, each in given.items()
    }


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Each name with its end, from a slash on, that is just long enough to tell it apart."""
    parts = [name.rstrip("/").split("/") for name in names]
    for length in range(1, max(map(len, parts), default=0) + 1):
        ends = ["/".join(each[-length:]) for each in parts]
        if len(set(ends)) == len(ends):
            return dict(zip(names, ends, strict=True))
    return {name: name for name in names}
