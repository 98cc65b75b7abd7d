"""The wire format of protocol buffers, as much as reading a SentencePiece model takes.

After https://protobuf.dev/programming-guides/encoding: no schema, no allocation beyond the input.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_FIXED = {1: 8, 5: 4}
_LENGTH_DELIMITED = 2


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) in the order of the message; ValueError where it is damaged.

    A value is an int (varint) or bytes (fixed width, strings and nested messages).
    """
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire == _LENGTH_DELIMITED:
            size, position = _varint(message, position)
        elif wire in _FIXED:
            size = _FIXED[wire]
        else:
            raise ValueError(f"unknown wire type {wire} at byte {position}")
        if size > len(message) - position:
            raise ValueError(f"cut short at byte {len(message)}")
        yield number, message[position : position + size]
        position += size


def as_float(value: int | bytes) -> float:
    if not isinstance(value, bytes) or len(value) != 4:
        raise ValueError("a field is no float")
    return float(struct.unpack("<f", value)[0])


def as_text(value: int | bytes) -> str:
    if not isinstance(value, bytes):
        raise ValueError("a field is no string")
    return value.decode("utf-8")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(message) and shift < 70:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError(f"cut short or damaged at byte {position}")
