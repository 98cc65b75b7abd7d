"""Playlists from files: the Cornell layout, tables of sessions, JSON lines.

The Cornell layout (Chen et al. 2012, www.cs.cornell.edu/~shuochen/lme/data_page.html) is two
header lines, the source's ids and the plays of each song, then a playlist of song numbers a line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from embedsearch.errors import InputError
from embedsearch.songs.json_lines import read_json_lines
from embedsearch.songs.lines import SHOWN, TextLines
from embedsearch.songs.playlists import Playlists, collect
from embedsearch.songs.sessions import read_table
from embedsearch.text.suffixes import split_suffix
from embedsearch.text.words import counted
from embedsearch.types import SILENT, Progress


def read_playlists(path: str | Path, *, progress: Progress = SILENT) -> Playlists:
    """Playlists of a file, whichever layout it has; `.gz` too.

    - Cornell: two header lines, then song numbers.
    - A table (CSV, TSV) with a header row: a column such as `SessionId` or `playlist`, one such as
      `ItemId`, `song` or `track`; where there is a `time` or `position`, a session is sorted by it,
      and where there is a time, sessions by that of their first event. Columns `title`, `artist`,
      `album` and `tags` describe the song.
    - JSON lines: a list of ids, an object with such a list as `songs`, `items` or `tracks`, or an
      object for each row of such a table; one file has playlists or rows, not both.

    A playlist is called by its session, by `name`, `playlist` or `id` of its object, else by its
    line. What is merely dirty is passed over, counted in `skipped` and told in a remark.

    Raises NotFoundError, InputError with file and line.
    """
    path = Path(path)
    suffix, _ = split_suffix(path.name)
    reader = TextLines(path)
    if suffix in (".jsonl", ".ndjson"):
        found = read_json_lines(reader)
    else:
        first = next(iter(reader), (1, ""))[1]
        delimiter = next((mark for mark in "\t,;" if mark in first), None)
        if delimiter is not None:
            found = read_table(reader, delimiter)
        elif suffix in (".csv", ".tsv"):
            raise InputError(f"{reader.name}:1: a header row of two or more columns is expected")
        else:
            found = _read_cornell(reader, progress)
    for reason, count in found.skipped.items():
        progress.note(f"{reader.name}: passed over, {reason}: {count:,}")
    if not found.lists:
        raise InputError(f"{reader.name} has no playlist of two songs or more")
    return found


def _read_cornell(reader: TextLines, progress: Progress) -> Playlists:
    lines = iter(reader)
    ids = next(lines, (1, ""))[1].split()
    counts = next(lines, (2, ""))[1].split()
    if not ids or len(ids) != len(counts):
        raise reader.fail(
            2,
            f"{counted(len(ids), 'id')} on line 1 and {len(counts):,} numbers of plays: a playlist "
            "file begins with two lines, the ids of all songs and how often each is played",
        )
    lists, lines_of, plays = list[list[str]](), list[str](), Counter[int]()
    for number, line in lines:
        songs = [_song_number(reader, number, word, len(ids)) for word in line.split()]
        plays.update(songs)
        lists.append([str(song) for song in songs])
        lines_of.append(str(number))
    if lists and not lists[-1]:
        lists.pop()
    _compare_plays(reader, counts, plays, progress)
    return collect(lists, names=lines_of)


def _song_number(reader: TextLines, number: int, word: str, songs: int) -> int:
    digits = word.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()):
        raise reader.fail(number, f"a song is a number, not {word[:SHOWN]!r}")
    song = int(word) if len(word) < 20 else songs
    if digits != word or song >= songs:
        raise reader.fail(
            number,
            f"song {word[:SHOWN]} is out of range: line 1 has {counted(songs, 'song')}, from 0",
        )
    return song


def _compare_plays(
    reader: TextLines, counts: Sequence[str], plays: Counter[int], progress: Progress
) -> None:
    """The header's numbers of plays are of no use to us, but that they differ tells something."""
    wrong = [song for song, count in enumerate(counts) if count != str(plays[song])]
    if wrong:
        song = wrong[0]
        progress.note(
            f"{reader.name}:2: {len(wrong):,} of {len(counts):,} numbers of plays are not those of "
            f"the playlists, the first of song {song}: {counts[song][:SHOWN]}, counted "
            f"{plays[song]}; the playlists are believed"
        )
