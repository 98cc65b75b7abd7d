"""Playlists from files: the Cornell layout, tables of sessions, JSON lines.

The Cornell layout (Chen et al. 2012, www.cs.cornell.edu/~shuochen/lme/data_page.html) is two
header lines, the source's ids and the plays of each song, then a playlist of song numbers a line.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from embedsearch.errors import InputError, NotFoundError, ReadError
from embedsearch.songs.catalogue import Song
from embedsearch.text.files import printable
from embedsearch.text.readers.opening import bounded_lines, open_stream, reasons
from embedsearch.text.suffixes import split_suffix
from embedsearch.types import SILENT, Progress

MAX_UNPACKED = 8 << 30
MAX_LINE = 1 << 28
_SESSION = ("sessionid", "session", "playlistid", "playlist", "userid", "user", "listid", "list")
_ITEM = ("itemid", "item", "songid", "song", "trackid", "track", "productid", "product", "bookid")
_TIME = ("time", "timestamp", "position", "pos", "date", "order")
_LISTS = ("songs", "items", "tracks")
_SHOWN = 60


@dataclass(frozen=True, kw_only=True)
class Playlists:
    """Playlists in the order of the file, each the ids of its songs in order, each song once.

    `skipped` counts what was passed over by its reason; `songs` are those of which the file tells
    more than the id.
    """

    lists: tuple[tuple[str, ...], ...]
    skipped: dict[str, int] = field(default_factory=dict)
    songs: dict[str, Song] = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return iter(self.lists)

    def __len__(self) -> int:
        return len(self.lists)


def collect(sequences: Iterable[Sequence[str]], songs: dict[str, Song] | None = None) -> Playlists:
    """Playlists without those that teach nothing, which are counted.

    Passed over are empty playlists and those of one song; a song that comes again is taken where it
    came first. Raises InputError for anything that is no sequence of strings.
    """
    lists: list[tuple[str, ...]] = []
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
    return Playlists(lists=tuple(lists), skipped=dict(+skipped), songs=songs or {})


def read_playlists(path: str | Path, *, progress: Progress = SILENT) -> Playlists:
    """Playlists of a file, whichever layout it has; `.gz` too.

    - Cornell: two header lines, then song numbers.
    - A table (CSV, TSV) with a header row: a column such as `SessionId` or `playlist`, one such as
      `ItemId`, `song` or `track`; where there is a `time` or `position`, a session is sorted by it.
      Columns `title`, `artist`, `album` and `tags` describe the song.
    - JSON lines: a list of ids, an object with such a list as `songs`, `items` or `tracks`, or an
      object for each row of such a table.

    Raises NotFoundError, InputError with file and line.
    """
    path = Path(path)
    suffix, _ = split_suffix(path.name)
    reader = TextLines(path)
    if suffix in (".jsonl", ".ndjson"):
        found = _read_json_lines(reader)
    else:
        first = next(iter(reader), (1, ""))[1]
        delimiter = next((mark for mark in "\t,;" if mark in first), None)
        if delimiter is not None:
            found = _read_table(reader, delimiter)
        elif suffix in (".csv", ".tsv"):
            raise InputError(f"{reader.name}:1: a header row of two or more columns is expected")
        else:
            found = _read_cornell(reader, progress)
    for reason, count in found.skipped.items():
        progress.note(f"{reader.name}: passed over {count:,} {reason}")
    if not found.lists:
        raise InputError(f"{reader.name} has no playlist of two songs or more")
    return found


class TextLines:
    """Lines of a text file, bounded, gzip undone; failures with file and line."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, printable(path)
        if not path.exists():
            raise NotFoundError(f"no such file: {self.name}")

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Numbers from 1 and lines without their end."""
        _, gzipped = split_suffix(self.path.name)
        try:
            with reasons(), open_stream(self.path, gzipped, MAX_UNPACKED) as stream:
                for number, raw in bounded_lines(stream, MAX_LINE):
                    yield number, self._text(number, raw)
        except ReadError as error:
            raise InputError(f"{self.name}: {error}") from None

    def fail(self, number: int, what: str) -> InputError:
        return InputError(f"{self.name}:{number}: {what}")

    def _text(self, number: int, raw: bytes | None) -> str:
        if raw is None:
            raise self.fail(number, f"a line of more than {MAX_LINE >> 20} MB")
        try:
            return raw.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise self.fail(number, "not UTF-8") from None


def _read_cornell(reader: TextLines, progress: Progress) -> Playlists:
    lines = iter(reader)
    ids = next(lines, (1, ""))[1].split()
    counts = next(lines, (2, ""))[1].split()
    if not ids or len(ids) != len(counts):
        raise reader.fail(
            2,
            f"{len(counts):,} numbers of plays for the {len(ids):,} ids of line 1: a playlist file "
            "begins with two lines, the ids of all songs and how often each is played",
        )
    lists, plays = [], Counter[int]()
    for number, line in lines:
        songs = [_song_number(reader, number, word, len(ids)) for word in line.split()]
        plays.update(songs)
        lists.append([str(song) for song in songs])
    if lists and not lists[-1]:
        lists.pop()
    _compare_plays(reader, counts, plays, progress)
    return collect(lists)


def _song_number(reader: TextLines, number: int, word: str, songs: int) -> int:
    try:
        song = int(word) if word.isascii() and len(word) < 20 else -1
    except ValueError:
        raise reader.fail(number, f"a song is a number, not {word[:_SHOWN]!r}") from None
    if not 0 <= song < songs:
        raise reader.fail(
            number, f"song {word[:_SHOWN]} is out of range: line 1 has {songs:,} songs, from 0"
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
            f"{reader.name}:2: {len(wrong):,} numbers of plays are not those of the playlists, the "
            f"first of song {song}: {counts[song][:_SHOWN]}, counted {plays[song]}; the playlists "
            "are believed"
        )


def _read_table(reader: TextLines, delimiter: str) -> Playlists:
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    numbered = iter(reader)
    at = [0]

    def text() -> Iterator[str]:
        for at[0], line in numbered:
            yield line + "\n"

    rows = csv.reader(text(), delimiter=delimiter, quoting=quoting)
    events = _Events()
    try:
        names = [name.strip() for name in next(rows, [])]
        columns = _columns(names)
        if columns is None:
            raise reader.fail(
                1,
                f"no columns for session and item among {', '.join(names)[:200]!r}; call them "
                "`session` and `item`, or `playlist` and `song`",
            )
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(names):
                events.skipped["rows with too many or too few fields"] += 1
                continue
            record = {kind: row[place].strip() for kind, place in columns.items()}
            events.add(record)
    except csv.Error as error:
        raise reader.fail(at[0], str(error)) from None
    return events.playlists()


def _columns(names: Sequence[str]) -> dict[str, int] | None:
    """The place of each column that is known, by what it holds; None without the needed two."""
    plain = [name.casefold().replace("_", "").replace(" ", "") for name in names]
    kinds = {"session": _SESSION, "item": _ITEM, "time": _TIME}
    kinds |= {name: (name,) for name in ("title", "artist", "album", "tags")}
    found = {}
    for kind, spellings in kinds.items():
        place = next((plain.index(name) for name in spellings if name in plain), None)
        if place is not None:
            found[kind] = place
    return found if {"session", "item"} <= found.keys() else None


class _Events:
    """Plays and clicks, one by one, to be gathered by session."""

    def __init__(self) -> None:
        self.skipped: Counter[str] = Counter()
        self._sessions: dict[str, list[tuple[str, str]]] = {}
        self._songs: dict[str, Song] = {}

    def add(self, record: dict[str, str]) -> None:
        session, item = record["session"], record["item"]
        if not session or not item:
            self.skipped["rows without session or item"] += 1
            return
        self._sessions.setdefault(session, []).append((record.get("time", ""), item))
        if item not in self._songs and (record.get("title") or record.get("artist")):
            self._songs[item] = song_of(item, record)

    def playlists(self) -> Playlists:
        """Sessions by the time of their first event, events by time; the file's order else."""
        lists = []
        for events in self._sessions.values():
            key = _sort_key([time for time, _ in events])
            lists.append([item for _, item in sorted(events, key=lambda event: key(event[0]))])
        found = collect(lists, self._songs)
        skipped = Counter(found.skipped) + self.skipped
        return Playlists(lists=found.lists, skipped=dict(skipped), songs=found.songs)


def _sort_key(times: Sequence[str]) -> Any:
    """Numbers are compared as numbers, other times as texts; without any the order stays."""
    try:
        for time in times:
            float(time)
    except ValueError:
        return str
    return float


def song_of(item: str, record: dict[str, Any]) -> Song:
    """A song of a record's `title`, `artist`, `album` and `tags` (a list, or joined by `;`)."""
    tags = record.get("tags") or ()
    names = tags.split(";") if isinstance(tags, str) else map(str, tags)
    return Song(
        id=item,
        title=str(record.get("title") or ""),
        artist=str(record.get("artist") or ""),
        album=str(record.get("album") or ""),
        tags=tuple(name.strip() for name in names if name.strip()),
    )


def _read_json_lines(reader: TextLines) -> Playlists:
    events, lists, songs = _Events(), list[list[str]](), dict[str, Song]()
    for number, line in reader:
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise reader.fail(number, f"not JSON: {error}") from None
        items = record
        if isinstance(record, dict):
            items = next((record[name] for name in _LISTS if isinstance(record.get(name), list)), 0)
        if isinstance(items, list):
            lists.append([_item(reader, number, item, songs) for item in items])
        elif isinstance(record, dict) and (columns := _columns(list(record))) is not None:
            values = list(record.values())
            cells = {kind: _cell(values[place]) for kind, place in columns.items()}
            events.add(cells)
        else:
            raise reader.fail(
                number,
                "neither a list of songs, nor an object with such a list as `songs`, nor one with "
                f"`session` and `item`: {line[:_SHOWN]!r}",
            )
    if lists:
        return collect(lists, songs)
    return events.playlists()


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ";".join(map(str, value))
    return "" if value is None else str(value)


def _item(reader: TextLines, number: int, item: Any, songs: dict[str, Song]) -> str:
    """The id of a song that is written as a text, a number, or an object with `id`."""
    record = item if isinstance(item, dict) else {"id": item}
    found = record.get("id")
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        raise reader.fail(number, f"a song without an id: {str(item)[:_SHOWN]!r}")
    if len(record) > 1:
        songs.setdefault(str(found), song_of(str(found), record))
    return str(found)
