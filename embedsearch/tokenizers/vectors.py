"""From tokens to vectors: what a word is in a model's table, and what it is in a sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.encoder.resolve import DEFAULT_MODEL
from embedsearch.encoder.token_states import TokenModel
from embedsearch.errors import InputError
from embedsearch.text.inspection import InspectedToken, inspect_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

NEIGHBOURS = 5


@dataclass(frozen=True, kw_only=True)
class TokenVectors:
    """A text's tokens with a vector each, not normalised.

    `static`, shape (n, width), is the token's row of the embedding matrix, `contextual`, shape
    (n, hidden), its vector in this sentence; `neighbours` has for each token those whose rows are
    nearest to its own, with the cosines.
    """

    model: str
    text: str
    tokens: tuple[InspectedToken, ...]
    static: Matrix
    contextual: Matrix
    neighbours: tuple[tuple[tuple[str, float], ...], ...]

    def as_json(self) -> dict[str, Any]:
        """What `embedsearch tokenize --vectors --json` prints for one text."""
        return {
            "model": self.model,
            "text": self.text,
            "ids": [token.id for token in self.tokens],
            "tokens": [token.token for token in self.tokens],
            "offsets": [[token.start, token.end] for token in self.tokens],
            "count": len(self.tokens),
            "static": self.static.tolist(),
            "contextual": self.contextual.tolist(),
            "neighbours": [
                [{"token": token, "cosine": cosine} for token, cosine in each]
                for each in self.neighbours
            ],
        }


@dataclass(frozen=True, kw_only=True)
class Occurrence:
    """A word in a sentence, `sentence[start:end]`, and the tokens that it is made of."""

    sentence: str
    start: int
    end: int
    tokens: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class WordComparison:
    """One word in several sentences: cosines of each occurrence with each, shape (n, n).

    A word of several tokens is the mean of their vectors. `static` is 1 everywhere where the tokens
    are the same; `contextual` parts by what the word means.
    """

    model: str
    word: str
    occurrences: tuple[Occurrence, ...]
    static: Matrix
    contextual: Matrix

    def as_json(self) -> dict[str, Any]:
        """What `embedsearch tokenize --compare --json` prints."""
        return {
            "model": self.model,
            "word": self.word,
            "occurrences": [
                {
                    "sentence": each.sentence,
                    "start": each.start,
                    "end": each.end,
                    "tokens": list(each.tokens),
                }
                for each in self.occurrences
            ],
            "static": self.static.tolist(),
            "contextual": self.contextual.tolist(),
        }


def token_vectors(text: str, model: str | Path | TokenModel = DEFAULT_MODEL) -> TokenVectors:
    """Each token's row of the model's embedding matrix and its vector in this sentence.

    `model` is a name, a folder or a hub id, or a `TokenModel`. Raises InputError for a text without
    tokens or longer than the model sees, ModelError where the model cannot be loaded.
    """
    loaded = _loaded(model)
    states = loaded.states(text)
    neighbours = loaded.nearest(states.encoding.ids, NEIGHBOURS)
    return TokenVectors(
        model=_name(model),
        text=text,
        tokens=inspect_text(loaded.tokenizer, text).tokens,
        static=states.static,
        contextual=states.contextual,
        neighbours=tuple(map(tuple, neighbours)),
    )


def compare_word(
    word: str, sentences: Sequence[str], model: str | Path | TokenModel = DEFAULT_MODEL
) -> WordComparison:
    """One word in several sentences, as its static rows and as its vectors in context.

    The word is looked for as a whole and in any case; every place counts. Raises InputError for a
    sentence without it, or where it stands only once in all; else as `token_vectors`.
    """
    import numpy as np

    if not word.strip():
        raise InputError("the word to compare is empty")
    if isinstance(sentences, str):
        raise InputError("a list of sentences is needed, not one string: put it in a list")
    if not sentences:
        raise InputError(f"no sentences with {word!r} are given")
    places = [(sentence, place) for sentence in sentences for place in _places(word, sentence)]
    if len(places) < 2:
        raise InputError(f"{word!r} stands only once in all: give another sentence with it")
    loaded = _loaded(model)
    states = {sentence: loaded.states(sentence) for sentence in dict.fromkeys(sentences)}
    occurrences, static, contextual = [], [], []
    for sentence, (start, end) in places:
        found = states[sentence]
        rows = [
            row
            for row, (begin, stop) in enumerate(found.encoding.offsets)
            if begin < end and stop > start
        ]
        if not rows:
            raise InputError(f"{word!r} has no tokens in {sentence!r}")
        tokens = tuple(found.encoding.tokens[row] for row in rows)
        occurrences.append(Occurrence(sentence=sentence, start=start, end=end, tokens=tokens))
        static.append(found.static[rows].mean(axis=0))
        contextual.append(found.contextual[rows].mean(axis=0))
    return WordComparison(
        model=_name(model),
        word=word,
        occurrences=tuple(occurrences),
        static=_cosines(np.stack(static)),
        contextual=_cosines(np.stack(contextual)),
    )


def _loaded(model: str | Path | TokenModel) -> TokenModel:
    return model if isinstance(model, TokenModel) else TokenModel.load(model)


def _name(model: str | Path | TokenModel) -> str:
    return "" if isinstance(model, TokenModel) else str(model)


def _places(word: str, sentence: str) -> list[tuple[int, int]]:
    pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
    found = [place.span() for place in pattern.finditer(sentence)]
    if not found:
        raise InputError(f"the word {word!r} is not in {sentence!r}")
    return found


def _cosines(vectors: Matrix) -> Matrix:
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.maximum(lengths, 1e-12)
    cosines: Matrix = np.clip(units @ units.T, -1.0, 1.0).astype(np.float32)
    return cosines
