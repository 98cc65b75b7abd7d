"""A tokenizer with further tokens: new words of its own kind where it can have them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from embedsearch.errors import InputError
from embedsearch.text.formats.bytelevel import is_unicode, reads_as_bytes

if TYPE_CHECKING:
    import tokenizers


def extend(
    backend: tokenizers.Tokenizer, terms: Sequence[str], special_tokens: Sequence[str]
) -> tokenizers.Tokenizer:
    """A copy with further tokens. Ids that there were stay; new ones follow the highest.

    A term that the backend sees as one word becomes an entry of its vocabulary, over bytes also
    with the blank before it, so it is found where a word is found and nowhere else. Other terms
    (of two words; or those of SentencePiece, whose words are not split from punctuation) are cut
    out of the text before the model sees it, where no letter stands beside them.

    InputError for a term or tag that is empty, has white space around it, or is given twice.
    """
    from tokenizers import AddedToken, Tokenizer

    _check(terms, special_tokens)
    description = json.loads(backend.to_str())
    entries: list[str] = []
    cut_out: list[str] = []
    for term in terms:
        found = _entries(backend, description, term)
        if found is None:
            cut_out.append(term)
        else:
            entries += found
    _check_bytes(description, (*cut_out, *special_tokens))
    extended = Tokenizer.from_str(json.dumps(_with_entries(backend, description, entries)))
    normalized = backend.normalizer is not None and not _prepends(backend.normalizer)
    extended.add_tokens(
        [AddedToken(term, single_word=True, normalized=normalized) for term in cut_out]
    )
    extended.add_special_tokens([AddedToken(tag, normalized=False) for tag in special_tokens])
    return extended


def _check(terms: Sequence[str], special_tokens: Sequence[str]) -> None:
    seen: set[str] = set()
    for what, tokens in (("term", terms), ("special token", special_tokens)):
        if isinstance(tokens, str):
            raise InputError(f"{what}s must be a list of strings, not the string {tokens!r}")
        for token in tokens:
            if not isinstance(token, str) or not token or token != token.strip():
                raise InputError(
                    f"the {what} {token!r} must be a string that is not empty, without white "
                    "space around it"
                )
            if not is_unicode(token):
                raise InputError(f"the {what} {token!r} has a lone surrogate")
            if token in seen:
                raise InputError(f"the {what} {token!r} is given twice")
            seen.add(token)


def _check_bytes(description: dict[str, Any], tokens: Sequence[str]) -> None:
    if '"ByteLevel"' not in json.dumps(description["decoder"]):
        return
    for token in tokens:
        if reads_as_bytes(token):
            raise InputError(
                f"{token!r} cannot be added to this tokenizer: it decodes such letters as bytes; "
                "write it in ASCII"
            )


def _entries(
    backend: tokenizers.Tokenizer, description: dict[str, Any], term: str
) -> list[str] | None:
    """The entries of the model's vocabulary that make a term one token; None where none can."""
    model = description["model"]
    splitter = backend.pre_tokenizer
    if splitter is None or not isinstance(model.get("vocab"), dict):
        return None
    over_bytes = '"ByteLevel"' in json.dumps(description["pre_tokenizer"])
    if "merges" in model and not over_bytes:
        return None  # its words have punctuation in them, so an entry would seldom be one
    if len(splitter.pre_tokenize_str("a b")) == 1:
        return None  # a whole text is one word
    found = []
    for text in (term, f" {term}") if over_bytes else (term,):
        normal = backend.normalizer.normalize_str(text) if backend.normalizer else text
        words = splitter.pre_tokenize_str(normal)
        if len(words) != 1:
            return None
        found.append(str(words[0][0]))
    return found


def _prepends(normalizer: tokenizers.normalizers.Normalizer) -> bool:
    """Whether a blank is put before a text, as SentencePiece does: no such stands in a term."""
    return not str(normalizer.normalize_str("a")).startswith("a")


def _with_entries(
    backend: tokenizers.Tokenizer, description: dict[str, Any], entries: Sequence[str]
) -> dict[str, Any]:
    """A tokenizer.json with further entries in its model's vocabulary."""
    model = description["model"]
    vocabulary = model.get("vocab")
    known = backend.get_vocab(with_added_tokens=True)
    new = [entry for entry in dict.fromkeys(entries) if entry not in known]
    if not new:
        return description
    # Added tokens without an entry would be numbered anew, after the entries.
    vocabulary.update({token["content"]: token["id"] for token in description["added_tokens"]})
    first = max(known.values()) + 1
    vocabulary.update({entry: first + number for number, entry in enumerate(new)})
    if "merges" in model:
        model["ignore_merges"] = True  # a word that is an entry is one token, without merges
    return description
