"""What decoding does not bring back, read from a tokenizer's own description."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from embedsearch.text.formats.sentencepiece import SPACE

_NORMALIZERS = {
    "NFC": "characters are composed (NFC)",
    "NFD": "characters are decomposed (NFD)",
    "NFKC": "characters are replaced by compatible ones (NFKC)",
    "NFKD": "characters are replaced by compatible ones (NFKD)",
    "Nmt": "control characters are removed",
    "Lowercase": "capitals become lower case",
    "StripAccents": "accents are removed",
    "Precompiled": "characters are replaced by compatible ones (a SentencePiece map)",
    "Strip": "white space at the ends is removed",
}
_SPLITTERS = ("Whitespace", "WhitespaceSplit", "BertPreTokenizer", "CharDelimiterSplit")


def round_trip_losses(description: Mapping[str, Any]) -> tuple[str, ...]:
    """One short sentence for each loss, from the content of a tokenizer.json."""
    normalizers = list(_steps(description.get("normalizer"), "normalizers"))
    splitters = list(_steps(description.get("pre_tokenizer"), "pretokenizers"))
    found = [
        *_of_normalizers(normalizers),
        *_of_splitters(splitters),
        *_of_model(description.get("model") or {}, splitters),
    ]
    return tuple(dict.fromkeys(found))


def _steps(component: Mapping[str, Any] | None, key: str) -> Iterator[Mapping[str, Any]]:
    """The parts of a component, sequences unrolled."""
    if component is None:
        return
    if component.get("type") == "Sequence":
        for step in component.get(key) or ():
            yield from _steps(step, key)
    else:
        yield component


def _of_normalizers(steps: list[Mapping[str, Any]]) -> Iterator[str]:
    for step in steps:
        kind = str(step.get("type"))
        if kind == "BertNormalizer":
            yield "control characters are removed, white space becomes blanks"
            if step.get("lowercase"):
                yield _NORMALIZERS["Lowercase"]
            if step.get("strip_accents", step.get("lowercase")):
                yield _NORMALIZERS["StripAccents"]
        elif kind == "Replace":
            if step.get("content") == SPACE:
                yield f"{SPACE} (U+2581) comes back as a blank"
            elif step.get("content") == "":
                yield "white space is collapsed"
            else:
                yield f"some characters become {step.get('content')!r}"
        elif kind in _NORMALIZERS:
            yield _NORMALIZERS[kind]
        elif kind != "Prepend":
            yield f"the text is changed by {kind}"


def _of_splitters(steps: list[Mapping[str, Any]]) -> Iterator[str]:
    for step in steps:
        kind = step.get("type")
        if kind in _SPLITTERS:
            yield "white space comes back as single blanks, or not at all"
        elif kind == "Metaspace":
            yield f"{SPACE} (U+2581) comes back as a blank"
            yield "a blank at the beginning is lost"
        elif kind == "ByteLevel" and step.get("add_prefix_space"):
            yield "a blank is put before the text"
        elif kind in ("Split", "Punctuation") and step.get("behavior") == "Removed":
            yield "what separates tokens is removed"


def _of_model(model: Mapping[str, Any], splitters: list[Mapping[str, Any]]) -> Iterator[str]:
    over_bytes = any(step.get("type") == "ByteLevel" for step in splitters)
    if not over_bytes and not model.get("byte_fallback"):
        unknown = model.get("unk_token") or "unknown"
        yield f"what is not in the vocabulary becomes {unknown}"
