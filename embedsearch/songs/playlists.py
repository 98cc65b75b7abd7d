"""Playlists as lists of ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from embedsearch.errors import InputError
from embedsearch.songs.catalogue import Song


@dataclass(frozen=True, kw_only=True)
class Playlists:
    """Playlists in the order of the file or of time, each the ids of its songs, each song once.

    `names` are by what they can be found again, one for each: a session, a line, a number from 1.
    `skipped` counts what was passed over by its reason; `songs` are those of which the file tells
    more than the id.
    """

    lists: tuple[tuple[str, ...], ...]
    names: tuple[str, ...]
    skipped: dict[str, int] = field(default_factory=dict)
    songs: dict[str, Song] = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return iter(self.lists)

    def __len__(self) -> int:
        return len(self.lists)


def collect(
    sequences: Iterable[Sequence[str]],
    songs: dict[str, Song] | None = None,
    names: Sequence[str] | None = None,
) -> Playlists:
    """Playlists without those that teach nothing, which are counted.

    `names` are those of the sequences, their numbers from 1 if there are none.

    Passed over are empty playlists and those of one song; a song that comes again is taken where it
    came first. Raises InputError for anything that is no sequence of strings.
    """
    lists, kept = list[tuple[str, ...]](), list[str]()
    skipped: Counter[str] = Counter()
    for number, sequence in enumerate(sequences, 1):
        if isinstance(sequence, str | bytes):
            raise InputError(f"playlist {number} must be a list of ids, not the text {sequence!r}")
        for song in sequence:
            if not isinstance(song, str) or not song:
                raise InputError(
                    f"playlist {number}: an id must be a text, not {song!r}; use str(…)"
                )
        unique = tuple(dict.fromkeys(sequence))
        if len(unique) < 2:
            skipped["playlists of one song" if unique else "empty playlists"] += 1
            continue
        skipped["repeated songs"] += len(sequence) - len(unique)
        lists.append(unique)
        kept.append(str(number) if names is None else names[number - 1])
    return Playlists(
        lists=tuple(lists), names=tuple(kept), skipped=dict(+skipped), songs=songs or {}
    )
