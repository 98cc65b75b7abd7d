"""Titles, artists, albums and tags from the files of the Cornell playlist data set."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from embedsearch.errors import InputError
from embedsearch.songs.catalogue import Catalogue, Song
from embedsearch.songs.lines import TextLines
from embedsearch.types import SILENT, Progress

_NONE = "#"
_LONGER = "lines of more than id, title and artist, of which the rest is passed over"


def read_songs(
    path: str | Path,
    *,
    albums: str | Path | None = None,
    tags: str | Path | None = None,
    progress: Progress = SILENT,
) -> Catalogue:
    """A catalogue of a `song_hash.txt`: id TAB title TAB artist; `.gz` too.

    `albums` has id TAB album on each line. `tags` has the numbers of a song's tags on each line,
    `#` for none, in the order of the ids; `tag_hash.txt` beside it names them (`number, name`).
    Lines without a title or an artist are taken as they are, those without an id passed over, and
    so are fields after the artist; all are counted in a remark.

    Raises NotFoundError, InputError with file and line.
    """
    lines = TextLines(Path(path))
    songs: dict[str, Song] = {}
    odd: Counter[str] = Counter()
    for number, line in lines:
        if not line.strip():
            continue
        cells = [cell.strip().replace("\\/", "/") for cell in line.split("\t")]
        if number == 1 and len(cells) == 1:
            raise lines.fail(1, f"a song is id TAB title TAB artist, not {line[:80]!r}")
        song_id, title, artist, *rest = *cells, "", ""
        if not song_id:
            odd["lines without an id"] += 1
        elif song_id in songs:
            odd["lines with an id that was there before"] += 1
        else:
            songs[song_id] = Song(id=song_id, title=title, artist=_unset(artist))
            if any(rest):
                odd[_LONGER] += 1
            if not title or not _unset(artist):
                odd["songs without a title or an artist, which are kept"] += 1
    if albums is not None:
        _add_albums(songs, TextLines(Path(albums)), odd)
    if tags is not None:
        _add_tags(songs, Path(tags), odd)
    for what, count in odd.items():
        progress.note(f"{lines.name}: {count:,} {what}")
    if not songs:
        raise InputError(f"{lines.name} has no songs")
    return Catalogue(songs.values())


def _unset(cell: str) -> str:
    return "" if cell == "-" else cell


def _add_albums(songs: dict[str, Song], lines: TextLines, odd: Counter[str]) -> None:
    for number, line in lines:
        song_id, tab, album = line.partition("\t")
        if line.strip() and not tab:
            raise lines.fail(number, f"an album is id TAB name, not {line[:80]!r}")
        song = songs.get(song_id.strip())
        if song is not None:
            songs[song.id] = replace(song, album=album.strip())
        elif line.strip():
            odd["albums of unknown songs"] += 1


def _add_tags(songs: dict[str, Song], path: Path, odd: Counter[str]) -> None:
    beside = [path.with_name(f"tag_hash.txt{end}") for end in ("", ".gz")]
    names = TextLines(next((file for file in beside if file.exists()), beside[0]))
    known = {}
    for number, line in names:
        mark, comma, name = line.partition(",")
        if line.strip() and not comma:
            raise names.fail(number, f"a tag is `number, name`, not {line[:80]!r}")
        known[mark.strip()] = name.strip()
    lines = TextLines(path)
    for number, line in lines:
        marks = [mark for mark in line.split() if mark != _NONE]
        unknown = next((mark for mark in marks if mark not in known), None)
        if unknown is not None:
            raise lines.fail(number, f"tag {unknown[:40]!r} is not in {names.name}")
        song = songs.get(str(number - 1))
        if song is not None:
            songs[song.id] = replace(song, tags=tuple(known[mark] for mark in marks))
        elif marks:
            odd["lines of tags of unknown songs"] += 1
