"""Sentences are exact slices that together hold all of a text."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsearch.text.sentences import LONGEST, sentences

PIECES = [
    "Dr. ",
    "A cat. ",
    "e.g. ",
    "\n",
    "\n\n",
    "- item",
    "what? ",
    "日本語。",
    "x" * 600,
    " ",
    "!",
]


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n ", []),
        ("One. Two? Three!", ["One.", "Two?", "Three!"]),
        ("Dr. Who met J. Smith. Then he left.", ["Dr. Who met J. Smith.", "Then he left."]),
        ("A line that is wrapped here because it is long\nand goes on. Next.",
         ["A line that is wrapped here because it is long\nand goes on.", "Next."]),
        ("Items:\n\n- one\n- two", ["Items:", "- one", "- two"]),
        ("今日は。明日も。", ["今日は。", "明日も。"]),
        ('He said "no." Then yes.', ['He said "no."', "Then yes."]),
    ],
)  # fmt: skip
def test_examples(text, expected):
    assert split(text) == expected


@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join)))
def test_every_character_but_white_space_lies_in_one_sentence(text):
    found = sentences(text)
    assert all(start < end for start, end in found)
    assert all(one[1] <= other[0] for one, other in pairwise(found))
    assert all(part == part.strip() and len(part) <= LONGEST for part in split(text))
    assert "".join("".join(split(text)).split()) == "".join(text.split())
