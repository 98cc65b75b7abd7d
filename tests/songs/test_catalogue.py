"""Songs looked up by what people type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsearch.errors import InputError, NotFoundError
from embedsearch.songs import Catalogue, Song
from embedsearch.songs.catalogue import identity_of

SONGS = [
    Song(id="1", title="Halo", artist="Beyoncé"),
    Song(id="2", title="Halo", artist="The Others"),
    Song(id="3", title="Bohemian Rhapsody - Remastered 2011", artist="Queen"),
    Song(id="4", title="Bohemian Rhapsody", artist="Queen"),
    Song(id="5", title="Don't Stop Me Now", artist="Queen"),
    Song(id="6", title="Dancing Queen", artist="ABBA"),
    Song(id="7", title="22", artist="Taylor Swift"),
    Song(id="22", title="Last Resort", artist="Papa Roach"),
    Song(id="8", title="Sunday Morning", artist="Maroon 5, Guest"),
    Song(id="9", title="Easy Like Sunday Morning", artist="Commodores"),
]
CATALOGUE = Catalogue(SONGS)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("1", "1"),
        ("22", "22"),
        ("dont stop me now", "5"),
        ("Don’t Stop Me Now", "5"),
        ("halo beyonce", "1"),
        ("Beyoncé — Halo", "1"),
        ("halo by the others", "2"),
        ("queen dancing abba", "6"),
        ("sunday morning", "8"),
        ("sunday morning maroon 5", "8"),
        ("taylor swift 22", "7"),
    ],
)
def test_resolve(typed, found):
    assert CATALOGUE.resolve(typed).id == found


def test_re_releases_are_one_song():
    assert CATALOGUE.resolve("Bohemian Rhapsody").id in ("3", "4")


def test_ambiguity_is_shown():
    with pytest.raises(InputError) as caught:
        CATALOGUE.resolve("halo")
    for part in ("'halo'", "1 (Halo — Beyoncé)", "2 (Halo — The Others)"):
        assert part in str(caught.value)


@pytest.mark.parametrize("typed", ["hallo", "sunday mornin", "quen"])
def test_misspelt_names_that_fit_several_songs_are_not_guessed(typed):
    with pytest.raises(NotFoundError) as caught:
        CATALOGUE.resolve(typed)
    for match in CATALOGUE.find(typed)[:2]:
        assert match.score < 1
        assert match.song.label in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("bohemain rapsody", {"3", "4"}),
        ("beyonse halo", {"1"}),
        ("dansing quen", {"6"}),
        ("sunday mroning maroon", {"8"}),
    ],
)
def test_find_forgives_typing(typed, found):
    assert CATALOGUE.find(typed)[0].song.id in found
    assert CATALOGUE.resolve(typed).id in found


@pytest.mark.parametrize("typed", ["", "   ", "!?", "zzzzqqqq"])
def test_nothing_near(typed):
    assert CATALOGUE.find(typed) == []
    with pytest.raises(NotFoundError, match="no song is called anything like"):
        CATALOGUE.resolve(typed)


def test_songs_without_names():
    bare = Catalogue([Song(id="x"), Song(id="x", title="second"), Song(id="y")])
    assert (len(bare), bare["x"].label, bare["x"].text) == (2, "x", "")
    assert bare.find("anything") == []


@given(st.text(max_size=40))
def test_any_text_is_looked_up(typed):
    found = CATALOGUE.find(typed)
    assert [match.score for match in found] == sorted((m.score for m in found), reverse=True)
    assert all(0 < match.score <= 1 + 1e-9 for match in found)


@given(st.sampled_from(SONGS))
def test_whole_names_are_found(song):
    assert CATALOGUE.find(f"{song.artist} {song.title}")[0].score == pytest.approx(1)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Halo (Remastered 2009)", "Halo", True),
        ("Halo - Radio Edit", "Halo - 2011 Remaster", True),
        ("Symphony - I. Allegro", "Symphony - II. Andante", False),
        ("Saga (Part 1)", "Saga (Pt. 2)", False),
        ("Sonata - No. 3", "Sonata", False),
        ("☆", "★★", False),
        ("☆", "☆", True),
    ],
)
def test_releases_are_told_from_parts(one, other, same):
    songs = [Song(id=title, title=title, artist="Odile") for title in (one, other)]
    assert (identity_of(songs[0]) == identity_of(songs[1])) == same


def test_titles_without_an_artist_are_different_songs():
    assert identity_of(Song(id="1", title="Intro")) != identity_of(Song(id="2", title="Intro"))


def test_signs_are_titles():
    songs = Catalogue([Song(id=str(n), title=t, artist="B") for n, t in enumerate("☆+")])
    assert [songs.resolve(typed).id for typed in ("☆", " + ")] == ["0", "1"]
    with pytest.raises(NotFoundError, match="anything like"):
        songs.resolve("♥")
