"""A text as small segments with their token counts: what the chunker puts together."""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import TypeVar

from embedsearch.text.structure import Heading
from embedsearch.types import Document, Format, TokenCounter

FORCED, WRAP, SENTENCE, LINE, PARAGRAPH, HEADING = range(6)
"""How good a place to cut is. WRAP is a line break within running text; LINE begins a list item, a
table row or stands after a short line."""

CHARACTERS_PER_TOKEN = 16
"""More characters than this count as a further token: a tokenizer may call a whole file of base64
one unknown word, and a chunk must stay readable."""

_WINDOW = 4096
"""Characters of one segment before tokens are asked where to cut it."""
_MIN_SEGMENT = 24
"""Of two places to cut nearer than this, in characters, the better is kept; headings always are."""
_SHORT_LINE = 40
_COUNT_BATCH = 2048
_COUNTED_SPACE = 64

_NON_SPACE = re.compile(r"\S")
_LINE_BREAK = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_BREAK = re.compile(  # bounded repeats, or nothing after them: linear in the text's length
    r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*"
    r"|[.!?…؟۔।॥።։][\"'”’»)\]]{0,3}\s+"
    r"|[。！？｡][」』”’）】]{0,3}\s*"
)
_ITEM = re.compile(r"(?:[-*+•–]|\(?(?:\d{1,3}|[A-Za-z])[.)])[ \t]|[|>#:+]|\.\. ")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"'“])(?:[^\W\d_]|[A-Za-z]\.[A-Za-z]|Mrs?|Ms|Dr|Prof|St|Jr|Sr|vs|cf|al|Fig|Figs|Eq"
    r"|No|Nos|Sec|Ch|pp|Vol|approx|ca|resp|incl|bzw|usw|Nr|ggf|vgl)\Z"
)


T = TypeVar("T")
Span = tuple[int, int, int]  # start, end, strength of the boundary before it


@dataclass(frozen=True, kw_only=True)
class Segments:
    """Segments of a text in order, as parallel arrays of shape (n,).

    Segment k is `text[starts[k]:ends[k]]`, without white space around it; all characters between
    segments are white space. `strengths[k]` says how good a cut before k is; `totals` (shape n + 1)
    sums the tokens of the segments before k and of the white space between them.
    """

    starts: array[int] = field(default_factory=lambda: array("q"))
    ends: array[int] = field(default_factory=lambda: array("q"))
    strengths: array[int] = field(default_factory=lambda: array("b"))
    totals: array[int] = field(default_factory=lambda: array("q", [0]))

    def __len__(self) -> int:
        return len(self.starts)

    def tokens(self, first: int, last: int) -> int:
        """Tokens of the text from segment `first` up to but not including `last`, nearly."""
        gap = self.starts[first] - self.ends[first - 1] if first else 0
        return self.totals[last] - self.totals[first] - _gap_tokens(gap)

    def append(self, start: int, end: int, strength: int, tokens: int) -> None:
        gap = start - self.ends[-1] if self.ends else 0
        self.starts.append(start)
        self.ends.append(end)
        self.strengths.append(strength)
        size = max(tokens, -(-(end - start) // CHARACTERS_PER_TOKEN))
        self.totals.append(self.totals[-1] + size + _gap_tokens(gap))


def _count(text: str, spans: Sequence[Span], previous_end: int, tokens: TokenCounter) -> list[int]:
    """Tokens of each span with the white space before it: many tokenizers put it into a token."""
    texts = []
    for start, end, _ in spans:
        texts.append(text[max(previous_end, start - _COUNTED_SPACE) : end])
        previous_end = end
    return tokens.count(texts)


def _gap_tokens(characters: int) -> int:
    """A long run of white space takes room in a chunk, whatever the tokenizer makes of it."""
    return characters // CHARACTERS_PER_TOKEN


def segment(
    document: Document, headings: Sequence[Heading], tokens: TokenCounter, budget: int
) -> Segments:
    """Cuts a document's text; no segment has much more than a third of `budget` tokens.

    Takes time linear in the text and memory for its segments, not for its tokens.
    """
    found = Segments()
    spans = _spans(document.text, _boundaries(document.text, document.format, headings))
    for batch in batches(spans, _COUNT_BATCH):
        counts = _count(document.text, batch, found.ends[-1] if found.ends else 0, tokens)
        for (start, end, strength), count in zip(batch, counts, strict=True):
            limit = max(budget // 3, 1)
            if count <= limit and end - start <= limit * CHARACTERS_PER_TOKEN:
                found.append(start, end, strength, count)
            else:
                _append_pieces(found, document.text, (start, end, strength), tokens, budget)
    return found


def safe_cut(text: str, position: int, floor: int) -> int:
    """A place near `position`, after `floor`, that does not tear a character from its marks."""
    cut = position
    while cut > floor and position - cut < 32 and _joins(text, cut):
        cut -= 1
    return position if cut <= floor or _joins(text, cut) else cut


def _joins(text: str, position: int) -> bool:
    """Whether the characters around `position` are one to the reader: combining marks, emoji."""
    after = text[position : position + 1]
    if after.isascii():
        return False
    return (
        unicodedata.category(after)[0] == "M"
        or after == "\u200d"
        or text[position - 1] == "\u200d"
        or "\U0001f3fb" <= after <= "\U0001f3ff"
    )


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last perhaps shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _spans(text: str, boundaries: Iterable[tuple[int, int]]) -> Iterator[Span]:
    """Spans between boundaries, trimmed, none much longer than a window."""
    start, strength = -1, FORCED
    for position, following in boundaries:
        if start >= 0:
            yield from _windows(text, start, position, strength)
        start, strength = position, following


def _windows(text: str, start: int, stop: int, strength: int) -> Iterator[Span]:
    end = start + len(text[start:stop].rstrip())
    while end - start > _WINDOW:
        cut = text.rfind(" ", start + _WINDOW // 2, start + _WINDOW)
        if cut < 0:
            cut = safe_cut(text, start + _WINDOW, start)
        yield start, start + len(text[start:cut].rstrip()), strength
        following = _NON_SPACE.search(text, cut)
        start, strength = following.start() if following else end, FORCED
    if end > start:
        yield start, end, strength


def _boundaries(
    text: str,
    format: Format,  # noqa: A002
    headings: Sequence[Heading],
) -> Iterator[tuple[int, int]]:
    """(position, strength) where segments start, then the text's end.

    A heading is not torn and stays with the sentence that follows it.
    """
    upcoming = iter(headings)
    heading = next(upcoming, None)
    waiting: tuple[int, int] | None = None
    body = -1
    for position, strength in breaks(text, format):
        while heading and heading.start < position:
            heading = next(upcoming, None)
        if heading and heading.start == position:
            after = _NON_SPACE.search(text, heading.end)
            body = after.start() if after else len(text)
            strength = HEADING
        elif position <= body:
            continue
        if waiting and strength < HEADING and position - waiting[0] < _MIN_SEGMENT:
            if strength <= waiting[1]:
                continue
        elif waiting:
            yield waiting
        waiting = position, strength
    if waiting:
        yield waiting
    yield len(text), FORCED


def breaks(text: str, format: Format) -> Iterator[tuple[int, int]]:  # noqa: A002
    """(position, strength) of every place to cut that the text itself offers, its start first."""
    first = _NON_SPACE.search(text)
    if not first:
        return
    yield first.start(), HEADING
    line_start = first.start()
    for match in _BREAK.finditer(text, line_start):
        position = match.end()
        if position == len(text):
            return
        lines = len(_LINE_BREAK.findall(match[0]))
        if format == "code":
            strength = _code_strength(text, position, lines)
        else:
            strength = _text_strength(text, match, lines, line_start)
        if lines:
            line_start = position
        if strength > FORCED:
            yield position, strength


def _text_strength(text: str, match: re.Match[str], lines: int, line_start: int) -> int:
    """`lines` counts the line breaks in the match, `line_start` is where the line before began."""
    position = match.end()
    if lines > 1:
        # what ends in a colon belongs to the list or the example that follows
        return SENTENCE if text[match.start() - 1] == ":" else PARAGRAPH
    if lines and _ITEM.match(text, position):
        return LINE
    if _ends_sentence(text, match):
        return SENTENCE
    if lines and match.start() - line_start < _SHORT_LINE and _LINE_BREAK.match(text, position - 1):
        return LINE
    return WRAP if lines else FORCED


def _code_strength(text: str, position: int, lines: int) -> int:
    """Code is best cut before a line that is not indented, after a blank one."""
    if not lines:
        return FORCED
    outermost = _LINE_BREAK.match(text, position - 1) and text[position] not in ")]}"
    if lines > 1:
        return PARAGRAPH if outermost else LINE
    return SENTENCE if outermost else WRAP


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    """Whether the break follows a full stop that is not an abbreviation's or within a sentence."""
    end = match.start()
    if _LINE_BREAK.match(text, end):
        return False
    if text[end] != ".":
        return True
    return not (text[match.end()].islower() or _ABBREVIATION.search(text[max(end - 12, 0) : end]))


def _append_pieces(
    found: Segments, text: str, span: Span, tokens: TokenCounter, budget: int
) -> None:
    """Appends a span that is too long in pieces of about an eighth of the budget."""
    start, end, strength = span
    size = max(budget // 8, 1)
    source = text[start:end]
    cuts = [0, *_token_cuts(source, tokens.offsets(source), size), len(source)]
    pieces: list[Span] = []
    for left, right in pairwise(cuts):
        for a, b in _short_pieces(source, left, right, size * CHARACTERS_PER_TOKEN):
            piece = source[a:b]
            if content := piece.strip():
                begin = start + a + len(piece) - len(piece.lstrip())
                pieces.append((begin, begin + len(content), FORCED if pieces else strength))
    counts = _count(text, pieces, start, tokens)
    for (begin, end, strength), count in zip(pieces, counts, strict=True):
        found.append(begin, end, strength, count)


def _token_cuts(text: str, offsets: Sequence[tuple[int, int]], size: int) -> Iterator[int]:
    """Where to cut into pieces of at most `size` tokens, rather between words than within one."""
    starts: list[int] = []
    high = 0
    for start, end in offsets:
        if start >= high:  # bytes of one character are tokens over the same range
            starts.append(start)
        high = max(high, end)
    first = 0
    while first + size < len(starts):
        following = first + size
        for token in range(following, first + size // 2, -1):
            if text[starts[token] - 1].isspace() or text[starts[token]].isspace():
                following = token
                break
        yield safe_cut(text, starts[following], starts[first])
        first = following


def _short_pieces(text: str, start: int, end: int, limit: int) -> Iterator[tuple[int, int]]:
    while end - start > limit:
        cut = safe_cut(text, start + limit, start)
        yield start, cut
        start = cut
    yield start, end
