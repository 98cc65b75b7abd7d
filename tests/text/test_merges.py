import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import models

from embedsearch.errors import InputError
from embedsearch.text.anatomy import Anatomy
from embedsearch.text.merges import compression_curve
from embedsearch.text.tokenizer import Tokenizer
from tests.text.toys import KINDS, TEXT

BYTE_PAIR = ("byte_bpe", "fallback_bpe", "suffix_bpe")
TOKENIZERS = {kind: KINDS[kind]() for kind in KINDS}
LETTERS = st.text("aelotwr thedn🦩สวé\nQ", max_size=60)


def cut_to(tokenizer: Tokenizer, merges: int) -> Tokenizer:
    """The tokenizer with its first merges alone."""
    settings = json.loads(tokenizer._backend.to_str())
    settings["model"]["merges"] = settings["model"]["merges"][:merges]
    return Tokenizer(Backend.from_str(json.dumps(settings)))


@pytest.mark.parametrize("kind", BYTE_PAIR)
def test_every_point_is_what_a_tokenizer_with_so_many_merges_gives(kind):
    tokenizer = TOKENIZERS[kind]
    curve = compression_curve(tokenizer, TEXT)
    every = len(Anatomy(tokenizer).model_settings["merges"])
    assert (curve.merges[0], curve.merges[-1]) == (0, every)
    assert curve.characters == sum(map(len, TEXT))
    for merges in (0, 1, 2, 7, every // 2, every - 1, every):
        assert curve.at(merges) == sum(cut_to(tokenizer, merges).count(TEXT))


@pytest.mark.parametrize("kind", BYTE_PAIR)
def test_vocabulary_sizes(kind):
    tokenizer = TOKENIZERS[kind]
    curve = compression_curve(tokenizer, TEXT)
    merges = Anatomy(tokenizer).model_settings["merges"]
    assert curve.vocab_sizes[-1] == tokenizer.vocab_size
    assert curve.vocab_sizes[0] == tokenizer.vocab_size - len({"".join(pair) for pair in merges})


def test_merges_that_are_out_of_order():
    letters = {letter: number for number, letter in enumerate("abcd")}
    merges = [("ab", "c"), ("b", "d"), ("a", "b"), ("abc", "d"), ("a", "bd")]
    made = {"".join(pair): 4 + number for number, pair in enumerate(merges)}
    tokenizer = Tokenizer(Backend(models.BPE(vocab=letters | made, merges=merges)))
    texts = ["abcd", "abc", "abd", "cab", "abcabd"]
    curve = compression_curve(tokenizer, texts)
    for count in range(len(merges) + 1):
        assert curve.at(count) == sum(cut_to(tokenizer, count).count(texts)), count


@pytest.mark.parametrize("kind", BYTE_PAIR)
def test_tokens_that_are_found_in_the_text_itself(kind):
    tokenizer = TOKENIZERS[kind].with_tokens(["the ball"], special_tokens=["<tag>"])
    texts = ["the cat <tag>the ball<tag> the <|endoftext|> <s> dog", "<tag>", " <tag> "]
    curve = compression_curve(tokenizer, texts)
    for merges in (0, 1, 7, curve.merges[-1]):
        assert curve.at(merges) == sum(cut_to(tokenizer, merges).count(texts))


def test_words_that_are_tokens_without_merges():
    """With `ignore_merges` a word of the vocabulary is one token, however it would be merged."""
    letters = {letter: number for number, letter in enumerate("abcd")}
    merges = [("a", "b"), ("b", "c"), ("a", "bc"), ("c", "d")]
    made = {token: 4 + number for number, token in enumerate(("ab", "bc", "abc", "cd", "dad"))}
    texts = ["abc", "dad", "abcd", "a"]
    for count, tokens in enumerate([3 + 1 + 4 + 1, 2 + 1 + 3 + 1, 2 + 1 + 3 + 1, 7 - 1, 5]):
        there = {"ab": 1, "bc": 2, "abc": 3, "cd": 4, "dad": 0}
        vocab = letters | {token: made[token] for token in made if there[token] <= count}
        model = models.BPE(vocab=vocab, merges=merges[:count], ignore_merges=True)
        cut = Tokenizer(Backend(model))
        assert sum(cut.count(texts)) == tokens
    curve = compression_curve(cut, texts)
    assert [curve.at(count) for count in range(5)] == [9, 7, 7, 6, 5]


@pytest.mark.parametrize("kind", BYTE_PAIR)
@given(texts=st.lists(LETTERS, max_size=3))
def test_the_last_point_is_the_tokenizer_itself(kind, texts):
    curve = compression_curve(TOKENIZERS[kind], texts)
    assert curve.tokens[-1] == sum(TOKENIZERS[kind].count(texts))
    assert list(curve.tokens) == sorted(curve.tokens, reverse=True)
    assert list(curve.merges) == sorted(set(curve.merges))


@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "word", "char"])
def test_only_byte_pairs_have_merges(kind):
    with pytest.raises(InputError, match="has no merges"):
        compression_curve(TOKENIZERS[kind], TEXT)
