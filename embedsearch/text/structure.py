"""Where the headings of a document are, and what its title is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from embedsearch.types import Format

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A heading: `text[start:end]` is its whole source, underline and overline included.

    `level` counts from 1, the outermost. `title` is plain text on one line, at most
    `TITLE_CHARACTERS` long.
    """

    start: int
    end: int
    level: int
    title: str


TITLE_CHARACTERS = 500
_WINDOW = 1 << 18
"""Characters of Markdown parsed at a time: the parser's tokens are far larger than the text."""

_NEWLINE = re.compile(r"\r\n?|\n")
_YAML_KEY = re.compile(r"[\w\"'][^:\r\n]{0,100}:(?:\s|$)|#")


def headings(text: str, format: Format) -> list[Heading]:  # noqa: A002
    """The headings of `text` in order. Plain text and code have none.

    Markdown is read as CommonMark says (headings inside lists, quotes and code do not count),
    reStructuredText as docutils reads section titles.
    """
    if format == "markdown":
        return list(_markdown_headings(text))
    if format == "rst":
        return list(_rst_headings(text))
    return []


def title_of(text: str, format: Format) -> str:  # noqa: A002
    """The title that the text gives itself, or "".

    Markdown: the first heading of level 1, else the first. reStructuredText: a field `Title` at the
    top (as PEPs have), else the first heading.
    """
    if format == "rst" and (title := _rst_title_field(text)):
        return title
    if format == "rst":
        return next((heading.title for heading in _rst_headings(text)), "")
    if format != "markdown":
        return ""
    first = ""
    for heading in _markdown_headings(text):  # of a long text, only as far as the title
        if heading.level == 1 and heading.title:
            return heading.title
        first = first or heading.title
    return first


def _one_line(text: str) -> str:
    return " ".join(text.split())[:TITLE_CHARACTERS].rstrip()


# --- Markdown ------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _block_parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").disable("inline")


@lru_cache(maxsize=1)
def _inline_parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark")


def _markdown_headings(text: str) -> Iterable[Heading]:
    return _short_text_headings(text) if len(text) <= _WINDOW else _parse_windows(text)


@lru_cache(maxsize=1)
def _short_text_headings(text: str) -> tuple[Heading, ...]:
    """Kept, because a file's title is asked for first and its headings right after."""
    return tuple(_parse_windows(text))


def _parse_windows(text: str) -> Iterator[Heading]:
    """Parses window by window; the last block of a window may be cut, so it begins the next one."""
    start = _front_matter_end(text)
    while start < len(text):
        line_end = _NEWLINE.search(text, min(start + _WINDOW, len(text)))
        end = line_end.end() if line_end else len(text)
        source = text[start:end]
        lines = [0, *(match.end() for match in _NEWLINE.finditer(source)), len(source)]
        env: dict[str, Any] = {}
        tokens = _block_parser().parse(source, env)
        resume = end if end == len(text) else _resume(text, start, end, lines, tokens)
        for token, inline in pairwise(tokens):
            if token.type != "heading_open" or token.level or not token.map:
                continue
            first, last = (start + lines[line] for line in token.map)
            if first >= resume:
                break
            yield _heading(text, first, last, int(token.tag[1]), _plain(inline.content, env))
        start = resume


def _resume(text: str, start: int, end: int, lines: Sequence[int], tokens: Sequence[Token]) -> int:
    """Where the next window starts: at this one's last block, or past it if it is all there is."""
    blocks = [token for token in tokens if token.level == 0 and token.map]
    if not blocks:
        return end
    last = blocks[-1]
    begin = start + lines[last.map[0] if last.map else 0]
    if begin > start:
        return begin
    if last.type == "fence":  # longer than a window: its end must be found, or all after it is code
        fence = re.escape(last.markup) + re.escape(last.markup[0]) + "*"
        closing = re.compile(rf"[\r\n] {{0,3}}{fence}[ \t]*(?=[\r\n]|\Z)").search(text, begin)
        return closing.end() if closing else len(text)
    return end


def _front_matter_end(text: str) -> int:
    """Where the Markdown begins: after YAML between two lines `---` at the very top, if any."""
    opening = re.compile(r"\ufeff?---[ \t]*(?:\r\n?|\n)").match(text)
    if not opening or not _YAML_KEY.match(text, opening.end()):
        return 1 if text.startswith("\ufeff") else 0
    closing = re.compile(r"^(?:---|\.\.\.)[ \t]*$", re.MULTILINE)
    position = opening.end()
    while position < len(text):
        line_end = _NEWLINE.search(text, position)
        end = line_end.end() if line_end else len(text)
        if closing.match(text[position : min(end, position + 100)].rstrip("\r\n")):
            return end
        position = end
    return 0


def _heading(text: str, start: int, end: int, level: int, title: str) -> Heading:
    """A heading from whole lines, without the white space around them."""
    source = text[start:end]
    start += len(source) - len(source.lstrip())
    return Heading(start=start, end=start + len(source.strip()), level=level, title=title)


_MARKUP = frozenset("\\`*_[]<>&!")
_ATTRIBUTES = re.compile(r"\{ ?[#.:][^{}]{0,100}\}\Z")


def _plain(source: str, env: Mapping[str, Any]) -> str:
    """Inline Markdown as plain text; a trailing `{ #anchor }` goes."""
    source = _ATTRIBUTES.sub("", source[:TITLE_CHARACTERS].strip())
    if _MARKUP.isdisjoint(source):
        return _one_line(source)
    tokens = _inline_parser().parseInline(source, {"references": env.get("references", {})})
    plain = "".join(_inline_text(tokens[0].children or ()) if tokens else "")
    return _one_line(plain)


def _inline_text(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type == "image":
            yield from _inline_text(token.children or ())
        elif token.type in ("softbreak", "hardbreak"):
            yield " "
        elif token.type != "html_inline":
            yield token.content


# --- reStructuredText ----------------------------------------------------------------------------

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1*\s*\Z")
_TABLE_BORDER = re.compile(r"=+[ =]*\Z")
_TABLE_TOP = re.compile(r"=+(?: +=+)+\Z")
_NOT_A_TITLE = re.compile(r"[-+*•‣⁃|][ \t]|\.\.(?:[ \t]|\Z)|:[^:\s][^:]{0,100}:(?:\s|\Z)|>>> ")
_LONG_LINE = 1000


def _rst_headings(text: str) -> Iterator[Heading]:
    """Section titles after docutils (parsers/rst/states.py): an underline of one punctuation
    character at least as long as the title, perhaps an equal overline; a style's level is the order
    of its first appearance; an underlined title begins a block and is not indented.
    """
    lines = text.splitlines(keepends=True)
    styles: dict[tuple[str, bool], int] = {}
    position, number, block_start = 0, 0, True
    while number < len(lines):
        size, overlined = _rst_title_lines(lines, number, block_start)
        if size:
            style = (lines[number + size - 1][0], overlined)
            level = styles.setdefault(style, len(styles) + 1)
            end = position + sum(len(line) for line in lines[number : number + size])
            title = _rst_plain(lines[number + overlined])
            yield _heading(text, position, end, level, title)
        else:
            size = _rst_table_lines(lines, number) or 1
        block_start = size > 1 or _ends_block(lines[number])
        position += sum(len(line) for line in lines[number : number + size])
        number += size


def _ends_block(line: str) -> bool:
    """Whether a title may follow this line: it is blank, or belongs to an indented block."""
    return line[0].isspace() or line.startswith(".. ")


def _rst_title_lines(lines: Sequence[str], number: int, block_start: bool) -> tuple[int, bool]:
    """How many lines from `number` on are a section title (0, 2 or 3), and if it is overlined."""
    if not block_start or number + 1 >= len(lines):
        return 0, False
    first, second = lines[number], lines[number + 1]
    if len(first) > _LONG_LINE or len(second) > _LONG_LINE:
        return 0, False
    if _ADORNMENT.match(first):
        third = lines[number + 2] if number + 2 < len(lines) else ""
        fits = 0 < _columns(second) <= len(first.rstrip()) and not _ADORNMENT.match(second)
        return (3, True) if fits and third.rstrip() == first.rstrip() else (0, False)
    if first[0].isspace() or not _ADORNMENT.match(second) or _NOT_A_TITLE.match(first):
        return 0, False
    return (2, False) if _columns(first) <= len(second.rstrip()) else (0, False)


def _columns(title: str) -> int:
    """Width of a title line in a terminal: East Asian wide characters take two columns."""
    title = title.rstrip()
    if title.isascii():
        return len(title)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in title)
    return len(title) + wide - sum(unicodedata.combining(character) > 0 for character in title)


def _rst_table_lines(lines: Sequence[str], number: int) -> int:
    """Lines of the simple table that starts here, or 0; its ruled rows are no section titles."""
    top = lines[number].rstrip()
    if not _TABLE_TOP.match(top):
        return 0
    borders = 0
    for row in range(number + 1, len(lines)):
        line = lines[row].rstrip()
        if _TABLE_BORDER.match(line):
            if len(line) != len(top):
                return 0
            borders += 1
            if borders == 2 or row + 1 == len(lines) or lines[row + 1].isspace():
                return row + 1 - number
    return 0


_RST_INLINE = re.compile(
    r"``([^`]{1,300})``"
    r"|(?::[\w.+-]{1,50}:)?`([^`<>]{1,300}?)(?:\s*<[^`<>]{1,300}>)?`_{0,2}"  # role, `text <url>`_
    r"|(?<![\w*])(\*{1,2})(?=[^\s*])([^*]{1,300})(?<=[^\s\\])\3(?![\w*])"  # emphasis
    r"|\\(?:\s|(.))"
    r"|\s?\[[^\[\]\s]{1,50}\]_"  # a footnote's mark
)


def _rst_plain(source: str) -> str:
    kept = _RST_INLINE.sub(
        lambda match: match[match.lastindex] if match.lastindex else "", source[:TITLE_CHARACTERS]
    )
    return _one_line(kept)


def _rst_title_field(text: str) -> str:
    """The field `Title: …` of an RFC 822 preamble, or `:Title: …`, in the first twenty lines."""
    lines = text[:8000].splitlines()[:20]
    preamble = bool(lines) and re.match(r"[A-Za-z][\w-]*:[ \t]", lines[0]) is not None
    for number, line in enumerate(lines):
        preamble = preamble and bool(line.strip())
        field = re.match(r"(:?)Title:[ \t]+(?=\S)", line, re.IGNORECASE)
        if field and (field[1] or preamble):
            value = [line[field.end() :]]
            for continued in lines[number + 1 :]:
                if not continued[:1].isspace() or not continued.strip():
                    break
                value.append(continued)
            return _rst_plain(" ".join(value))
    return ""
