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
_COLUMNS = re.compile("[1-9][0-9]?")
_START = re.compile("[0-9]{1,9}")
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
        alt = str(image.get("alt", ""))
        image.replace_with(_between(image, alt) if alt else "")
    for node in soup.find_all(string=lambda _string: True):
        if isinstance(node, PreformattedString) and not isinstance(node, CData):
            node.extract()  # comments, <?php … ?>
    for block in soup.find_all(_BLOCKS):
        block.name = "div"
    for cell in soup.find_all(["td", "th"], colspan=True):
        if not _COLUMNS.fullmatch(str(cell["colspan"])):
            del cell["colspan"]
    for items in soup.find_all("ol"):
        _number(items)
    for block in soup.find_all(list(_ON_LINES)):
        _without_formatting(block)
    lines = (line.rstrip() for line in _converter().convert_soup(soup).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _number(items: Tag) -> None:
    """Writes its number on each item of a list: once, not counting anew for each of them."""
    start = str(items.get("start", ""))
    first = int(start) if _START.fullmatch(start) else 1
    for number, item in enumerate(items.find_all("li", recursive=False), first):
        item["value"] = f"{number}."


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
            return _running_text(el, str(base.process_text(self, el, parent_tags)), parent_tags)

        def convert_pre(self, tag: Tag, text: str, parent_tags: set[str]) -> str:
            return _fenced(str(base.convert_pre(self, tag, text, parent_tags)), fence(text))

        def convert_div(self, _tag: Tag, text: str, parent_tags: set[str]) -> str:
            return _block(text.strip(), parent_tags)

        convert_p = convert_caption = convert_div

        def convert_hN(self, n: int, tag: Tag, text: str, parent_tags: set[str]) -> str:  # noqa: N802
            made = str(base.convert_hN(self, n, tag, text, parent_tags))
            return f" {made} " if "_inline" in parent_tags else made

        def convert_list(self, tag: Tag, text: str, parent_tags: set[str]) -> str:
            made = str(base.convert_list(self, tag, text, parent_tags))
            return made if made.endswith("\n") else f"{made}\n"

        convert_ul = convert_ol = convert_list

        def convert_li(self, tag: Tag, text: str, parent_tags: set[str]) -> str:  # noqa: ARG002
            return _item(tag, text.strip())

        def convert_tr(self, tag: Tag, text: str, parent_tags: set[str]) -> str:
            if tag.find_previous_sibling() is None:
                return str(base.convert_tr(self, tag, text, parent_tags))
            return f"|{text}\n"  # as there; but that counts the rows of a <thead> for each of them

        def convert_button(self, tag: Tag, text: str, parent_tags: set[str]) -> str:  # noqa: ARG002
            return _between(tag, text)

        convert_label = convert_option = convert_output = convert_button

    for name in (f"convert_{tag}" for tag in _FORMATTING):
        setattr(Converter, name, _keeping_blanks(getattr(Converter, name)))
    return Converter(
        heading_style=ATX, strip=["a"], escape_asterisks=False, escape_underscores=False
    )


def _running_text(node: NavigableString, text: str, parent_tags: set[str]) -> str:
    if _HEADINGS & parent_tags and "_noformat" not in parent_tags:
        return heading(text)
    if {"_inline", "_noformat"} & parent_tags:
        return text
    before = node.previous_sibling
    begins_line = before is None or getattr(before, "name", "") in _AFTER_BREAK
    return paragraph(text) if begins_line else paragraph(f"x{text}")[1:]


def _fenced(made: str, mark: str) -> str:
    """Code within a longer fence than three backticks where it needs one."""
    return made if mark == "```" else f"\n\n{mark}{made.strip()[3:-3]}{mark}\n\n"


def _block(text: str, parent_tags: set[str]) -> str:
    if "_inline" in parent_tags:
        return f" {text} "
    return f"\n\n{text}\n\n" if text else "\n"  # for the blanks around it are dropped


def _item(tag: Tag, text: str) -> str:
    numbered = tag.parent is not None and tag.parent.name == "ol"
    mark = f"{tag['value']} " if numbered else "- "
    return (mark + text.replace("\n", "\n" + " " * len(mark)) if text else "") + "\n"


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


def _between(tag: Tag, text: str) -> str:
    """The text of an element with blanks that part it from the words around it."""
    before = "" if _no_word(tag.previous_sibling, slice(-1, None)) else " "
    after = "" if _no_word(tag.next_sibling, slice(1)) else " "
    return before + text.strip(" ") + after


def _no_word(node: PageElement | None, edge: slice) -> bool:
    """Whether it is text with a blank or punctuation at that edge."""
    from bs4.element import NavigableString

    return isinstance(node, NavigableString) and node[edge] != "" and not node[edge].isalnum()
