"""Playlists and songs from files: every layout, what is dirty, what is wrong."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsearch.errors import InputError, NotFoundError
from embedsearch.songs import Song, read_playlists, read_songs
from embedsearch.songs.playlists import collect
from tests.support import Notes, write

HEADER = "a b c d \n2 1 1 0 \n"


def test_cornell(tmp_path):
    path = write(tmp_path / "train.txt", HEADER + "0 1 \n2 0 \n")
    found = read_playlists(path)
    assert found.lists == (("0", "1"), ("2", "0"))
    assert found.skipped == {}
    packed = tmp_path / "train.txt.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_playlists(packed) == found


def test_what_teaches_nothing_is_counted(tmp_path):
    path = write(tmp_path / "train.txt", "a b c \n9 9 9 \n0 1 0 2 \n\n2 \n1 1 \n1 2 \n")
    notes = Notes()
    found = read_playlists(path, progress=notes)
    assert found.lists == (("0", "1", "2"), ("1", "2"))
    assert found.skipped == {
        "repeated songs": 1,
        "empty playlists": 1,
        "playlists of one song": 2,
    }
    assert any("passed over, playlists of one song: 2" in line for line in notes.lines)
    assert any(":2: 3 of 3 numbers of plays" in line for line in notes.lines)
    assert any("song 0: 9, counted 2" in line for line in notes.lines)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a b c \n1 1 \n0 1 \n", [":2:", "3 ids on line 1 and 2 numbers of plays"]),
        ("", [":2:"]),
        (HEADER + "0 1 \n0 4 \n", [":4:", "song 4 is out of range", "4 songs"]),
        (HEADER + "0 -1 \n", [":3:", "song -1 is out of range"]),
        (HEADER + "0 x \n", [":3:", "'x'"]),
        (HEADER + "0 é \n", [":3:", "a song is a number, not 'é'"]),
        (HEADER + "0 1_0 \n", [":3:", "a song is a number, not '1_0'"]),
        (HEADER + "0 １ \n", [":3:", "a song is a number, not '１'"]),
        (HEADER + "0 +1 \n", [":3:", "a song is a number, not '+1'"]),
        (HEADER + "0 --1 \n", [":3:", "a song is a number, not '--1'"]),
        (HEADER + "0 - \n", [":3:", "a song is a number, not '-'"]),
        (HEADER + "0 -0 \n", [":3:", "song -0 is out of range"]),
        (HEADER + "0 " + "9" * 5000 + " \n", [":3:", "out of range"]),
        (HEADER + "0 \n", ["no playlist of two songs"]),
        (HEADER, ["no playlist of two songs"]),
    ],
)
def test_cornell_files_that_are_wrong(tmp_path, text, parts):
    path = write(tmp_path / "train.txt", text)
    with pytest.raises(InputError) as caught:
        read_playlists(path)
    for part in ["train.txt", *parts]:
        assert part in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(NotFoundError, match=r"nowhere\.txt"):
        read_playlists(tmp_path / "nowhere.txt")
    with pytest.raises(InputError, match=r"bad\.txt"):
        read_playlists(write(tmp_path / "bad.txt", b"a\xff b\n1 1\n0 1\n"))
    with pytest.raises(InputError, match="gzip"):
        read_playlists(write(tmp_path / "bad.txt.gz", b"no gzip"))


@given(st.lists(st.lists(st.integers(0, 30), max_size=8), max_size=20))
def test_every_playlist_is_kept_or_counted(lists):
    given_lists = [[str(song) for song in each] for each in lists]
    found = collect(given_lists)
    kept = [tuple(dict.fromkeys(each)) for each in given_lists]
    assert list(found) == [each for each in kept if len(each) > 1]
    small = found.skipped.get("empty playlists", 0) + found.skipped.get("playlists of one song", 0)
    assert len(found) + small == len(lists)
    assert [kept[int(name) - 1] for name in found.names] == list(found)


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("a.txt", "a b c\n1 2 1\n0 1\n\n1 2\n", ("3", "5")),
        ("a.csv", "playlist,song\nroad trip,1\nsolo,3\nroad trip,2\n", ("road trip",)),
        ("a.csv", "session,item,time\n7,1,20\n7,2,21\n8,1,10\n8,3,11\n", ("8", "7")),
        ("a.jsonl", '[1, 2]\n\n[3]\n["4", "5"]\n', ("1", "4")),
        (
            "a.jsonl",
            '{"name": "rain", "id": 3, "songs": [1, 2]}\n{"id": 4, "songs": [1, 3]}\n'
            '{"name": " ", "tracks": [1, 2]}\n{"name": ["x"], "items": [2, 1]}\n',
            ("rain", "4", "3", "4"),
        ),
        ("a.jsonl", '{"session": 9, "item": 1}\n{"session": 9, "item": 2}\n', ("9",)),
    ],
)
def test_playlists_are_called_as_the_file_calls_them(tmp_path, name, text, names):
    assert read_playlists(write(tmp_path / name, text)).names == names


@pytest.mark.parametrize("wrong", [["ab"], [["a", 1]], [["a", ""]], [[None]]])
def test_sequences_must_be_of_strings(wrong):
    with pytest.raises(InputError, match="playlist 1"):
        collect(wrong)


def test_song_hash(tmp_path):
    path = write(
        tmp_path / "song_hash.txt",
        "0 \tYes\\/No\tBand & Co\n1 \tAlone\n2 \t\t\n0 \tAgain\tX\n \tnothing\tY\n\n3 \tT\t-\n",
    )
    notes = Notes()
    found = read_songs(path, progress=notes)
    assert [song.id for song in found.values()] == ["0", "1", "2", "3"]
    assert found["0"] == Song(id="0", title="Yes/No", artist="Band & Co")
    assert (found["1"].artist, found["2"].title, found["3"].artist) == ("", "", "")
    assert sorted(line.split(": ")[1] for line in notes.lines) == [
        "1 lines with an id that was there before",
        "1 lines without an id",
        "3 songs without a title or an artist, which are kept",
    ]


def test_further_fields_of_songs_are_told(tmp_path):
    path = write(tmp_path / "song_hash.txt", "0\tOne\tTwo\tBand\n1\tOne\tBand\t\n2\tX\tY\t1999\n")
    notes = Notes()
    found = read_songs(path, progress=notes)
    assert [song.artist for song in found.values()] == ["Two", "Band", "Y"]
    assert [line.split(": ")[1] for line in notes.lines] == [
        "2 lines of more than id, title and artist, of which the rest is passed over"
    ]


def test_albums_and_tags(tmp_path):
    path = write(tmp_path / "song_hash.txt", "0 \tA\tX\n1 \tB\tY\n")
    albums = write(tmp_path / "albums.tsv", "1\tFirst\n7\tOther\n")
    tags = write(tmp_path / "tags.txt", "1 0\n#\n")
    write(tmp_path / "tag_hash.txt", "0, slow\n1, loud, live\n")
    found = read_songs(path, albums=albums, tags=tags)
    assert found["0"].tags == ("loud, live", "slow")
    assert (found["1"].album, found["1"].tags) == ("First", ())
    assert found["1"].text == "B by Y from First"
    write(tags, "1 5\n")
    with pytest.raises(InputError, match=r"tags\.txt:1: tag '5'"):
        read_songs(path, tags=tags)
    write(albums, "1 First\n")
    with pytest.raises(InputError, match=r"albums\.tsv:1"):
        read_songs(path, albums=albums)


@pytest.mark.data
def test_the_public_sets(public_set):
    folder = public_set("playlists")
    train = read_playlists(folder / "train.txt.gz")
    assert (len(train), sum(map(len, train)), train.skipped) == (3375, 269_348, {})
    songs = read_songs(folder / "song_hash.txt.gz", albums=folder / "albums.tsv.gz")
    assert len(songs) == 52_433
    assert songs["0"].label == "Beautiful Crazy — Luke Combs"
    tagged = public_set("cornell_yes_complete_tags")
    radio = read_songs(tagged / "song_hash.txt.gz", tags=tagged / "tags.txt.gz")
    assert len(radio) == 75_262
    assert sum(bool(song.tags) for song in radio.values()) == 43_693
    clicks = public_set("yoochoose_clicks_100k") / "yoochoose-clicks-100k_train_full.txt.gz"
    sessions = read_playlists(clicks)
    repeated = sessions.skipped["repeated songs"] + sum(map(len, sessions))
    assert len(sessions) + sessions.skipped["playlists of one song"] == 17_794
    assert repeated <= 70_278
