"""HTML as Markdown."""

from __future__ import annotations

import codecs
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from embedsearch.errors import ReadError
from embedsearch.text.decode import byte_order_mark, decode
from embedsearch.text.readers.content import Content, fence, heading, paragraph

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from bs4.element import NavigableString, PageElement, Tag
    from markdownify import MarkdownConverter

_WITHOUT_TEXT = ["script", "style", "template", "noscript", "svg", "nav", "head"]
# Blocks that markdownify would run together with their neighbours, like inline elements.
_BLOCKS = (
    "header footer main aside section article figure address details summary form fieldset legend "
    "optgroup menu dialog search hgroup center textarea video audio canvas object iframe"
).split()
# What Markdown writes on lines of its own, and what it writes around text within a line.
_ON_LINES = frozenset(
    "div p h1 h2 h3 h4 h5 h6 ul ol li dl dt dd table thead tbody tfoot tr td th caption hr pre "
    "blockquote figcaption".split()
)
_AFTER_BREAK = _ON_LINES | {"br"}
_FORMATTING = frozenset("b strong i em del s code kbd samp sub sup".split())
_HEADINGS = frozenset("h1 h2 h3 h4 h5 h6".split())
# Invisible characters within words: soft hyphen, word joiner, zero width space. The last separates
# the words of Thai, Lao, Burmese and Khmer, which are written without blanks: there it is kept.
_INVISIBLE = re.compile("[\u00ad\u2060]|(?<![\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])\u200b")
_CHARSET = re.compile(
    rb"""<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*["']?([\w:.-]+)""", re.I
)
# What a page may declare that is a codec of Python but no page's encoding.
_NO_CHARSETS = ("unicode_escape", "raw_unicode_escape", "idna", "punycode")


def read_html(data: bytes, _max_bytes: int) -> Content:
    """Headings, lists, tables, emphasis and code become Markdown; links and images their text."""
    text, remark = _decode(data)
    try:
        soup = _parse(text)
        for drawing in soup.find_all("svg"):  # it may have a title of its own
            drawing.decompose()
        title = soup.title.get_text() if soup.title else ""
        markdown = _INVISIBLE.sub("", _markdown(soup))
    except RecursionError:
        raise ReadError("HTML nested too deeply") from None
    title = _INVISIBLE.sub("", title)
    return Content(text=markdown, format="markdown", title=title, remark=remark)


def _decode(data: bytes) -> tuple[str, str | None]:
    """UTF-8 where it is valid, for pages that declare something else by mistake are many."""
    declared = _CHARSET.search(data[:4096])
    if declared and not byte_order_mark(data)[0] and b"\0" not in data:
        try:
            data.decode()
        except UnicodeDecodeError:
            text = _decode_as(data, declared[1].decode("ascii", "replace"))
            if text is not None:
                return text, None
    return decode(data)


def _decode_as(data: bytes, charset: str) -> str | None:
    try:
        codec = codecs.lookup(charset).name
        if codec.startswith("utf") or codec in _NO_CHARSETS:  # it is not UTF-8, nor the others,
            return None  # in which the declaration could not have been read
        # Browsers read Latin-1 as Windows' superset of it.
        return data.decode("cp1252" if codec == "iso8859-1" else codec)
    except (LookupError, ValueError):
        return None


def _parse(text: str) -> BeautifulSoup:
    from bs4 import BeautifulSoup, MarkupResemblesLocatorWarning, XMLParsedAsHTMLWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MarkupResemblesLocatorWarning)
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)
        return BeautifulSoup(text, "lxml")


def _markdown(soup: BeautifulSoup) -> str:
    from bs4.element import CData, PreformattedString

    for tag in soup.find_all(_WITHOUT_TEXT):
        tag.decompose()
    for image in soup.find_all("img"):
        image.replace_with(str(image.get("alt", "")))
    for node in soup.find_all(string=lambda _string: True):
        if isinstance(node, PreformattedString) and not isinstance(node, CData):
            node.extract()  # comments, <?php … ?>
    for block in soup.find_all(_BLOCKS):
        block.name = "div"
    for block in soup.find_all(list(_ON_LINES)):
        _without_formatting(block)
    lines = (line.rstrip() for line in _converter().convert_soup(soup).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _without_formatting(block: Tag) -> None:
    """Takes off emphasis and the like from around a block: Markdown has it within lines only."""
    for parent in block.parents:
        if parent.name in _ON_LINES:
            return
        if parent.name in _FORMATTING:
            parent.name = "span"


def _converter() -> MarkdownConverter:
    from markdownify import ATX, MarkdownConverter

    base: Any = MarkdownConverter  # its own types do not know what may be overridden

    class Converter(MarkdownConverter):
        """Parts from their neighbours all elements that a browser shows apart, and takes no text
        for Markdown."""

        def process_text(self, el: NavigableString, parent_tags: set[str]) -> str:
            text = str(base.process_text(self, el, parent_tags))
            if _HEADINGS & parent_tags and "_noformat" not in parent_tags:
                return heading(text)
            if {"_inline", "_noformat"} & parent_tags:
                return text
            before = el.previous_sibling
            begins_line = before is None or getattr(before, "name", "") in _AFTER_BREAK
            return paragraph(text) if begins_line else paragraph(f"x{text}")[1:]

        def convert_pre(self, tag: Tag, text: str, parent_tags: set[str]) -> str:
            made = str(base.convert_pre(self, tag, text, parent_tags))
            if "```" not in text:
                return made
            mark = fence(text)
            return f"\n\n{mark}{made.strip()[3:-3]}{mark}\n\n"

        def convert_div(self, _tag: Tag, text: str, parent_tags: set[str]) -> str:
            text = text.strip()
            if "_inline" in parent_tags:
                return f" {text} "
            # An empty one too, for the blanks around it are dropped.
            return f"\n\n{text}\n\n" if text else "\n"

        convert_p = convert_caption = convert_div

        def convert_hN(self, n: int, tag: Tag, text: str, parent_tags: set[str]) -> str:  # noqa: N802
            made = str(base.convert_hN(self, n, tag, text, parent_tags))
            return f" {made} " if "_inline" in parent_tags else made

        def convert_list(self, tag: Tag, text: str, parent_tags: set[str]) -> str:
            made = str(base.convert_list(self, tag, text, parent_tags))
            return made if made.endswith("\n") else f"{made}\n"

        convert_ul = convert_ol = convert_list

        def convert_button(self, tag: Tag, text: str, parent_tags: set[str]) -> str:  # noqa: ARG002
            before = "" if _no_word(tag.previous_sibling, slice(-1, None)) else " "
            after = "" if _no_word(tag.next_sibling, slice(1)) else " "
            return before + text.strip(" ") + after

        convert_label = convert_option = convert_output = convert_button

    for name in (f"convert_{tag}" for tag in _FORMATTING):
        setattr(Converter, name, _keeping_blanks(getattr(Converter, name)))
    return Converter(
        heading_style=ATX,
        bullets="-",
        strip=["a"],
        escape_asterisks=False,
        escape_underscores=False,
    )


def _keeping_blanks(convert: Callable[..., str]) -> Callable[..., str]:
    """A conversion that leaves the white space at the ends of an element between words."""

    def keeping(converter: Any, tag: Tag, text: str, parent_tags: set[str]) -> str:
        if "_noformat" in parent_tags:
            return text
        inner = text.strip()
        if not inner:
            return _blank(text)
        before, _, after = text.partition(inner)
        return _blank(before) + convert(converter, tag, inner, parent_tags) + _blank(after)

    return keeping


def _blank(space: str) -> str:
    return "\n" if "\n" in space else " " if space else ""


def _no_word(node: PageElement | None, edge: slice) -> bool:
    """Whether it is text with a blank or punctuation at that edge."""
    from bs4.element import NavigableString

    return isinstance(node, NavigableString) and node[edge] != "" and not node[edge].isalnum()
