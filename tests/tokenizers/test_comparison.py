import json
import os
from pathlib import Path

import pytest

import embedsearch as es
from embedsearch.errors import EmbedSearchError, InputError, NotFoundError
from embedsearch.text.groups import TextGroup, read_groups
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.tokenizers.names import named_tokenizers, short_names
from tests.text.toys import KINDS, byte_bpe, char, unigram, word, wordpiece

TEXTS = {
    "en": ["the cat", "hello world"],
    "th": ["สวัสดี", "สวัสดีชาวโลก"],
    "ru": ["привет мир", "мир"],
}


def groups_of(report):
    return {each.group: each for each in report.groups}


def test_every_figure_against_the_tokenizer_itself():
    tokenizers = {kind: make() for kind, make in KINDS.items()}
    config = es.ComparisonConfig(context_window=100, price=2.0)
    found = es.compare_tokenizers(tokenizers, TEXTS, config)
    assert (found.basis, found.fragments) == ("same texts", ())
    for report in found.tokenizers:
        tokenizer = tokenizers[report.tokenizer]
        unknown = {"byte_bpe": None, "fallback_bpe": "<unk>", "suffix_bpe": "<unk>"}.get(
            report.tokenizer, "<unk>" if report.tokenizer == "unigram" else "[UNK]"
        )
        for language, texts in TEXTS.items():
            encodings = [tokenizer.encode(text, special_tokens=False) for text in texts]
            ids = [number for encoding in encodings for number in encoding.ids]
            unknown_id = tokenizer._backend.token_to_id(unknown) if unknown else None
            cost = groups_of(report)[language].cost
            assert cost.texts == 2
            assert cost.tokens == len(ids)
            assert cost.characters == sum(map(len, texts))
            assert cost.bytes == sum(len(text.encode()) for text in texts)
            assert cost.words == sum(len(text.split()) for text in texts)
            assert cost.unknown == ids.count(unknown_id)
            assert cost.unknown_share == cost.unknown / len(ids)
            assert cost.ids_used == len(set(ids))
            assert cost.vocabulary_use == len(set(ids)) / tokenizer.vocab_size
            assert cost.tokens_per_word == len(ids) / cost.words
            assert cost.tokens_per_character == len(ids) / cost.characters
            assert cost.context_share == len(ids) / 100
            assert cost.cost == pytest.approx(len(ids) * 2 / 1_000_000)
            decoded = [tokenizer.decode(e.ids, skip_special_tokens=False) for e in encodings]
            assert cost.lost == sum(map(str.__ne__, decoded, texts))
        total = report.total
        assert total.tokens == sum(each.cost.tokens for each in report.groups)
        assert total.texts == 6
        assert total.lost == sum(each.cost.lost for each in report.groups)
        assert report.vocab_size == tokenizer.vocab_size
        assert report.seconds > 0


def test_ratios_to_the_cheapest():
    [report] = es.compare_tokenizers([byte_bpe()], TEXTS).tokenizers
    tokens = {group: each.cost.tokens for group, each in groups_of(report).items()}
    assert report.tokenizer == "tokenizer 1"
    assert report.reference == min(tokens, key=tokens.__getitem__)
    for group, each in groups_of(report).items():
        assert each.ratio == tokens[group] / min(tokens.values())
    [report] = es.compare_tokenizers(
        [byte_bpe()], TEXTS, es.ComparisonConfig(reference="th")
    ).tokenizers
    assert report.reference == "th"
    assert groups_of(report)["en"].ratio == tokens["en"] / tokens["th"]


def test_a_language_that_is_not_read_is_not_the_cheapest():
    texts = {"en": ["the cat sat on the mat"], "xx": ["ꙮꙮꙮꙮꙮꙮ"]}
    [report] = es.compare_tokenizers([wordpiece()], texts).tokenizers
    found = groups_of(report)
    assert found["xx"].cost.tokens == found["xx"].cost.unknown == 1
    assert not found["xx"].readable
    assert report.reference == "en"
    assert found["xx"].ratio == 1 / found["en"].cost.tokens


def test_fragments_are_left_out():
    line = "the cat sat\n"
    texts = {"a": [line * 10], "b": [line * 9], "c": [line * 10], "part": [line * 5], "none": [""]}
    found = es.compare_tokenizers([char()], texts)
    assert found.fragments == ("part", "none")
    ratios = {each.group: each.ratio for each in found.tokenizers[0].groups}
    assert ratios == {
        "a": pytest.approx(10 / 9),
        "b": 1,
        "c": pytest.approx(10 / 9),
        "part": None,
        "none": None,
    }
    chosen = es.compare_tokenizers([char()], texts, es.ComparisonConfig(reference="part"))
    assert chosen.fragments == ("none",)
    assert groups_of(chosen.tokenizers[0])["a"].ratio == 2


def test_parallel_texts():
    groups = [
        TextGroup(name="long", texts=["the cat sat"], parallel=["cat"]),
        TextGroup(name="short", texts=["dog", "dog"], parallel=["the dog", "the dog"]),
    ]
    found = es.compare_tokenizers([word()], groups)
    assert found.basis == "parallel texts"
    assert {each.group: each.ratio for each in found.tokenizers[0].groups} == {
        "long": 3 / 0.5,
        "short": 1.0,
    }


def test_different_texts_are_compared_by_the_character():
    found = es.compare_tokenizers([char()], {"a": ["abc", "d"], "b": ["abc"]})
    assert found.basis == "characters"
    assert [each.ratio for each in found.tokenizers[0].groups] == [1.0, 1.0]


def test_texts_without_groups():
    found = es.compare_tokenizers([char(), unigram()], ["the cat", "the dog"])
    assert [report.tokenizer for report in found.tokenizers] == ["tokenizer 1", "tokenizer 2"]
    [group] = found.tokenizers[0].groups
    assert (group.group, group.ratio, group.cost.texts) == ("all", None, 2)
    data = json.loads(json.dumps(found.as_json()))
    assert data["tokenizers"][0].keys() >= {
        "tokenizer", "tokens", "tokens_per_word", "tokens_per_character", "unknown", "lost",
        "vocabulary_use", "megabytes_per_second", "context_share", "cost", "groups",
    }  # fmt: skip
    assert data["tokenizers"][0]["groups"][0].keys() >= {"group", "tokens", "ratio"}


@pytest.mark.parametrize(
    ("texts", "part"),
    [
        ("text", "a list of texts"),
        ([], "no text"),
        ([""], "no text"),
        ([3], "a int among"),
        ({"a": ["\ud800"]}, "lone surrogate"),
        ([TextGroup(name="a", texts=["x"]), TextGroup(name="a", texts=["y"])], "same name"),
    ],
)
def test_what_cannot_be_compared(texts, part):
    with pytest.raises(InputError, match=part):
        es.compare_tokenizers([char()], texts)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"context_window": 0}, "context_window must be at least 1"),
        ({"context_window": 1.5}, "context_window must be a whole number"),
        ({"price": -1.0}, "price"),
        ({"price": "2"}, "price"),
        ({"price": float("nan")}, "price"),
    ],
)
def test_settings_that_make_no_sense(settings, part):
    with pytest.raises(InputError, match=part):
        es.ComparisonConfig(**settings)
    with pytest.raises(InputError, match="'zz' is no group"):
        es.compare_tokenizers([char()], TEXTS, es.ComparisonConfig(reference="zz"))


def test_names(tmp_path):
    assert list(named_tokenizers(None)) == ["all-MiniLM-L6-v2"]
    made = char()
    assert named_tokenizers({"mine": made}) == {"mine": made}
    for bad, part in (
        ([], "no tokenizer"),
        (made, "a list"),
        ("gpt2", "a list"),
        (["x", "x"], "twice"),
    ):
        with pytest.raises(InputError, match=part):
            named_tokenizers(bad)
    with pytest.raises(NotFoundError, match="nowhere"):
        named_tokenizers([tmp_path / "nowhere"])
    assert short_names(["x/a/one/", "y/b/one", "two"]) == {
        "x/a/one/": "a/one",
        "y/b/one": "b/one",
        "two": "two",
    }
    assert short_names(["a", "a/"]) == {"a": "a", "a/": "a/"}


# What is known of tokenizers that everybody uses; these files need their own loaders


def known(path: str) -> Tokenizer:
    """A tokenizer of the public set; skips where there is no loader for its format."""
    file = Path(os.environ["EMBEDSEARCH_DATA"]) / "tokenizers" / path
    if not file.exists():
        pytest.skip(f"EMBEDSEARCH_DATA has no tokenizers/{path}")
    try:
        return Tokenizer.load(file)
    except EmbedSearchError as error:
        pytest.skip(f"Tokenizer.load cannot read {path}: {error}")


@pytest.mark.data
def test_strawberry_is_three_tokens():
    found = es.inspect_text(known("tiktoken/cl100k_base.tiktoken"), "strawberry")
    assert [token.piece for token in found.tokens] == ["str", "aw", "berry"]


@pytest.mark.data
def test_gpt2_says_hello():
    found = es.inspect_text(known("gpt2"), "Hello, world!")
    assert [token.id for token in found.tokens] == [15496, 11, 995, 0]
    assert [token.piece for token in found.tokens] == ["Hello", ",", " world", "!"]


@pytest.mark.data
def test_the_tax_on_thai_burmese_and_tibetan(public_set):
    languages = {"eng", "tha", "mya", "bod"}
    every = read_groups([public_set("udhr") / "udhr.jsonl.xz"])
    assert len(every) == 387  # of 388, one is empty
    groups = [group for group in every if group.name in languages]
    tokenizers = {name: known(f"tiktoken/{name}_base.tiktoken") for name in ("r50k", "o200k")}
    old, new = es.compare_tokenizers(tokenizers, groups).tokenizers
    assert old.reference == new.reference == "eng"
    assert (old.total.lost, new.total.lost) == (0, 0)
    for language, times in (("tha", 5), ("mya", 12), ("bod", 9)):
        assert groups_of(old)[language].ratio > times
        assert groups_of(new)[language].ratio < groups_of(old)[language].ratio
        assert groups_of(new)[language].cost.tokens < groups_of(old)[language].cost.tokens
