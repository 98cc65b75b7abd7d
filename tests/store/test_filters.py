"""`where` filters against the same conditions evaluated in plain Python."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsearch.errors import InputError
from embedsearch.store.filters import MAX_VALUES, compile_where, matching_chunks
from embedsearch.types import Document
from tests.store.rows import chunk_rows, make_database, make_model, put

MISSING = object()


# The conditions in plain Python.


def json_type(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, (int, float)):
        return "number"
    return {str: "string", list: "list", dict: "object"}[type(value)]


def look_up(metadata: Any, field: str) -> Any:
    for part in field.split("."):
        if not isinstance(metadata, dict) or part not in metadata:
            return MISSING
        metadata = metadata[part]
    return metadata


def glob_regex(pattern: str) -> str:
    """SQLite's GLOB: `*`, `?`, `[a-c]`, `[^a]`."""
    parts = re.findall(r"\*|\?|\[\^?[^\]]+\]|.", pattern, re.DOTALL)
    special = {"*": ".*", "?": "."}
    return "".join(
        special.get(part) or (part if len(part) > 1 else re.escape(part)) for part in parts
    )


def is_glob_match(pattern: str, text: str) -> bool:
    return re.fullmatch(glob_regex(pattern), text, re.DOTALL) is not None


WRITTEN = re.compile(r"[ \t\n\r]*-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?[ \t\n\r]*")
"""A number of JSON."""


def holds(operator: str, found: Any, wanted: Any) -> bool:
    """Whether one value of the document (not a list) is as wanted."""
    if operator in ("$gt", "$gte", "$lt", "$lte") and json_type(wanted) == "number":
        found = float(found) if isinstance(found, str) and WRITTEN.fullmatch(found) else found
    if json_type(found) != json_type(wanted):
        return False
    return {
        "$eq": lambda: found == wanted,
        "$gt": lambda: found > wanted,
        "$gte": lambda: found >= wanted,
        "$lt": lambda: found < wanted,
        "$lte": lambda: found <= wanted,
        "$glob": lambda: is_glob_match(wanted, found),
    }[operator]()


def passes_one(value: Any, operator: str, wanted: Any) -> bool:
    if operator == "$exists":
        return (value is not MISSING) == wanted
    if operator == "$ne":
        return not passes_one(value, "$eq", wanted)
    if operator == "$in":
        return any(passes_one(value, "$eq", one) for one in wanted)
    if operator == "$nin":
        return not passes_one(value, "$in", wanted)
    if value is MISSING or isinstance(value, dict):
        return False
    return any(
        holds(operator, one, wanted) for one in (value if isinstance(value, list) else [value])
    )


def passes(document: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    for field, wanted in where.items():
        if field in ("id", "path"):
            value = document[field] if document[field] is not None else MISSING
        else:
            value = look_up(document["metadata"], field)
        if isinstance(wanted, dict):
            conditions = wanted
        elif isinstance(wanted, list):
            conditions = {"$in": wanted}
        else:
            conditions = {"$eq": wanted}
        if not all(passes_one(value, op, one) for op, one in conditions.items()):
            return False
    return True


# A database whose documents come and go with each example.


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    db = make_database(tmp_path_factory.mktemp("filters"))
    yield db, make_model(db)
    db.close()


def found(store, documents: list[dict[str, Any]], where: Mapping[str, Any]) -> list[str]:
    """Ids of the documents that pass, by SQLite; also what `matching_chunks` has to give."""
    db, model = store
    db.execute("BEGIN")
    try:
        rows = {}
        for document in documents:
            text = f"text of {document['id']}"
            made = Document(id=document["id"], text=text, metadata=document["metadata"])
            put(db, model, made, path=document["path"], pieces=text.split(" of "))
            rows[document["id"]] = chunk_rows(db, document["id"])
        condition, parameters = compile_where(where)
        ids = db.execute(
            "SELECT d.document_id FROM documents d LEFT JOIN sources s ON s.id = d.source "
            f"WHERE {condition} ORDER BY d.id",
            parameters,
        ).fetchall()
        chunks = matching_chunks(db, where)
    finally:
        db.execute("ROLLBACK")
    ids = [row[0] for row in ids]
    assert chunks.dtype == np.int64
    assert chunks.tolist() == sorted(row for id_ in ids for row in rows[id_])
    return ids


def doc(id_: str = "a", path: str | None = None, **metadata: Any) -> dict[str, Any]:
    return {"id": id_, "path": path, "metadata": metadata}


# Random documents and filters.

UNICODE = st.characters(exclude_categories=["Cs"], exclude_characters="\0")

KEYS = ["a", "b", "größe", "it's", "a'); DROP TABLE documents; --", "$x[0]", "\\", "\x1f"]
LIKELY = ["a"] * 8 + ["b"] * 4 + KEYS
NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 1.0, -2.5, 2**53 + 1, 1e300]))
STRINGS = st.sampled_from(["", "1", "a", "b", "ab", "true", "null", "' OR 1 --", "%", "日本", "A"])
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, STRINGS)
METADATA = st.dictionaries(
    st.sampled_from(LIKELY),
    st.recursive(
        SCALARS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(LIKELY), inner, max_size=2)
        ),
        max_leaves=4,
    ),
    max_size=3,
)
FIELDS = st.lists(st.sampled_from(LIKELY), min_size=1, max_size=2).map(".".join)
PATTERNS = st.lists(st.sampled_from(["*", "?", "[ab]", "[^a]", "[a-c]", "a", "b", "/", "."])).map(
    "".join
)
NAMES = st.text("ab/.", min_size=1, max_size=4)


def operations(values: st.SearchStrategy[Any], ordered: st.SearchStrategy[Any]):
    return st.one_of(
        values.map(lambda v: {"$eq": v}),
        values.map(lambda v: {"$ne": v}),
        st.lists(values, max_size=3).map(lambda v: {"$in": v}),
        st.lists(values, max_size=3).map(lambda v: {"$nin": v}),
        st.dictionaries(
            st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), ordered, min_size=1, max_size=2
        ),
        PATTERNS.map(lambda v: {"$glob": v}),
        st.booleans().map(lambda v: {"$exists": v}),
    )


METADATA_FILTERS = st.dictionaries(
    FIELDS,
    st.one_of(
        SCALARS, st.lists(SCALARS, max_size=3), operations(SCALARS, st.one_of(NUMBERS, STRINGS))
    ),
    max_size=3,
)
NAME_FILTERS = st.dictionaries(
    st.sampled_from(["id", "path"]),
    st.one_of(NAMES, st.lists(NAMES, max_size=3), operations(NAMES, NAMES)),
    max_size=2,
)


@st.composite
def collections(draw) -> list[dict[str, Any]]:
    ids = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    return [{"id": id_, "path": draw(st.none() | NAMES), "metadata": draw(METADATA)} for id_ in ids]


@settings(deadline=None, max_examples=250)
@given(documents=collections(), metadata=METADATA_FILTERS, names=NAME_FILTERS)
def test_filters_are_what_plain_python_says(store, documents, metadata, names):
    where = {**metadata, **names}
    assert found(store, documents, where) == [d["id"] for d in documents if passes(d, where)]


@settings(deadline=None, max_examples=60)
@given(
    key=st.text(UNICODE, min_size=1).filter(lambda key: not set(key) & {'"', "$"}),
    value=st.text(UNICODE),
)
def test_any_key_and_string_finds_itself_and_nothing_else(store, key, value):
    documents = [doc("yes", **{key: value}), doc("no", **{key: value + "x"}), doc("missing")]
    assert found(store, documents, {key: value}) == ["yes"]


# What must hold, one by one.

VALUES = {
    "true": True,
    "false": False,
    "null": None,
    "one": 1,
    "real": 1.0,
    "zero": 0,
    "text": "1",
    "empty": "",
    "word": "true",
    "none": "null",
}


@pytest.mark.parametrize("wanted", VALUES)
def test_equality_is_by_json_type(store, wanted):
    documents = [doc(name, v=value) for name, value in VALUES.items()]
    same = {"one": ["one", "real"], "real": ["one", "real"]}
    assert found(store, documents, {"v": VALUES[wanted]}) == same.get(wanted, [wanted])


def test_an_element_of_a_list_is_enough(store):
    documents = [
        doc("both", tags=["x", "y"]),
        doc("one", tags=["y"]),
        doc("bare", tags="x"),
        doc("nested", tags=[["x"]]),
        doc("none", tags=[]),
        doc("object", tags={"x": "x"}),
    ]
    assert found(store, documents, {"tags": "x"}) == ["both", "bare"]
    assert found(store, documents, {"tags": ["x", "y"]}) == ["both", "one", "bare"]
    assert found(store, documents, {"tags": {"$ne": "x"}}) == ["one", "nested", "none", "object"]


def test_a_field_that_is_missing_is_not_null(store):
    documents = [doc("null", v=None), doc("missing"), doc("one", v=1)]
    assert found(store, documents, {"v": None}) == ["null"]
    assert found(store, documents, {"v": {"$exists": False}}) == ["missing"]
    assert found(store, documents, {"v": {"$exists": True}}) == ["null", "one"]
    assert found(store, documents, {"v": {"$ne": 1}}) == ["null", "missing"]
    assert found(store, documents, {"v": {"$lt": 5}}) == ["one"]


def test_dots_lead_into_objects_or_stand_in_the_name(store):
    documents = [
        doc("nested", author={"name": {"first": "Ada"}}),
        doc("flat", **{"author.name.first": "Ada"}),
        doc("list", author=[{"name": {"first": "Ada"}}]),
    ]
    where = {"author.name.first": "Ada"}
    assert found(store, documents, where) == ["nested", "flat"]
    assert found(store, documents, {"author.name.first": {"$ne": "Ada"}}) == ["list"]
    assert found(store, documents, {"author.name.first": {"$exists": True}}) == ["nested", "flat"]
    assert found(store, documents, {"author.name.first": {"$exists": False}}) == ["list"]
    assert found(store, [doc("number", **{"No.": "7"})], {"No.": "7"}) == ["number"]


def test_order_is_of_numbers_with_numbers_and_strings_with_strings(store):
    documents = [doc("int", v=10), doc("real", v=9.5), doc("text", v="x10"), doc("true", v=True)]
    assert found(store, documents, {"v": {"$gte": 9.5}}) == ["int", "real"]
    assert found(store, documents, {"v": {"$gt": 9.5, "$lt": 11}}) == ["int"]
    assert found(store, documents, {"v": {"$lte": "y"}}) == ["text"]


def test_numbers_of_tables_are_texts_and_have_the_order_of_numbers(store):
    written = ["9", "10.5", "-3", "1e2", "007", "x", "", "true", '"9"', "[9]"]
    documents = [doc(f"d{number}", v=text) for number, text in enumerate(written)]
    assert found(store, documents, {"v": {"$gt": 9}}) == ["d1", "d3"]
    assert found(store, documents, {"v": {"$lte": 9}}) == ["d0", "d2"]
    assert found(store, documents, {"v": 9}) == []


def test_globs_on_path_and_id_need_no_operator(store):
    documents = [doc("a", "docs/a.md"), doc("b", "docs/deep/b.md"), doc("c", "src/c.py"), doc("d*")]
    assert found(store, documents, {"path": "docs/*.md"}) == ["a", "b"]
    assert found(store, documents, {"path": "docs/?.md"}) == ["a"]
    assert found(store, documents, {"path": "DOCS/*"}) == []
    assert found(store, documents, {"id": "[ac]"}) == ["a", "c"]
    assert found(store, documents, {"id": {"$glob": "[^a]"}}) == ["b", "c"]
    assert found(store, documents, {"path": {"$eq": "docs/*.md"}}) == []
    assert found(store, documents, {"path": {"$ne": "docs/*.md"}}) == ["c", "d*"]
    assert found(store, documents, {"path": ["docs/*.md", "src/c.py"]}) == ["a", "b", "c"]
    assert found(store, documents, {"id": {"$nin": ["[ab]", "d*"]}}) == ["c"]


@pytest.mark.parametrize(
    "where", [5, 0, False, "", b"", {"$or": [1]}, {"$gt": 3}, [1], {"a": 1}.keys()]
)
def test_what_is_no_filter_is_refused(store, where):
    with pytest.raises(InputError):
        found(store, [doc("a")], where)


def test_a_name_with_the_letters_of_a_glob_finds_itself(store):
    documents = [doc("pages/[id].tsx", "pages/[id].tsx"), doc("pages/i.tsx", "pages/i.tsx")]
    assert "pages/[id].tsx" in found(store, documents, {"id": "pages/[id].tsx"})
    assert "pages/[id].tsx" in found(store, documents, {"path": "pages/[id].tsx"})


def test_a_document_of_no_file_has_no_path(store):
    documents = [doc("file", "x.md"), doc("given")]
    assert found(store, documents, {"path": {"$exists": False}}) == ["given"]
    assert found(store, documents, {"path": {"$exists": True}}) == ["file"]
    for condition in ({"$glob": "*"}, {"$lt": "z"}, {"$gte": ""}):
        assert found(store, documents, {"path": condition}) == ["file"]
    assert found(store, documents, {"path": {"$ne": "x.md"}}) == ["given"]
    assert found(store, documents, {"path": ""}) == []


def test_all_conditions_must_hold(store):
    documents = [doc(f"{a}{b}", f"{a}.md", a=a, b=b) for a in "xy" for b in "xy"]
    assert found(store, documents, {"a": "x", "b": {"$in": ["y"]}, "path": "x*"}) == ["xy"]
    assert found(store, documents, {}) == ["xx", "xy", "yx", "yy"]
    assert found(store, documents, {"a": []}) == []
    assert found(store, documents, {"a": {"$nin": []}, "b": "x"}) == ["xx", "yx"]


def test_a_list_of_filters_must_all_hold(store):
    documents = [doc("both", tags=["x", "y"]), doc("x", tags=["x"]), doc("y", tags="y")]
    assert found(store, documents, [{"tags": "x"}, {"tags": "y"}]) == ["both"]
    assert found(store, documents, [{"tags": "x", "id": "x"}]) == ["x"]
    assert found(store, documents, []) == ["both", "x", "y"]


def test_sql_in_names_and_values_is_data(store):
    evil = "x'); DROP TABLE documents; --"
    documents = [doc("evil", **{evil: evil}), doc("good", x=1)]
    assert found(store, documents, {evil: evil}) == ["evil"]
    assert found(store, documents, {"x": "1' OR '1'='1"}) == []
    assert found(store, documents, {"id": evil}) == []
    assert found(store, documents, {"path": {"$glob": "*' OR 1 --"}}) == []


def test_numbers_beyond_64_bits(store):
    documents = [doc("huge", v=10**30), doc("small", v=1)]
    assert found(store, documents, {"v": {"$gt": 10**25}}) == ["huge"]
    assert found(store, documents, {"v": 10**30}) == ["huge"]
    assert found(store, documents, {"v": {"$lt": 10**25}}) == ["small"]
    assert found(store, documents, {"v": {"$lt": 1e300}}) == ["huge", "small"]


@pytest.mark.parametrize(
    "where",
    [
        "a=1",
        ["a=1"],
        [{"a": 1}, None],
        {"a": {"$regex": "x"}},
        {"a": {"eq": 1}},
        {"a": {}},
        {"a": {"$in": "text"}},
        {"a": {"$in": 3}},
        {"a": {"$nin": {"x": 1}}},
        {"a": {"$eq": [1]}},
        {"a": [[1]]},
        {"a": {"$eq": {"b": 1}}},
        {"a": {"$gt": None}},
        {"a": {"$lt": True}},
        {"a": {"$glob": 3}},
        {"a": {"$exists": "yes"}},
        {"a": b"bytes"},
        {"a": {1, 2}},
        {"a": float("nan")},
        {"a": {"$lt": float("inf")}},
        {"a": 10**400},
        {"a": "\ud800"},
        {"a\ud800": 1},
        {"a": {"$glob": "\ud800"}},
        {"id": 1},
        {"id": None},
        {"path": {"$gt": 1}},
        {"path": {"$glob": None}},
        {"path": {"$in": ["x", 1]}},
        {"id": "\ud800"},
        {"path": {"$exists": 1}},
        {"": 1},
        {'a"b': 1},
        {1: 1},
        {"a": list(range(MAX_VALUES))},
    ],
    ids=repr,
)
def test_what_cannot_be_compared_is_bad_input(store, where):
    with pytest.raises(InputError) as caught:
        found(store, [doc("a", "p", a=1)], where)
    assert "\n" not in str(caught.value)
    str(caught.value).encode()  # can be printed


def test_as_many_values_as_promised(store):
    documents = [doc("a", "x", n=1000), doc("b", "249", n=249)]
    assert found(store, documents, {"path": [str(i) for i in range(MAX_VALUES)]}) == ["b"]
    assert found(store, documents, {"n": list(range(MAX_VALUES - 2))}) == ["b"]


def test_the_condition_binds_every_value():
    condition, parameters = compile_where({"k": "v'", "path": "p'*", "n": {"$gte": 1, "$lt": 2}})
    assert "'v" not in condition
    assert "'p" not in condition
    assert condition.count("?") == len(parameters)
    assert sqlite3.complete_statement(f"SELECT {condition};")


def test_filters_say_what_is_wrong():
    with pytest.raises(InputError, match=r"'\$regex' is no filter; there are: \$eq, \$ne"):
        compile_where({"a": {"$regex": "x"}})
    with pytest.raises(InputError, match=r"the field 'name' in 'author' is 'author\.name'"):
        compile_where({"author": {"name": "Ann"}})
    with pytest.raises(InputError, match=r"'\$or' stands where .* a list of values means one"):
        compile_where({"$or": [{"lang": "en"}, {"lang": "de"}]})
    with pytest.raises(InputError, match="'id' is compared with a string, not 5"):
        compile_where({"id": 5})
