"""Which segments go together into a chunk."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from embedsearch.text.segments import HEADING, PARAGRAPH, SENTENCE, WRAP, Segments

SECTION_TOKENS = 64
"""A section of this size is a chunk of its own; a smaller one takes in the sections that follow, or
goes to the one before where its parent ends."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """Text from one heading to the next. `level` 0 and an empty path: before the first heading.

    `budget` is how many tokens of text fit into a chunk that begins here.
    """

    start: int
    level: int
    path: tuple[str, ...]
    budget: int


def section_at(sections: Sequence[Section], position: int) -> Section:
    """The section in force at a character of the text; sections are in order, the first from 0."""
    return sections[bisect_right(sections, position, key=lambda section: section.start) - 1]


@dataclass(frozen=True, kw_only=True)
class Packer:
    """Fills chunks to their section's budget and cuts at the best boundary in the later half."""

    segments: Segments
    sections: Sequence[Section]
    overlap_tokens: int
    code: bool

    def chunks(self) -> Iterator[tuple[int, int]]:
        """(start, end) character ranges of the chunks, in order, trimmed of white space."""
        for first, last in self._groups():
            for begin, stop in self._cut(first, last):
                yield self.segments.starts[begin], self.segments.ends[stop - 1]

    def _budget(self, segment: int) -> int:
        return section_at(self.sections, self.segments.starts[segment]).budget

    def _groups(self) -> Iterator[tuple[int, int]]:
        """Ranges of segments that no chunk crosses: sections, tiny ones joined with others."""
        bounds: list[tuple[int, int]] = []  # first segment, level
        for section in self.sections:
            first = bisect_left(self.segments.starts, section.start)
            if bounds and bounds[-1][0] == first:
                bounds.pop()
            if first < len(self.segments):
                bounds.append((first, section.level))
        bounds.append((len(self.segments), 0))
        start, level = bounds[0]
        for number in range(1, len(bounds) - 1):
            if not self._joins(start, level, bounds[number], bounds[number + 1]):
                yield start, bounds[number][0]
                start, level = bounds[number]
        yield start, len(self.segments)

    def _joins(
        self, start: int, level: int, section: tuple[int, int], following: tuple[int, int]
    ) -> bool:
        """Whether a section belongs to the group that began at segment `start`."""
        first, own_level = section
        if own_level < level:
            return False
        budget = self._budget(start)
        fair = min(SECTION_TOKENS, budget // 3)
        if self.segments.tokens(start, first) < fair:
            return True
        last, next_level = following
        return (
            next_level < own_level
            and self.segments.tokens(first, last) < fair
            and self.segments.tokens(start, last) <= budget
        )

    def _cut(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Chunks of one group, as ranges of segments; each begins after the one before it."""
        begin = fresh = first
        while self.segments.tokens(begin, last) > self._budget(begin) and fresh + 1 < last:
            cut = self._best_cut(begin, fresh, last)
            yield begin, cut
            begin, fresh = self._overlap_start(begin, cut), cut
        yield begin, last

    def _best_cut(self, begin: int, fresh: int, last: int) -> int:
        """Where the chunk from `begin` ends: at the strongest boundary in the later half of what
        fits, the latest of equals. What is left for two chunks is halved instead, about evenly.
        """
        segments, budget = self.segments, self._budget(begin)
        rest = segments.tokens(begin, last)
        low, high, middle = budget // 2, budget, 0
        if 2 * rest <= 3 * budget:
            middle = rest // 2
            low = max(rest // 3, rest + self._overlap(budget) - budget)
            high = min(budget, rest - rest // 3)
        best, best_rank, cut = 0, (-1, 0), fresh + 1
        while cut < last and (size := segments.tokens(begin, cut)) <= high:
            rank = (segments.strengths[cut], -abs(size - middle) if middle else cut)
            if size >= low and rank > best_rank:
                best, best_rank = cut, rank
            cut += 1
        return best or max(cut - 1, fresh + 1)

    def _overlap(self, budget: int) -> int:
        return min(self.overlap_tokens, budget // 4)

    def _overlap_start(self, begin: int, cut: int) -> int:
        """Where the chunk after `cut` begins: earlier, at a sentence or else a line, to keep the
        thread; but not where a heading or, in code, an outermost block begins at the cut.
        """
        segments, most = self.segments, self._overlap(self._budget(begin))
        strength = segments.strengths[cut]
        if strength == HEADING or (self.code and strength == PARAGRAPH):
            return cut
        sentence = line = cut
        for start in range(cut - 1, begin, -1):
            if segments.tokens(start, cut) > most:
                break
            strength = segments.strengths[start]
            if strength >= SENTENCE:
                sentence = start
            elif strength == WRAP:
                line = start
            if strength == HEADING:
                break
        start = sentence if sentence < cut else line
        return start if segments.tokens(start, cut + 1) <= self._budget(start) else cut
