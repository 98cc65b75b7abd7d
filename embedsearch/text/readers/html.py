"""HTML as Markdown."""

from __future__ import annotations

import codecs
import re
import warnings
from typing import TYPE_CHECKING

from embedsearch.errors import ReadError
from embedsearch.text.decode import byte_order_mark, decode
from embedsearch.text.readers.content import Content

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from bs4.element import PageElement, Tag
    from markdownify import MarkdownConverter

_WITHOUT_TEXT = ["script", "style", "template", "noscript", "svg", "nav", "head"]
# Blocks that markdownify would run together with their neighbours, like inline elements.
_BLOCKS = (
    "header footer main aside section article figure address details summary form fieldset legend "
    "optgroup menu dialog search hgroup center textarea video audio canvas object iframe"
).split()
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
    lines = (line.rstrip() for line in _converter().convert_soup(soup).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _converter() -> MarkdownConverter:
    from markdownify import ATX, MarkdownConverter

    class Converter(MarkdownConverter):
        """Parts from their neighbours all elements that a browser shows apart."""

        def convert_div(self, _tag: Tag, text: str, parent_tags: set[str]) -> str:
            text = text.strip()
            if "_inline" in parent_tags:
                return f" {text} "
            # An empty one too, for the blanks around it are dropped.
            return f"\n\n{text}\n\n" if text else "\n"

        convert_p = convert_div

        def convert_button(self, tag: Tag, text: str, parent_tags: set[str]) -> str:  # noqa: ARG002
            before = "" if _no_word(tag.previous_sibling, slice(-1, None)) else " "
            after = "" if _no_word(tag.next_sibling, slice(1)) else " "
            return before + text.strip(" ") + after

        convert_label = convert_option = convert_output = convert_button

    return Converter(
        heading_style=ATX,
        bullets="-",
        strip=["a"],
        escape_asterisks=False,
        escape_underscores=False,
    )


def _no_word(node: PageElement | None, edge: slice) -> bool:
    """Whether it is text with a blank or punctuation at that edge."""
    from bs4.element import NavigableString

    return isinstance(node, NavigableString) and node[edge] != "" and not node[edge].isalnum()
