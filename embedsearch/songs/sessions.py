"""Sessions, plays and clicks one by one, from tables and JSON lines, gathered to playlists."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from embedsearch.songs.catalogue import Song
from embedsearch.songs.lines import SHOWN, TextLines
from embedsearch.songs.playlists import Playlists, collect

_SESSION = ("sessionid", "session", "playlistid", "playlist", "userid", "user", "listid", "list")
_ITEM = ("itemid", "item", "songid", "song", "trackid", "track", "productid", "product", "bookid")
_TIME = ("time", "timestamp", "position", "pos", "date", "order")
_LISTS = ("songs", "items", "tracks")


def read_table(reader: TextLines, delimiter: str) -> Playlists:
    """Sessions of a table with a header row. Raises InputError with file and line."""
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


def read_json_lines(reader: TextLines) -> Playlists:
    """Playlists, or sessions row by row. Raises InputError with file and line."""
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
                f"`session` and `item`: {line[:SHOWN]!r}",
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
        raise reader.fail(number, f"a song without an id: {str(item)[:SHOWN]!r}")
    if len(record) > 1:
        songs.setdefault(str(found), song_of(str(found), record))
    return str(found)
