"""Documents to chunks: slices that fit the encoder, cut where the text itself has a break."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from embedsearch.errors import InputError
from embedsearch.text.packing import Packer, Section, section_at
from embedsearch.text.segments import batches, safe_cut, segment
from embedsearch.text.structure import Heading, headings
from embedsearch.types import Chunk, Document, TokenCounter

MIN_TOKENS = 16
"""The smallest chunk that can be asked for."""
CONTEXT_CHARACTERS = 200
"""Length of a context line in Latin letters; a letter of another script counts as two or four."""

_MARGIN = 2
_MIN_TEXT_TOKENS = 8
_BATCH = 512
_HEAD = 800


@dataclass(frozen=True, kw_only=True)
class ChunkingConfig:
    """How documents are cut. `max_tokens` None stands for all that the encoder can see.

    `max_tokens` counts the context line too. `whole_documents` makes each document one chunk, of
    which the encoder sees only the beginning.
    """

    max_tokens: int | None = None
    overlap_tokens: int = 32
    whole_documents: bool = False

    def __post_init__(self) -> None:
        if self.max_tokens is not None:
            _check_tokens("max_tokens", self.max_tokens, MIN_TOKENS)
        _check_tokens("overlap_tokens", self.overlap_tokens, 0)
        if self.max_tokens is not None and self.overlap_tokens >= self.max_tokens:
            raise InputError(
                f"overlap_tokens, {self.overlap_tokens}, must be less than max_tokens, "
                f"{self.max_tokens}"
            )
        if not isinstance(self.whole_documents, bool):
            raise InputError(f"whole_documents must be true or false, not {self.whole_documents!r}")


def _check_tokens(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} must be a whole number of at least {least}, not {value!r}")


def chunk_document(
    document: Document, tokens: TokenCounter, max_tokens: int, config: ChunkingConfig
) -> list[Chunk]:
    """The chunks of a document, in order. `max_tokens` is what the encoder sees of one input.

    Every character that is not white space lies in a chunk, and a chunk begins and ends with such
    a one. The `embedding_input` of a chunk under its `context_of` has at most `max_tokens` tokens,
    or the config's where that is less; a context that leaves no room for eight tokens of text is
    the exception. Consecutive chunks share at most `overlap_tokens`, and a quarter of what fits. A
    document without text is one empty chunk if it has a title, else none. Time and memory are
    linear in the text. Raises InputError for a `max_tokens` below `MIN_TOKENS`.
    """
    _check_tokens("max_tokens", max_tokens, MIN_TOKENS)
    limit = min(max_tokens, config.max_tokens or max_tokens)
    text = document.text
    if not text.strip():
        return [Chunk(start=0, end=0, text="")] if document.title.strip() else []
    found = headings(text, document.format)
    sections = _sections(document.title, found, tokens, limit)
    if config.whole_documents:
        start = len(text) - len(text.lstrip())
        return [_chunk(text, sections, (start, start + len(text.strip())))]
    budget = min(section.budget for section in sections)
    packer = Packer(
        segments=segment(document, found, tokens, budget),
        sections=sections,
        overlap_tokens=config.overlap_tokens,
        code=document.format == "code",
    )
    return list(_fitting(document, sections, packer.chunks(), tokens, limit))


def embedding_input(context: str, text: str) -> str:
    """What is embedded for a chunk: its context on a line of its own, then its text."""
    return f"{context}\n{text}" if context and text else context or text


def context_of(document_title: str, chunk: Chunk) -> str:
    """One line that says where a chunk stands: the title and the headings, joined by " > ".

    A heading that the chunk's text begins with, or a part that came before, is left out. Where the
    line is longer than about `CONTEXT_CHARACTERS`, outer headings go first, then ends of parts.
    """
    head = _comparable(chunk.text[:_HEAD])
    parts: list[str] = []
    seen: set[str] = set()
    for number, part in enumerate((document_title, *chunk.headings)):
        line = " ".join(part[:_HEAD].split())
        if not line:
            continue
        key = _comparable(line) or line
        follows = head[len(key) : len(key) + 1]
        begins_text = head.startswith(key) and not follows.isalnum()
        # The title is worth saying twice: measured, it helps both ways of searching.
        if key not in seen and (number == 0 or not begins_text):
            parts.append(line)
        seen.add(key)
    return _shortened(parts)


def _comparable(text: str) -> str:
    """Text without case, markup and white space that differ between a heading and its source."""
    plain = " ".join(_MARKUP.sub("", text).split()).casefold()
    return _LEADING_MARKS.sub("", plain)


_MARKUP = re.compile(r"[`*_\\]")
_LEADING_MARKS = re.compile(r"^\W+")


def _shortened(parts: list[str]) -> str:
    while len(parts) > 2 and _weight(" > ".join(parts)) > CONTEXT_CHARACTERS:
        del parts[1]
    if len(parts) == 2:
        room = CONTEXT_CHARACTERS - _weight(parts[1]) - len(" > ")
        parts[0] = _cut_line(parts[0], max(room, CONTEXT_CHARACTERS // 2))
    return _cut_line(" > ".join(parts), CONTEXT_CHARACTERS)


def _weight(line: str) -> int:
    if line.isascii():
        return len(line)
    return sum(map(_character_weight, line))


def _character_weight(character: str) -> int:
    """About four times the tokens of a character: few vocabularies know much of other scripts."""
    return 1 if character < "\u0250" else 2 if character < "\u2e80" else 4


def _cut_line(line: str, most: int) -> str:
    """The line up to a weight, cut between words where it has any."""
    if _weight(line) <= most:
        return line
    weight = 0
    for position, character in enumerate(line):
        weight += _character_weight(character)
        if weight > most:
            blank = line.rfind(" ", position // 2, position + 1)
            return line[: blank if blank > 0 else safe_cut(line, position, 0)].rstrip(" >")
    return line


def _sections(
    title: str, found: Sequence[Heading], tokens: TokenCounter, limit: int
) -> list[Section]:
    """The sections of a document, the first one (before any heading) from character 0."""
    paths: list[tuple[str, ...]] = [()]
    open_headings: list[Heading] = []
    for heading in found:
        while open_headings and open_headings[-1].level >= heading.level:
            open_headings.pop()
        open_headings.append(heading)
        paths.append(tuple(opened.title for opened in open_headings if opened.title))
    sections = []
    counts = tokens.count([_full_context(title, path) for path in paths])
    for number, (path, count) in enumerate(zip(paths, counts, strict=True)):
        while path and count > limit // 2:  # a tiny limit: the text matters more than its headings
            path = path[1:]
            count = tokens.count([_full_context(title, path)])[0]
        start, level = (found[number - 1].start, found[number - 1].level) if number else (0, 0)
        budget = max(limit - count - _MARGIN, _MIN_TEXT_TOKENS)
        sections.append(Section(start=start, level=level, path=path, budget=budget))
    return sections


def _full_context(title: str, path: tuple[str, ...]) -> str:
    return context_of(title, Chunk(start=0, end=0, text="", headings=path))


def _chunk(text: str, sections: Sequence[Section], span: tuple[int, int]) -> Chunk:
    start, end = span
    path = section_at(sections, start).path
    return Chunk(start=start, end=end, text=text[start:end], headings=path)


def _fitting(
    document: Document,
    sections: Sequence[Section],
    spans: Iterable[tuple[int, int]],
    tokens: TokenCounter,
    limit: int,
) -> Iterator[Chunk]:
    """Chunks of the spans. Counts of segments need not add up to the count of their text, so each
    chunk is counted once more, as it will be embedded, and halved while it is too long.
    """
    for batch in batches(spans, _BATCH):
        chunks = [_chunk(document.text, sections, span) for span in batch]
        inputs = [
            embedding_input(context_of(document.title, chunk), chunk.text) for chunk in chunks
        ]
        for chunk, count in zip(chunks, tokens.count(inputs), strict=True):
            if count <= limit:
                yield chunk
            else:
                yield from _halved(document, sections, chunk, tokens, limit)


def _halved(
    document: Document,
    sections: Sequence[Section],
    chunk: Chunk,
    tokens: TokenCounter,
    limit: int,
) -> Iterator[Chunk]:
    waiting = [chunk]
    while waiting:
        chunk = waiting.pop()
        context = context_of(document.title, chunk)
        count, alone = tokens.count([embedding_input(context, chunk.text), context])
        halves = _halves(document.text, chunk.start, chunk.end)
        if count <= max(limit, alone + _MIN_TEXT_TOKENS) or not halves:
            yield chunk
        else:
            waiting += [_chunk(document.text, sections, half) for half in reversed(halves)]


def _halves(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Both halves of a chunk, trimmed, cut between words if they can be; none of one character."""
    if end - start < 2:
        return []
    middle = (start + end) // 2
    blank = text.rfind(" ", start + (end - start) // 4, middle)
    cut = blank if blank > 0 else safe_cut(text, middle, start)
    right = text[cut:end]
    return [
        (start, start + len(text[start:cut].rstrip())),
        (end - len(right.lstrip()), end),
    ]
