"""Tables of sessions: what is sorted by time, stray quotes, what describes songs."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsearch.errors import InputError
from embedsearch.songs import Song, read_playlists
from embedsearch.songs.playlists import collect
from tests.support import write


def test_a_table_of_clicks_is_sorted_by_time(tmp_path):
    rows = "SessionId\tItemId\tTime\n1\tx\t9\n2\tz\t1\n1\ty\t10\n1\t\t11\n2\tx\t0\n3\tx\n"
    found = read_playlists(write(tmp_path / "clicks.txt", rows))
    assert found.lists == (("x", "z"), ("x", "y"))
    assert found.skipped == {
        "rows without session or item": 1,
        "rows with too many or too few fields": 1,
    }


def table(tmp_path, *lines, name="a.csv"):
    return read_playlists(write(tmp_path / name, "\n".join(lines) + "\n"))


@pytest.mark.parametrize(
    ("column", "times", "expected"),
    [
        ("time", ["100", "101", "9", "10"], "early first"),
        ("time", ["-1", "0", "-2e3", "-1.5"], "early first"),
        ("timestamp", ["2014-04-07T10:51", "2014-04-07T10:52"] + 2 * ["2013-12-31"], "early first"),
        ("date", ["20140407", "20140408", "20140101", "20140102"], "early first"),
        ("position", ["3", "4", "1", "2"], "as in the file"),
        ("order", ["3", "4", "1", "2"], "as in the file"),
        ("time", ["", "", "", ""], "as in the file"),
        ("time", ["nan", "nan", "", "inf"], "as in the file"),
        ("time", ["10/01/2014 9:00", "10/01/2014 9:30"] + 2 * ["09/01/2015"], "as in the file"),
        ("time", ["10:51", "10:52", "09:01", "09:02"], "as in the file"),
    ],
)
def test_sessions_are_in_the_order_of_time(tmp_path, column, times, expected):
    rows = zip(["late,a", "late,b", "early,c", "early,d"], times, strict=True)
    found = table(tmp_path, f"session,item,{column}", *map(",".join, rows))
    lists = (("c", "d"), ("a", "b"))
    assert found.lists == (lists if expected == "early first" else lists[::-1])
    assert found.skipped == {}


def test_sessions_of_one_time_stay_in_the_order_of_the_file(tmp_path):
    rows = [f"{session},{item},5" for session in "zmaq" for item in (f"{session}1", f"{session}2")]
    found = table(tmp_path, "session,item,time", *rows)
    assert [songs[0] for songs in found] == ["z1", "m1", "a1", "q1"]


def test_positions_order_a_session_and_dates_the_sessions(tmp_path):
    rows = [
        "p,a,2,2020-01-01",
        "p,b,1,2020-02-01",
        "q,c,1,",
        "q,d,2,2019-05-01",
        "r,e,2,",
        "r,f,1,",
    ]
    found = table(tmp_path, "playlist,song,position,date", *rows)
    assert found.lists == (("f", "e"), ("c", "d"), ("b", "a"))
    assert found.skipped == {}


UNTIMED = "rows without a time or position that can be compared"


@pytest.mark.parametrize("odd", ["", "nan", "NaN", "inf", "last", "1e999"])
def test_one_odd_position_costs_its_row_alone(tmp_path, odd):
    found = table(tmp_path, "session,item,position", "1,a,1", "1,b,2", "1,c,10", f"1,d,{odd}")
    assert found.lists == (("a", "b", "c"),)
    assert found.skipped == {UNTIMED: 1}


def test_one_odd_time_among_texts_costs_its_row_alone(tmp_path):
    times = ["2014-04-07T10:52:00", "2014-04-07T10:51:00", "", "2014-04-06", "NaN", "2014"]
    rows = [f"1,{item},{time}" for item, time in zip("abcdef", times, strict=True)]
    found = table(tmp_path, "session,item,time", *rows)
    assert found.lists == (("f", "d", "b", "a"),)
    assert found.skipped == {UNTIMED: 2}


events = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 99), st.integers(-50, 50) | st.just("")),
    min_size=1,
    max_size=30,
)


@given(events, st.booleans())
def test_every_event_is_in_its_place_or_counted(tmp_path_factory, rows, dates):
    """The same order by numbers, by texts, and by a plain sort of what has a time."""
    gathered: dict[int, list[tuple[int, int]]] = {}
    timed = [row for row in rows if row[2] != ""] or [(*row[:2], 0) for row in rows]
    for session, item, time in timed:
        gathered.setdefault(session, []).append((time, item))
    ordered = sorted(gathered, key=lambda session: min_time(gathered[session]))
    lists = [[str(item) for _, item in sorted(gathered[each], key=first_of)] for each in ordered]
    expected = collect(lists, names=[str(session) for session in ordered])
    lines = [
        f"{session},{item},{time if time == '' or not dates else f'2014-01-01T{time + 50:03}'}"
        for session, item, time in rows
    ]
    path = write(
        tmp_path_factory.mktemp("events") / "a.csv", "\n".join(["session,item,time", *lines])
    )
    if not expected.lists:
        with pytest.raises(InputError, match="no playlist of two songs"):
            read_playlists(path)
        return
    found = read_playlists(path)
    assert found.lists == expected.lists
    assert found.skipped.get(UNTIMED, 0) == len(rows) - len(timed)


def first_of(event):
    return event[0]


def min_time(events):
    return min(map(first_of, events))


def test_a_csv_with_titles(tmp_path):
    rows = 'playlist,track,title,artist,tags\np,1,"One, two",A,slow;sad\np,2,,,\n'
    found = read_playlists(write(tmp_path / "lists.csv", rows))
    assert found.lists == (("1", "2"),)
    assert found.songs == {"1": Song(id="1", title="One, two", artist="A", tags=("slow", "sad"))}


def test_any_of_four_columns_describes_a_song(tmp_path):
    rows = ["p,1,First,,,", "p,2,,slow;;sad,,", "p,3,,,,X", "p,1,Other,loud,T,", "p,4,,,,"]
    found = table(tmp_path, "playlist,track,album,tags,title,artist", *rows)
    assert found.songs == {
        "1": Song(id="1", title="T", album="First", tags=("loud",)),
        "2": Song(id="2", tags=("slow", "sad")),
        "3": Song(id="3", artist="X"),
    }


def clicks(row: str) -> list[str]:
    """99 sessions of two songs, with a row after the 50th."""
    rows = [f"{session},{item},Title" for session in range(99) for item in "ab"]
    return ["session,item,title", *rows[:100], row, *rows[100:]]


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        (clicks('50,a,"unclosed'), 102),
        (clicks('50,a,"unclosed')[:102], 102),
        ([*clicks('50,a,"unclosed'), '7,b,"other'], 102),
        ([*clicks('50,a,"unclosed'), '7,b,"A ""B"" C"'], 102),
        ([*clicks('50,a,"unclosed'), *100_000 * ["7,b,c"]], 102),
        (['session,item,"title', "1,a,x", "1,b,y"], 1),
        ([*clicks('50,a,"two\nlines"'), '50,c,"unclosed', "50,d,x"], 202),
    ],
)
def test_a_quote_that_is_not_closed_loses_no_rows(tmp_path, lines, line):
    with pytest.raises(InputError, match=rf"a\.csv:{line}: a quote that opens here is not closed"):
        table(tmp_path, *lines)


def test_quotes_that_harm_nothing(tmp_path):
    titles = [
        '12" mix',
        '"""Heroes"""',
        '"Heroes" live',
        'The "Best"',
        '"two\nlines, ""one"" song"',
    ]
    rows = [f"p,{number},{title}" for number, title in enumerate(titles)]
    found = table(tmp_path, "playlist,track,title", *rows)
    assert [found.songs[str(number)].title for number in range(len(titles))] == [
        *('12" mix', '"Heroes"', "Heroes live", 'The "Best"', 'two\nlines, "one" song')
    ]
    rows = [row.replace(",", "\t", 2) for row in ['p,1,"open', "p,2,close", 'q,3,"', "q,4,x"]]
    found = table(tmp_path, "playlist\ttrack\ttitle", *rows, name="a.tsv")
    assert (len(found), found.songs["1"].title) == (2, '"open')


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("one,two\n1,2\n", "session"),
        ("one\n1\n", "two or more columns"),
    ],
)
def test_tables_that_are_wrong(tmp_path, text, part):
    with pytest.raises(InputError) as caught:
        read_playlists(write(tmp_path / "a.csv", text))
    assert part in str(caught.value)


@pytest.mark.data
def test_the_sessions_of_a_shop(public_set):
    path = public_set("yoochoose_clicks_100k") / "yoochoose-clicks-100k_train_full.txt.gz"
    sessions: dict[str, list[tuple[float, str]]] = {}
    with gzip.open(path, "rt") as lines:
        for session, item, time in [line.split() for line in lines][1:]:
            sessions.setdefault(session, []).append((float(time), item))
    ordered = sorted(sessions, key=lambda session: min_time(sessions[session]))
    lists = [[item for _, item in sorted(sessions[each], key=first_of)] for each in ordered]
    assert read_playlists(path) == collect(lists, names=ordered)
