"""`--where`: what is typed, and what it means to the store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsearch.cli.options import parse_where
from embedsearch.errors import InputError
from embedsearch.store.filters import compile_where


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lang=en", {"lang": {"$eq": "en"}}),
        ("lang!=en", {"lang": {"$ne": "en"}}),
        ("year=2020", {"year": {"$in": ["2020", 2020]}}),
        ("year!=2020", {"year": {"$nin": ["2020", 2020]}}),
        ("year>2020", {"year": {"$gt": 2020}}),
        ("year>=2020", {"year": {"$gte": 2020}}),
        ("year<2020", {"year": {"$lt": 2020}}),
        ("year<=2020", {"year": {"$lte": 2020}}),
        ("date>=2020-01-31", {"date": {"$gte": "2020-01-31"}}),
        ("x=-1.5e3", {"x": {"$in": ["-1.5e3", -1500.0]}}),
        ("x=1.0", {"x": {"$in": ["1.0", 1.0]}}),
        ("x=0", {"x": {"$in": ["0", 0]}}),
        ("x=007", {"x": {"$eq": "007"}}),
        ("x=1_000", {"x": {"$eq": "1_000"}}),
        ("x=+1", {"x": {"$eq": "+1"}}),
        ("x=.5", {"x": {"$eq": ".5"}}),
        ("x=١", {"x": {"$eq": "١"}}),
        ("x=1e999", {"x": {"$eq": "1e999"}}),
        ("x=nan", {"x": {"$eq": "nan"}}),
        ("x=Infinity", {"x": {"$eq": "Infinity"}}),
        ("x=true", {"x": {"$in": ["true", True]}}),
        ("x=false", {"x": {"$in": ["false", False]}}),
        ("x=null", {"x": {"$in": ["null", None]}}),
        ("x=True", {"x": {"$eq": "True"}}),
        ("x=", {"x": {"$eq": ""}}),
        ("x= en ", {"x": {"$eq": "en"}}),
        ("lang = en", {"lang": {"$eq": "en"}}),
        ("lang==en", {"lang": {"$eq": "en"}}),
        ("lang == en", {"lang": {"$eq": "en"}}),
        ("lang= =en", {"lang": {"$eq": "=en"}}),
        ("year = 2020", {"year": {"$in": ["2020", 2020]}}),
        ("year >= 2020", {"year": {"$gte": 2020}}),
        ("path == docs/*.md", {"path": "docs/*.md"}),
        (" x =en", {"x": {"$eq": "en"}}),
        ("key=a=b", {"key": {"$eq": "a=b"}}),
        ("key=a<b", {"key": {"$eq": "a<b"}}),
        ("key>a=b", {"key": {"$gt": "a=b"}}),
        ("key=two\nlines", {"key": {"$eq": "two\nlines"}}),
        ("a.b.c=1", {"a.b.c": {"$in": ["1", 1]}}),
        ("tag~v*", {"tag": {"$glob": "v*"}}),
        ("tag~1", {"tag": {"$glob": "1"}}),
        ("path=docs/*.md", {"path": "docs/*.md"}),
        ("path~docs/*.md", {"path": {"$glob": "docs/*.md"}}),
        ("path!=a.md", {"path": {"$ne": "a.md"}}),
        ("path=", {"path": ""}),
        ("id=2020", {"id": "2020"}),
        ("id!=2020", {"id": {"$ne": "2020"}}),
        ("id>=10", {"id": {"$gte": "10"}}),
        ("id=true", {"id": "true"}),
        ("id=caf\udce9", {"id": "caf\\xe9"}),  # as the names of files are
    ],
)
def test_conditions(typed, meant):
    assert parse_where([typed]) == [meant]
    compile_where(parse_where([typed]))


def test_each_condition_stands_for_itself():
    typed = ["tag=a", "tag=b", "year>1", "year>2", "id=a*", "id!=ab"]
    assert parse_where(typed) == [parse_where([one])[0] for one in typed]


def test_no_condition():
    assert parse_where(None) is None
    assert parse_where([]) is None


@pytest.mark.parametrize("typed", ["lang", "", "=en", "~x", "!x=1", "lang en", "a!b=c"])
def test_what_is_no_condition(typed):
    with pytest.raises(InputError, match="--where takes KEY=VALUE"):
        parse_where([typed])


def test_a_number_of_ten_thousand_digits_is_a_string():
    assert parse_where(["x=" + "9" * 10_000]) == [{"x": {"$eq": "9" * 10_000}}]


@given(typed=st.text(max_size=20))
def test_anything_typed_is_understood_or_refused(typed):
    try:
        typed.encode("utf-8", "surrogateescape")
        parsed = parse_where([typed])
        compile_where(parsed)
    except (InputError, UnicodeEncodeError):
        return
    assert len(parsed) == 1
