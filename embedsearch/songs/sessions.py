"""Sessions, plays and clicks one by one, from tables, gathered to playlists."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from embedsearch.songs.catalogue import Song
from embedsearch.songs.lines import TextLines
from embedsearch.songs.playlists import Playlists, collect

_SESSION = ("sessionid", "session", "playlistid", "playlist", "userid", "user", "listid", "list")
_ITEM = ("itemid", "item", "songid", "song", "trackid", "track", "productid", "product", "bookid")
_ORDER = ("time", "timestamp", "position", "pos", "date", "order")
_MOMENT = ("timestamp", "date", "time")
_TOLD = ("title", "artist", "album", "tags")
_DATE = re.compile(r"\d{4}-?\d\d")
"""How a date of ISO 8601 begins; texts that begin like that are in the order of time."""


def read_table(reader: TextLines, delimiter: str) -> Playlists:
    """Sessions of a table with a header row. Raises InputError with file and line."""
    rows = _rows(reader, delimiter)
    names = [name.strip() for name in next(rows, [])]
    columns = known_columns(names)
    if columns is None:
        raise reader.fail(
            1,
            f"no columns for session and item among {', '.join(names)[:200]!r}; call them "
            "`session` and `item`, or `playlist` and `song`",
        )
    events, described = Events(), not columns.keys().isdisjoint(_TOLD)
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(names):
            events.skipped["rows with too many or too few fields"] += 1
            continue
        cells = {kind: row[place].strip() for kind, place in columns.items()}
        event = Event(
            session=cells["session"],
            item=cells["item"],
            order=cells.get("order", ""),
            moment=cells.get("moment", ""),
        )
        song = None
        if described:
            title, artist, album, tags = (cells.get(kind, "") for kind in _TOLD)
            song = song_of(event.item, title, artist, album, split_tags(tags))
        events.add(event, song)
    return events.playlists()


def _rows(reader: TextLines, delimiter: str) -> Iterator[list[str]]:
    """Rows as the csv module has them.

    It takes a quote that nobody closes for the begin of a field that goes on to the end of the
    file, or to the next quote. So rows of several lines have to be quoted strictly; within a line
    stray quotes do no harm.
    """
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    taken: list[str] = []
    began = 1

    def lines() -> Iterator[str]:
        for _, line in reader:
            taken.append(line + "\n")
            yield taken[-1]

    rows = csv.reader(lines(), delimiter=delimiter, quoting=quoting)
    while True:
        began += len(taken)
        taken.clear()
        try:
            row = next(rows, None)
            if row and (len(taken) > 1 or row[-1].endswith("\n")):
                list(csv.reader(taken, delimiter=delimiter, quoting=quoting, strict=True))
        except csv.Error as error:
            what = str(error)
            if len(taken) > 1 or what == "unexpected end of data":
                what = (
                    "a quote that opens here is not closed where its field ends; write a quote "
                    "that is part of a field twice"
                )
            raise reader.fail(began, what) from None
        if row is None:
            return
        yield row


def known_columns(names: Sequence[str]) -> dict[str, int] | None:
    """The place of each column that is known, by what it holds; None without the needed two.

    `order` is what the events of a session are sorted by, `moment` what sessions are: seldom two
    columns.
    """
    plain = [name.casefold().replace("_", "").replace(" ", "") for name in names]
    kinds = {"session": _SESSION, "item": _ITEM, "order": _ORDER, "moment": _MOMENT}
    kinds |= {name: (name,) for name in _TOLD}
    found = {}
    for kind, spellings in kinds.items():
        place = next((plain.index(name) for name in spellings if name in plain), None)
        if place is not None:
            found[kind] = place
    return found if {"session", "item"} <= found.keys() else None


class Event(NamedTuple):
    """A play or click, as texts; `order` and `moment` are empty where nothing is told."""

    session: str
    item: str
    order: str
    moment: str


class Events:
    """Plays and clicks, one by one, to be gathered by session."""

    def __init__(self) -> None:
        self.skipped: Counter[str] = Counter()
        self._events: list[Event] = []
        self._songs: dict[str, Song] = {}

    def add(self, event: Event, song: Song | None) -> None:
        """`song` is what the row tells of its item, if anything."""
        if not event.session or not event.item:
            self.skipped["rows without session or item"] += 1
            return
        self._events.append(event)
        describe(self._songs, song)

    def playlists(self) -> Playlists:
        """Sessions by the time of their first event, events by time; the file's order else.

        Sessions stay in the file's order too where events have a position, or times that are
        neither numbers nor dates of ISO 8601; those without any time come first. A row without a
        time where others have one is passed over and counted.
        """
        orders = _comparable([event.order for event in self._events])
        moments = _comparable([event.moment for event in self._events])
        sessions: dict[str, list[tuple[float | str, str]]] = {}
        first: dict[str, float | str] = {}
        skipped = self.skipped.copy()
        for event, order, moment in zip(self._events, orders, moments, strict=True):
            if order is None:
                skipped["rows without a time or position that can be compared"] += 1
                continue
            sessions.setdefault(event.session, []).append((order, event.item))
            if isinstance(moment, float) or (moment and _DATE.match(moment)):
                first[event.session] = min(first.get(event.session, moment), moment)
        ordered = sorted(sessions, key=lambda name: (name in first, first.get(name)))
        lists = [
            [item for _, item in sorted(sessions[name], key=lambda event: event[0])]
            for name in ordered
        ]
        found = collect(lists, self._songs, ordered)
        return replace(found, skipped=dict(skipped + Counter(found.skipped)))


def _comparable(times: Sequence[str]) -> Sequence[float | str | None]:
    """Times as numbers where most are numbers, else as texts; None for those that are neither.

    Zeros where there are none at all, so that what is sorted by them keeps its order.
    """
    numbers = [_number(time) for time in times]
    finite = sum(number is not None and math.isfinite(number) for number in numbers)
    texts = sum(number is None and time != "" for number, time in zip(numbers, times, strict=True))
    if not finite and not texts:
        return [0.0] * len(times)
    if finite >= texts:
        return [n if n is not None and math.isfinite(n) else None for n in numbers]
    return [
        time if time and (number is None or math.isfinite(number)) else None
        for number, time in zip(numbers, times, strict=True)
    ]


def _number(time: str) -> float | None:
    try:
        return float(time)
    except ValueError:
        return None


def song_of(item: str, title: str, artist: str, album: str, tags: Sequence[str]) -> Song | None:
    """A song of which more than the id is told; None where nothing is."""
    if not (title or artist or album or tags):
        return None
    return Song(id=item, title=title, artist=artist, album=album, tags=tuple(tags))


def split_tags(text: str) -> list[str]:
    """Tags that are joined by `;`."""
    return [tag.strip() for tag in text.split(";") if tag.strip()]


def describe(songs: dict[str, Song], song: Song | None) -> None:
    """Adds what is told of a song; what was told before of title, artist, album or tags stays."""
    if song is None:
        return
    known = songs.setdefault(song.id, song)
    if known != song:
        songs[song.id] = Song(
            id=song.id,
            title=known.title or song.title,
            artist=known.artist or song.artist,
            album=known.album or song.album,
            tags=known.tags or song.tags,
        )
