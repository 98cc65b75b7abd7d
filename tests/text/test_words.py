"""Words of text, and the tokenizer that finds the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsearch.text.words import split_words, word_tokenizer


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "The cat's 2 mats, e.g. new_york!",
            ["the", "cat", "s", "2", "mats", "e", "g", "new_york"],
        ),
        ("ÉTÉ e\u0301te\u0301", ["été", "été"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("東京 は 大きい。", ["東京", "は", "大きい"]),
        ("", []),
        (" \t-–—", []),
    ],
)
def test_words(text, words):
    assert split_words(text) == words


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_tokenizer_finds_the_same_words(text):
    words = split_words(text)
    assert word_tokenizer(words).encode(text).tokens == words


@given(st.text(st.characters(codec="ascii")))
def test_ascii_goes_the_short_way_to_the_same_words(text):
    assert split_words(text) == split_words(text + " é")[:-1]


def test_other_words_are_unknown():
    tokenizer = word_tokenizer(["cat", "dog"])
    assert tokenizer.encode("Dog and cat").ids == [2, 0, 1]
