"""Playlists from JSON lines: a list a line, or a row of a session."""

from __future__ import annotations

import json
from typing import Any

from embedsearch.errors import InputError
from embedsearch.songs.catalogue import Song
from embedsearch.songs.lines import SHOWN, TextLines
from embedsearch.songs.playlists import Playlists, collect
from embedsearch.songs.sessions import Event, Events, describe, known_columns, song_of, split_tags
from embedsearch.text.readers.content import loads

_LISTS = ("songs", "items", "tracks")
_NAMES = ("name", "playlist", "id")
_KINDS = ("a row of a session", "a playlist")


def read_json_lines(reader: TextLines) -> Playlists:
    """Playlists, a list each, or sessions row by row.

    A file has one or the other: lists come in the order of the file, sessions in that of time, so
    there is none for both. Raises InputError with file and line.
    """
    events, songs = Events(), dict[str, Song]()
    lists, names = list[list[str]](), list[str]()
    first: tuple[int, bool] | None = None
    for number, line in reader:
        if not line.strip():
            continue
        try:
            record = _parse(line)
            items, columns = _listed(record), _columns(record)
            if items is None and columns is None:
                raise InputError(
                    "neither a list of songs, nor an object with such a list as `songs`, nor one "
                    f"with `session` and `item`: {line[:SHOWN]!r}"
                )
            first = first or (number, items is not None)
            if first[1] != (items is not None):
                raise InputError(
                    f"{_KINDS[items is not None]}, but line {first[0]} is {_KINDS[first[1]]}: "
                    "a file has one or the other"
                )
            if items is not None:
                lists.append([_item(item, songs) for item in items])
                names.append(_name(record) or str(number))
            elif columns is not None:
                _add_row({kind: record[name] for kind, name in columns.items()}, events)
        except InputError as error:
            raise reader.fail(number, str(error)) from None
    return collect(lists, songs, names) if lists else events.playlists()


def _parse(line: str) -> Any:
    try:
        return loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}") from None


def _listed(record: Any) -> list[Any] | None:
    """The songs of a line that is a playlist."""
    if isinstance(record, dict):
        found = (record[name] for name in _LISTS if isinstance(record.get(name), list))
        return next(found, None)
    return record if isinstance(record, list) else None


def _name(record: Any) -> str:
    """What an object calls its playlist; nothing else is read of it, so what is odd is no error."""
    given = [record.get(name) for name in _NAMES] if isinstance(record, dict) else []
    found = (str(name) for name in given if isinstance(name, str | int) and str(name).strip())
    return next(found, "")


def _columns(record: Any) -> dict[str, str] | None:
    """The names of what a line that is a row has, by what they hold."""
    names = list(record) if isinstance(record, dict) else []
    columns = known_columns(names)
    return None if columns is None else {kind: names[at] for kind, at in columns.items()}


def _add_row(cells: dict[str, Any], events: Events) -> None:
    event = Event(
        session=_text("a session", cells["session"]),
        item=_id(cells["item"]),
        order=_text("a time or position", cells.get("order")),
        moment=_text("a time", cells.get("moment")),
    )
    events.add(event, _song(event.item, cells))


def _item(item: Any, songs: dict[str, Song]) -> str:
    """The id of a song that is written as a text, a number, or an object with `id`."""
    record = item if isinstance(item, dict) else {"id": item}
    found = _id(record.get("id"))
    if not found:
        raise InputError(f"a song without an id: {_shown(item)}")
    describe(songs, _song(found, record))
    return found


def _song(item: str, record: dict[str, Any]) -> Song | None:
    """What an object tells by `title`, `artist`, `album` and `tags`, a list or joined by `;`."""
    title, artist, album = (
        _text(f"`{name}`", record.get(name)) for name in ("title", "artist", "album")
    )
    given = record.get("tags")
    if isinstance(given, list):
        tags = [tag for tag in (_text("a tag", each).strip() for each in given) if tag]
    elif isinstance(given, str | None):
        tags = split_tags(given or "")
    else:
        raise InputError(
            f"`tags` is a list, or a text with `;` between the tags, not {_shown(given)}"
        )
    return song_of(item, title, artist, album, tags)


def _id(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise InputError(f"the id of a song is a text or a whole number, not {_shown(value)}")
    return "" if value is None else str(value)


def _text(what: str, value: Any) -> str:
    """A text or a number as text; null is nothing."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise InputError(f"{what} is a text or a number, not {_shown(value)}")
    return "" if value is None else str(value)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:SHOWN]
