"""Which segments go together into a chunk."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

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
        bounds.append((len(self.segments), -1))
        groups: list[tuple[int, int]] = []
        start, level = bounds[0]
        for first, next_level in bounds[1:]:
            tiny = self.segments.tokens(start, first) < self._fair(start)
            if tiny and next_level >= level:
                continue
            if not (tiny and groups and self._goes_back(groups[-1], level, first)):
                groups.append((start, level))
            start, level = first, next_level
        for (first, _), (last, _) in pairwise([*groups, bounds[-1]]):
            yield first, last

    def _fair(self, segment: int) -> int:
        return min(SECTION_TOKENS, self._budget(segment) // 3)

    def _goes_back(self, group: tuple[int, int], level: int, end: int) -> bool:
        """Whether a tiny section that ends its parent fits into the group before it."""
        start, group_level = group
        return level >= group_level and self.segments.tokens(start, end) <= self._budget(start)

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
