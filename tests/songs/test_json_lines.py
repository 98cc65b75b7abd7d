"""Playlists and rows of sessions as JSON lines: what fields may be."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsearch.errors import InputError
from embedsearch.songs import Song, read_playlists
from tests.support import write


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('["a", "b"]\n{"x": 1}\n', "a.jsonl:2"),
        ('["a", "b"]\n{broken\n', "a.jsonl:2: not JSON"),
        ('[{"title": "x"}]\n', "without an id"),
        ("[[1]]\n", "a.jsonl:1: the id of a song is a text or a whole number, not [1]"),
        ('["a", 1.5]\n', "a whole number, not 1.5"),
        ('["a", true]\n', "a whole number, not true"),
        ('["a", null]\n', "a song without an id: null"),
        ('["a", ""]\n', 'a song without an id: ""'),
        ('["a", {"id": NaN}]\n', "without an id"),
        ('["a", {"id": {"x": 1}}]\n', 'a whole number, not {"x": 1}'),
        ("[" * 100_000 + "\n", "not JSON"),
    ],
)
def test_lines_that_are_wrong(tmp_path, text, part):
    with pytest.raises(InputError) as caught:
        read_playlists(write(tmp_path / "a.jsonl", text))
    assert part in str(caught.value)


FIELDS = [
    ({"tags": 5}, "`tags` is a list, or a text with `;` between the tags, not 5"),
    ({"tags": {"x": 1}}, "`tags` is a list"),
    ({"tags": True}, "`tags` is a list"),
    ({"tags": ["x", ["y"]]}, 'a tag is a text or a number, not ["y"]'),
    ({"tags": [False]}, "a tag is a text or a number, not false"),
    ({"title": ["x"]}, '`title` is a text or a number, not ["x"]'),
    ({"title": True}, "`title` is a text or a number, not true"),
    ({"artist": {"name": "x"}}, '`artist` is a text or a number, not {"name": "x"}'),
    ({"album": ["x"]}, '`album` is a text or a number, not ["x"]'),
]
ROWS = [
    ({"session": [1]}, "a session is a text or a number, not [1]"),
    ({"session": False}, "a session is a text or a number, not false"),
    ({"item": 1.5}, "the id of a song is a text or a whole number, not 1.5"),
    ({"item": ["a", "b"]}, 'a whole number, not ["a", "b"]'),
    ({"time": {"s": 1}}, 'a time or position is a text or a number, not {"s": 1}'),
    ({"time": True}, "a time or position is a text or a number, not true"),
]


@pytest.mark.parametrize(
    ("line", "part"),
    [({"songs": [{"id": "a", **told}, {"id": "b"}]}, part) for told, part in FIELDS]
    + [({"session": 1, "item": "a", **told}, part) for told, part in FIELDS + ROWS],
)
def test_fields_of_a_wrong_type(tmp_path, line, part):
    good = ["x", "y"] if "songs" in line else {"session": 1, "item": "x"}
    path = write(tmp_path / "a.jsonl", f"{json.dumps(good)}\n\n{json.dumps(line)}\n")
    with pytest.raises(InputError) as caught:
        read_playlists(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert part in str(caught.value)


def test_fields_of_a_right_type(tmp_path):
    told = {"title": 1999, "artist": None, "album": 7.5, "tags": [1, None, " x ", ""]}
    expected = {"a": Song(id="a", title="1999", album="7.5", tags=("1", "x"))}
    lines = [{"songs": [{"id": "a", **told}, {"id": "b", "title": None, "year": 5}, 0]}]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, lines)))
    found = read_playlists(path)
    assert (found.lists, found.songs) == ((("a", "b", "0"),), expected)
    rows = [{"session": 1.0, "item": item, "time": None} for item in ("a", 0)]
    rows[0] |= told
    rows += [{"session": None, "item": "z"}, {"session": 1, "item": float("nan")}]
    path = write(tmp_path / "b.jsonl", "\n".join(map(json.dumps, rows)))
    found = read_playlists(path)
    assert (found.lists, found.songs) == ((("a", "0"),), expected)
    assert found.skipped == {"rows without session or item": 2}


def test_playlists_and_rows_are_not_mixed(tmp_path):
    row, playlist = {"session": 1, "item": "a"}, ["a", "b"]
    listed = {"session": 5, "items": playlist}
    mixed = {"a.jsonl": [row, {**row, "item": "b"}, playlist], "b.jsonl": [playlist, listed, row]}
    kinds = ["a row of a session", "a playlist"]
    for (name, lines), (first, other) in zip(mixed.items(), [kinds, kinds[::-1]], strict=True):
        path = write(tmp_path / name, "\n".join(map(json.dumps, lines)))
        with pytest.raises(InputError) as caught:
            read_playlists(path)
        assert f"{name}:3: {other}, but line 1 is {first}" in str(caught.value)


def test_json_lines(tmp_path):
    lines = [["a", 2], {"songs": [{"id": "a", "title": "A"}, "b"]}, {"items": ["c", "a"]}]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, lines)))
    found = read_playlists(path)
    assert found.lists == (("a", "2"), ("a", "b"), ("c", "a"))
    assert found.songs == {"a": Song(id="a", title="A")}
    events = [
        {"session": 1, "item": "b", "time": 2},
        {"session": 1, "item": "a", "time": 1, "title": "A", "tags": ["x", "y"]},
    ]
    path = write(tmp_path / "b.jsonl", "\n".join(map(json.dumps, events)))
    found = read_playlists(path)
    assert found.lists == (("a", "b"),)
    assert found.songs == {"a": Song(id="a", title="A", tags=("x", "y"))}


NAMES = ["session", "item", "time", "date", "songs", "id", "title", "artist", "tags"]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
    ),
)


@given(st.lists(values, min_size=1, max_size=4))
def test_any_json_is_read_or_refused(tmp_path_factory, lines):
    text = "\n".join(map(json.dumps, lines))
    path = write(tmp_path_factory.mktemp("lines") / "a.jsonl", text)
    with suppress(InputError):
        found = read_playlists(path)
        assert all(len(each) > 1 and all(each) for each in found)
