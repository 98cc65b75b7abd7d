import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsearch.errors import InputError
from embedsearch.text.anatomy import Anatomy
from embedsearch.text.inspection import COMPARED_CHARACTERS, Change, inspect_text
from tests.text.toys import KINDS

TOKENIZERS = {kind: make() for kind, make in KINDS.items()}
AWKWARD = st.text(
    st.one_of(
        st.sampled_from("aelo ▁Ġ\n\t[]<>/s🦩สวัดééß你\ufffd\u200d"), st.characters(codec="utf-8")
    ),
    max_size=40,
)


def pieces(found):
    return [token.piece for token in found.tokens]


def kinds(found):
    return [token.kind for token in found.tokens]


def test_what_a_wordpiece_tokenizer_does():
    found = inspect_text(TOKENIZERS["wordpiece"], "Lowest café 🐙 [SEP]", name="toy")
    data = found.as_json()
    assert data["tokenizer"] == "toy"
    assert data["tokens"][:2] == ["[CLS]", "lowest"]
    assert data["count"] == len(data["ids"]) == len(data["offsets"]) == len(data["kinds"])
    assert data["normalized"] == "lowest cafe 🐙 [SEP]"  # a token in the text is not normalised
    assert found.changes == (
        Change(start=0, end=1, before="L", after="l"),
        Change(start=10, end=11, before="é", after="e"),
    )
    assert data["normalizers"] == [
        "control characters taken out",
        "blanks around Chinese characters",
        "accents taken off",
        "lower case",
    ]
    [unknown] = found.of_kind("unknown")
    assert (unknown.token, unknown.piece, unknown.start, unknown.end) == ("[UNK]", "🐙", 12, 13)
    assert [(token.token, token.added) for token in found.of_kind("special")] == [
        ("[CLS]", True),
        ("[SEP]", False),
        ("[SEP]", True),
    ]
    assert found.decoded == "lowest cafe [UNK] [SEP]"
    assert not found.lossless
    assert [token["added"] for token in data["special_tokens"]] == [True, False, True]
    assert data["unknown"] == [{"index": data["tokens"].index("[UNK]"), "start": 12, "end": 13}]


def test_a_written_unknown_token_is_not_unknown_text():
    found = inspect_text(TOKENIZERS["wordpiece"], "the [UNK] cat")
    assert found.of_kind("unknown") == []
    assert [token.token for token in found.of_kind("special")] == ["[CLS]", "[UNK]", "[SEP]"]


def test_word_starts_and_continuations():
    found = inspect_text(TOKENIZERS["wordpiece"], "hello")
    inner = found.tokens[1:-1]
    assert inner[0].token == "he"
    assert [token.kind for token in inner] == ["word"] + ["continuation"] * (len(inner) - 1)
    assert "".join(token.piece for token in inner) == "hello"
    assert [token.starts_word for token in found.tokens[:: len(found.tokens) - 1]] == [False, False]


def test_bytes_that_are_no_character():
    found = inspect_text(TOKENIZERS["byte_bpe"], "ﬁ naïve")
    assert [token.data for token in found.of_kind("byte")] == [b"\xef", b"\xac", b"\x81"]
    assert " naïve".endswith(pieces(found)[-1])
    assert found.lossless
    assert found.normalizers == found.changes == ()


def test_fallback_to_bytes():
    found = inspect_text(TOKENIZERS["fallback_bpe"], "cat🐙")
    assert [token.token for token in found.of_kind("byte")] == [
        "<0xF0>",
        "<0x9F>",
        "<0x90>",
        "<0x99>",
    ]
    assert b"".join(token.data or b"" for token in found.of_kind("byte")).decode() == "🐙"
    assert found.tokens[0].kind == "special"
    assert found.normalized == " cat🐙"
    assert found.changes == (Change(start=0, end=0, before="", after=" "),)
    assert found.lossless


def test_a_blank_put_before_the_text():
    assert inspect_text(TOKENIZERS["unigram"], "cat").prefix_blank
    assert inspect_text(TOKENIZERS["unigram"], "\ncat").prefix_blank
    assert not inspect_text(TOKENIZERS["unigram"], " cat").prefix_blank
    assert not inspect_text(TOKENIZERS["unigram"], "\u3000cat").prefix_blank  # NFKC: a blank
    assert not inspect_text(TOKENIZERS["unigram"], "").prefix_blank
    assert not inspect_text(TOKENIZERS["byte_bpe"], "cat").prefix_blank


def test_what_unigram_does_not_know():
    found = inspect_text(TOKENIZERS["unigram"], "cat Q")
    [unknown] = found.of_kind("unknown")
    assert unknown.piece == "Q"
    assert unknown.id == Anatomy(TOKENIZERS["unigram"]).unknown_id


def test_changes_are_looked_for_at_the_beginning_alone():
    found = inspect_text(TOKENIZERS["wordpiece"], "x" * COMPARED_CHARACTERS + "É")
    assert found.changes == ()
    assert found.normalized.endswith("xe")


@pytest.mark.parametrize("kind", KINDS)
def test_the_empty_text(kind):
    found = inspect_text(TOKENIZERS[kind], "")
    assert all(token.added for token in found.tokens)
    assert (found.normalized, found.decoded, found.lossless) == ("", "", True)


@pytest.mark.parametrize("bad", ["\ud800", None, 3])
def test_what_is_no_text(bad):
    with pytest.raises(InputError, match="only strings"):
        inspect_text(TOKENIZERS["char"], bad)


@pytest.mark.parametrize("kind", KINDS)
@given(text=AWKWARD)
def test_it_agrees_with_the_tokenizer(kind, text):
    tokenizer = TOKENIZERS[kind]
    found, encoding = inspect_text(tokenizer, text), tokenizer.encode(text)
    assert [token.id for token in found.tokens] == encoding.ids
    assert [(token.start, token.end) for token in found.tokens] == encoding.offsets
    assert all((token.data is not None) == (token.kind == "byte") for token in found.tokens)
    bare = tokenizer.encode(text, special_tokens=False).ids
    assert [token.id for token in found.tokens if not token.added] == bare
    for change in found.changes:
        assert text[change.start : change.end] == change.before


@given(text=AWKWARD)
def test_bytes_add_up_to_the_text(text):
    found = inspect_text(TOKENIZERS["byte_bpe"], text)
    parts = [token.piece.encode() if token.data is None else token.data for token in found.tokens]
    assert b"".join(parts).decode() == text
    assert found.lossless


@given(text=AWKWARD)
def test_changes_turn_the_text_into_what_the_model_saw(text):
    found = inspect_text(TOKENIZERS["wordpiece"], text)
    rebuilt, last = "", 0
    for change in found.changes:
        rebuilt += text[last : change.start] + change.after
        last = change.end
    assert rebuilt + text[last:] == found.normalized
