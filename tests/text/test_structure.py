import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsearch.text.structure import TITLE_CHARACTERS, Heading, headings, title_of


def outline(text, format):  # noqa: A002
    return [(heading.level, heading.title) for heading in headings(text, format)]


def sources(text, format):  # noqa: A002
    return [text[heading.start : heading.end] for heading in headings(text, format)]


# --- Markdown


def test_atx_and_setext_headings_with_their_sources():
    text = "# One\n\ntext\n\nTwo\nlines\n===\n\n  ## Three ##\n\nFour\n----\nend"
    assert outline(text, "markdown") == [(1, "One"), (1, "Two lines"), (2, "Three"), (2, "Four")]
    assert sources(text, "markdown") == ["# One", "Two\nlines\n===", "## Three ##", "Four\n----"]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_offsets_hold_for_every_line_break_of_markdown(newline):
    text = newline.join(["a\x85b\u2028c\x0cd", "", "# T\x00x", "", "U", "-", "", "### V"])
    assert sources(text, "markdown") == ["# T\x00x", f"U{newline}-", "### V"]
    assert outline(text, "markdown") == [(1, "T\ufffdx"), (2, "U"), (3, "V")]


def test_what_looks_like_a_markdown_heading_and_is_none():
    text = (
        "```sh\n# comment\n```\n\n    # indented code\n\n<!--\n# hidden\n-->\n\n"
        "> # quoted\n\n- # in a list\n\n~~~\n# more\n~~~\n\n#hashtag\n\n* * *\n\n# Real\n"
    )
    assert outline(text, "markdown") == [(1, "Real")]


def test_front_matter_is_no_heading():
    text = "---\ntitle: x\ntags: [a]\n---\n# Real\n\nSetext\n---\n"
    assert outline(text, "markdown") == [(1, "Real"), (2, "Setext")]
    assert sources(text, "markdown") == ["# Real", "Setext\n---"]
    assert outline("\ufeff" + text, "markdown") == [(1, "Real"), (2, "Setext")]
    assert outline("---\n\nA\n---\n", "markdown") == [(2, "A")]  # a rule, not front matter
    assert outline("---\nA: b\n", "markdown") == []


def test_markdown_titles_are_plain():
    text = (
        "# The `code` *of* [links](http://x.y) ![pic](p.png) { #anchor }\n\n"
        "## A &amp; B \\* <b>bold</b> [ref][r] snake_case\n\n[r]: /url\n"
    )
    assert outline(text, "markdown") == [
        (1, "The code of links pic"),
        (2, "A & B * bold ref snake_case"),
    ]


def test_a_long_markdown_text_gives_the_same_headings_as_its_parts():
    part = f"# A\n\n{'text ' * 300}\n\n```\n# no\n```\n\n- item\n\n  ## no\n\nB\n-\n\n"
    once = headings(part, "markdown")
    assert len(once) == 2
    whole = part * 400  # far more than is parsed at a time
    assert headings(whole, "markdown") == [
        Heading(start=h.start + shift, end=h.end + shift, level=h.level, title=h.title)
        for shift in range(0, len(whole), len(part))
        for h in once
    ]


def test_a_very_long_code_block_hides_what_is_in_it():
    text = "# A\n\n````\n" + "# no\n```\n" * 60_000 + "````\n\n# B\n"
    assert outline(text, "markdown") == [(1, "A"), (1, "B")]
    assert outline(text.replace("````\n\n", ""), "markdown") == [(1, "A")]  # never closed


@given(st.text(alphabet="# \n\r\t-=`>a*_[]()<!\x00\x85\ufeff", max_size=200))
def test_markdown_headings_are_in_order_and_trimmed(text):
    end = 0
    for heading in headings(text, "markdown"):
        assert end <= heading.start < heading.end <= len(text)
        assert text[heading.start : heading.end].strip() == text[heading.start : heading.end]
        assert 1 <= heading.level <= 6
        end = heading.end


# --- reStructuredText


def test_rst_levels_follow_the_order_of_styles():
    text = (
        "=====\nTitle\n=====\n\nIntro\n=====\n\nDeep\n----\n\ntext\n\nBack\n====\n\n"
        "~~~~~~~\n Inset\n~~~~~~~\nDeep\n----\n"
    )
    assert outline(text, "rst") == [
        (1, "Title"),
        (2, "Intro"),
        (3, "Deep"),
        (2, "Back"),
        (4, "Inset"),
        (3, "Deep"),
    ]
    assert sources(text, "rst")[0] == "=====\nTitle\n====="
    assert sources(text, "rst")[4] == "~~~~~~~\n Inset\n~~~~~~~"


@pytest.mark.parametrize(
    "text",
    [
        "Too short an underline\n===\n",
        "::\n\n    Literal\n    =======\n",
        "=====  =====\nA      B\n=====  =====\nx      y\n------------\nz      w\n=====  =====\n",
        "two lines of\na paragraph\n===========\n",
        "- an item\n=========\n",
        ".. comment\n==========\n",
        ":Field: x\n=========\n",
        "----\n\n=====\n",
        "=====\nTitle\n",
        "=====\nTitle\n-----\nx",
        "标题\n==\n",
        "",
    ],
)
def test_what_looks_like_an_rst_title_and_is_none(text):
    assert headings(text, "rst") == []


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", "\x85", "\u2028"])
def test_rst_line_breaks(newline):
    text = newline.join(["One", "===", "text", "", "Two", "==="])
    assert sources(text, "rst") == [f"One{newline}===", f"Two{newline}==="]


def test_rst_titles_are_plain():
    text = (
        "Use ``a * b`` and :pep:`8`, *not* `this <http://x>`_ [#f]_\n" + "=" * 70 + "\n\n"
        "f(*args, **kw) \\*\n" + "=" * 30 + "\n\n标题\n====\n"
    )
    assert [title for _, title in outline(text, "rst")] == [
        "Use a * b and 8, not this",
        "f(*args, **kw) *",
        "标题",
    ]


@given(st.text(alphabet="=-~ \n\r\tab*.:|\x0c\x85", max_size=200))
def test_rst_headings_are_in_order_and_trimmed(text):
    end = 0
    for heading in headings(text, "rst"):
        assert end <= heading.start < heading.end <= len(text)
        assert text[heading.start : heading.end].strip() == text[heading.start : heading.end]
        end = heading.end


# --- titles


@pytest.mark.parametrize(
    ("text", "format_", "title"),
    [
        ("## Sub\n\n# Main\n", "markdown", "Main"),
        ("### Only\n", "markdown", "Only"),
        ("no heading", "markdown", ""),
        ("PEP: 8\nTitle: Style\n  Guide\nAuthor: A\n\nIntro\n=====\n", "rst", "Style Guide"),
        ("Intro\n=====\n\n:Title: The *field*\n", "rst", "The field"),
        ("Intro\n=====\n\nTitle: only a sentence\n", "rst", "Intro"),
        ("plain\n", "rst", ""),
        ("# not markdown", "text", ""),
        ("# comment", "code", ""),
    ],
)
def test_title_of(text, format_, title):
    assert title_of(text, format_) == title


def test_an_endless_title_is_cut():
    for text, format_ in (("# " + "ab " * 9999, "markdown"), ("Title: " + "ab " * 9999, "rst")):
        assert 0 < len(title_of(text, format_)) <= TITLE_CHARACTERS


@pytest.mark.data
@pytest.mark.skipif("EMBEDSEARCH_DATA" not in os.environ, reason="EMBEDSEARCH_DATA is not set")
def test_peps():
    folder = Path(os.environ["EMBEDSEARCH_DATA"]) / "peps"
    text = (folder / "pep-0008.rst").read_text(encoding="utf-8")
    assert title_of(text, "rst") == "Style Guide for Python Code"
    assert outline(text, "rst")[:5] == [
        (1, "Introduction"),
        (1, "A Foolish Consistency is the Hobgoblin of Little Minds"),
        (1, "Code Lay-out"),
        (2, "Indentation"),
        (2, "Tabs or Spaces?"),
    ]
    # as docutils 0.23 counts and nests them
    pep_367 = outline((folder / "pep-0367.rst").read_text(encoding="utf-8"), "rst")
    assert (2, "super(self, *args) or __super__(self, *args)") in pep_367
