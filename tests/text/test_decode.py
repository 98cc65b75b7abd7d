import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsearch.errors import ReadError
from embedsearch.text.decode import byte_order_mark, decode

# What a UTF-8 file may hold: no NUL (binary), no byte order mark in front (removed), no surrogate.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0")).filter(
    lambda text: not text.startswith("\ufeff")
)


@given(TEXT)
def test_utf8_round_trips(text: str) -> None:
    assert decode(text.encode()) == (text, None)


@given(TEXT, st.sampled_from(["utf-8-sig", "utf-16", "utf-32"]))
def test_byte_order_marks_are_honoured_and_removed(text: str, codec: str) -> None:
    assert decode(text.encode(codec)) == (text, None)


@given(TEXT, st.sampled_from([codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE]))
def test_big_endian(text: str, mark: bytes) -> None:
    codec = "utf-16-be" if mark == codecs.BOM_UTF16_BE else "utf-32-be"
    assert decode(mark + text.encode(codec)) == (text, None)


@given(st.binary())
def test_any_bytes_give_text_or_read_error(data: bytes) -> None:
    try:
        text, remark = decode(data)
    except ReadError:
        return
    lossless = text.encode() == data  # encode() raises for a lone surrogate
    assert lossless or remark or byte_order_mark(data)[1]


def test_utf32_is_not_taken_for_utf16() -> None:
    assert byte_order_mark("x".encode("utf-32")) == ("utf-32-le", 4)
    assert byte_order_mark("x".encode("utf-16")) == ("utf-16-le", 2)
    assert byte_order_mark(b"x") == ("", 0)


def test_newlines_stay() -> None:
    assert decode(b"a\r\nb\rc\n")[0] == "a\r\nb\rc\n"


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("Le café est fermé à cause de l’été.", "cp1252"),
        ("Ein Bär läuft über die Straße und trinkt Öl.", "cp1252"),
        ("price: 5€ only", "cp1252"),
        ("Привет, как дела? Сегодня очень хорошая погода.", "cp1251"),
        ("こんにちは、世界。今日はいい天気ですね。", "cp932"),
    ],
)
def test_other_encodings_are_guessed_and_named(text: str, codec: str) -> None:
    assert decode(text.encode(codec)) == (text, f"not UTF-8: read as {codec}")


def test_the_guess_looks_where_the_first_bad_byte_is() -> None:
    text = "plain\n" * 50_000 + "Привет, как дела? Сегодня очень хорошая погода.\n"
    assert decode(text.encode("cp1251")) == (text, "not UTF-8: read as cp1251")


def test_utf8_with_a_few_bad_bytes_stays_utf8() -> None:
    data = ("żółw " * 20).encode() + b"\xff" + "ł\ufffd".encode()
    assert decode(data) == ("żółw " * 20 + "\ufffdł\ufffd", "damaged UTF-8: bad bytes replaced")


def test_cut_utf16_is_read_with_a_remark() -> None:
    text, remark = decode("ab".encode("utf-16")[:-1])
    assert (text, remark) == ("a\ufffd", "damaged utf-16-le: bad sequences replaced")


@pytest.mark.parametrize(
    "data", [b"a\0b", "a\0".encode("utf-16"), bytes(range(1, 256)) * 4, "text".encode("utf-16-le")]
)
def test_binary(data: bytes) -> None:
    with pytest.raises(ReadError, match=r"^binary file$"):
        decode(data)
