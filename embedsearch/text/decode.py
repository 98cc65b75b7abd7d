"""Bytes to text: byte order marks, UTF-8, and a guess for what is neither."""

from __future__ import annotations

import codecs
import re

from embedsearch.errors import ReadError

# UTF-32 first: its little-endian mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 1 << 16
_SEEN = 1 << 20
# What files are found in. Left to choose among a hundred, the detector takes DOS and Macintosh
# code pages for short Western texts.
_CANDIDATES = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp874"),
    *("cp932", "euc_jp", "cp949", "gb18030", "big5", "koi8_r", "koi8_u", "iso8859_2", "cp866"),
]
_CONTROL = re.compile(rb"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]")
_LANGUAGE_KNOWN = 0.2  # charset-normalizer's coherence: 0 for no language recognised, 1 for certain


def byte_order_mark(head: bytes) -> tuple[str, int]:
    """The codec that the first bytes declare and the length of the mark; ("", 0) for none."""
    for mark, codec in _MARKS:
        if head.startswith(mark):
            return codec, len(mark)
    return "", 0


def decode(data: bytes) -> tuple[str, str | None]:
    """The text of a file, and a remark where its encoding had to be guessed or is damaged.

    A byte order mark is honoured and removed. Newlines are kept as they are. The remark is None for
    UTF-8 and for what a byte order mark declares. ReadError for bytes that are not text.
    """
    codec, length = byte_order_mark(data)
    body = data[length:] if length else data
    if codec not in ("", "utf-8"):
        return _decode_declared(body, codec)
    if b"\0" in body:
        raise ReadError("binary file")
    try:
        return body.decode(), None
    except UnicodeDecodeError as error:
        codec, remark = fallback(body, error.start)
    return body.decode(codec, "replace"), remark


def fallback(data: bytes, first_bad: int) -> tuple[str, str]:
    """Codec and remark for text that is not valid UTF-8, to be decoded with errors="replace".

    ReadError for what looks like no text at all.
    """
    if _is_damaged_utf8(data):
        return "utf-8", "damaged UTF-8: bad bytes replaced"
    codec = _guess(data, first_bad)
    return codec, f"not UTF-8: read as {codec}"


def _guess(data: bytes, first_bad: int) -> str:
    """The likeliest codec, by the lines around and after byte `first_bad` that are not ASCII.

    Western text is often just as plausible in several code pages; cp1252 wins unless a language
    that it cannot write is recognised.
    """
    from charset_normalizer import from_bytes

    begin = max(data.rfind(b"\n", 0, first_bad) + 1, first_bad - _SAMPLE)
    lines = data[begin : begin + _SEEN].splitlines(keepends=True)
    sample = b"".join(line for line in lines if not line.isascii())[:_SAMPLE]
    if len(sample) == _SAMPLE:  # cut between words, not inside a character
        sample = sample[: max(sample.rfind(b"\n"), sample.rfind(b" ")) + 1] or sample
    if len(_CONTROL.findall(sample)) > len(sample) // 100:
        raise ReadError("binary file")
    matches = list(from_bytes(sample, cp_isolation=_CANDIDATES))
    if not matches:
        return "cp1252"
    best = matches[0]
    western = [match for match in matches if "cp1252" in match.could_be_from_charset]
    if western and (best.coherence <= _LANGUAGE_KNOWN or western[0].coherence >= best.coherence):
        return "cp1252"
    return best.encoding


def _decode_declared(body: bytes, codec: str) -> tuple[str, str | None]:
    remark = None
    try:
        text = body.decode(codec)
    except UnicodeDecodeError:
        text = body.decode(codec, "replace")
        remark = f"damaged {codec}: bad sequences replaced"
    if "\0" in text:
        raise ReadError("binary file")
    return text, remark


def _is_damaged_utf8(body: bytes) -> bool:
    """Whether this is UTF-8 but for a few bytes, not text in another encoding.

    Bytes of another encoding hardly ever form valid multi-byte sequences, so a text in which most
    of them are valid is UTF-8 that was cut or pasted together.
    """
    text = body.decode(errors="replace")
    bad = text.count("\ufffd") - body.count("\ufffd".encode())
    good = len(text) - len(text.encode("ascii", "ignore")) - bad
    return good > 4 * bad
