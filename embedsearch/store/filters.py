"""`where` filters, resolved in SQLite with bound parameters.

A filter is a mapping from a field to what it must be:

    {"lang": "en"}                      equal; of a list in the metadata, one element is equal
    {"lang": ["en", "de"]}              one of these
    {"year": {"$gte": 2020, "$lt": 2024}}
    {"path": "docs/*.md"}               a glob, or that very name, for `path` and `id`, in `$ne`,
                                        `$in`, `$nin` and lists too; `$eq` takes it as it is
    {"author": {"$exists": False}}

Several fields must all hold, and so must several filters in a list. `id` is the document's id,
`path` the file it came from; every other name is looked up in the metadata, as it is or with dots
for nested objects. What is not there equals nothing and has no order; `$ne` and `$nin` hold of it.
Equality and order hold between values of one JSON type only; but a number has an order with texts
that are numbers as well, for the fields of tables are texts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlite_utils import Database

from embedsearch.errors import InputError

if TYPE_CHECKING:
    from embedsearch.types import RowIds

Where = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""One filter, or several that must all hold."""

COMPARISONS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
OPERATORS = ("$eq", "$ne", "$in", "$nin", *COMPARISONS, "$glob", "$exists")
MAX_VALUES = 500
_LARGEST = sys.float_info.max
_NAME = "name"
"""Not for users: a glob, or a name that looks like one (`pages/[id].tsx`)."""
_GLOB = "*?["
_LOGIC = ("$and", "$or", "$nor", "$not")
_COLUMNS = {"id": "d.document_id", "path": "s.path"}


def compile_where(where: Where) -> tuple[str, list[Any]]:
    """SQL condition over documents `d` and sources `s`, with its parameters.

    Raises InputError for an unknown operator or a value that cannot be compared.
    """
    conditions: list[str] = []
    parameters: list[Any] = []
    every = [where] if isinstance(where, Mapping) else where
    if (
        not isinstance(every, Sequence)
        or isinstance(every, (str, bytes))
        or not all(isinstance(one, Mapping) for one in every)
    ):
        raise InputError(f"where must be a mapping, for instance {{'lang': 'en'}}, not {where!r}")
    for field, wanted in (item for one in every for item in one.items()):
        if not isinstance(field, str) or not field or '"' in field or not _is_unicode(field):
            raise InputError(f"{field!r} cannot be the name of a field to filter by")
        if field in (*OPERATORS, *_LOGIC):
            raise InputError(
                f"{field!r} stands where the name of a field is expected; all conditions of a "
                "filter must hold, and a list of values means one of them"
            )
        for operator, value in _operations(field, wanted):
            sql, values = _condition(field, operator, value)
            conditions.append(sql)
            parameters.extend(values)
    if len(parameters) > MAX_VALUES:
        raise InputError(
            f"the filter has {len(parameters)} values and fields; {MAX_VALUES} are the most"
        )
    return " AND ".join(conditions) or "1", parameters


def check_where(where: Where | None) -> None:
    """Raises as `compile_where`; None is no filter, as is an empty one."""
    if where is not None:
        compile_where(where)


def matching_chunks(db: Database, where: Where) -> RowIds:
    """Rows of the chunks whose document passes the filter, ascending."""
    condition, parameters = compile_where(where)
    rows = db.execute(
        "SELECT c.id FROM documents d LEFT JOIN sources s ON s.id = d.source "
        f"JOIN chunks c ON c.document = d.id WHERE {condition} ORDER BY c.id",
        parameters,
    ).fetchall()
    return np.fromiter((row[0] for row in rows), dtype=np.int64, count=len(rows))


def _operations(field: str, wanted: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(wanted, Mapping):
        if not wanted:
            raise InputError(f"the filter on {field!r} is empty; say for instance {{'$eq': 1}}")
        for operator, value in wanted.items():
            if operator not in OPERATORS:
                told = f"{operator!r} is no filter; there are: {', '.join(OPERATORS)}"
                if not str(operator).startswith("$"):
                    told += f"; the field {operator!r} in {field!r} is {f'{field}.{operator}'!r}"
                raise InputError(told)
            yield operator, value
    elif isinstance(wanted, Sequence) and not isinstance(wanted, (str, bytes)):
        yield "$in", wanted
    else:
        yield _equal(field), wanted


def _equal(field: str) -> str:
    return _NAME if field in _COLUMNS else "$eq"


def _condition(field: str, operator: str, value: Any) -> tuple[str, list[Any]]:
    if operator in ("$ne", "$nin"):
        sql, values = _condition(field, _equal(field) if operator == "$ne" else "$in", value)
        return f"NOT {sql}", values
    if operator == "$exists":
        return _exists(field, value)
    wanted = [value]
    if operator == "$in":
        if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
            raise InputError(f"{field!r}: $in takes a list, not {value!r}")
        operator, wanted = _equal(field), list(value)
    if not wanted:
        return "(0)", []
    if field in _COLUMNS:
        return _column_condition(field, operator, wanted)
    return _metadata_condition(field, operator, wanted)


def _exists(field: str, wanted: Any) -> tuple[str, list[Any]]:
    if not isinstance(wanted, bool):
        raise InputError(f"{field!r}: $exists takes True or False, not {wanted!r}")
    paths = [] if field in _COLUMNS else _json_paths(field)
    found = [_COLUMNS[field]] if field in _COLUMNS else ["json_type(d.metadata, ?)"] * len(paths)
    there = " OR ".join(f"{each} IS NOT NULL" for each in found)
    return f"({'' if wanted else 'NOT '}({there}))", paths


def _column_condition(field: str, operator: str, wanted: Sequence[Any]) -> tuple[str, list[Any]]:
    """Whether `id` or `path` is as one of `wanted`."""
    for value in wanted:
        if not isinstance(value, str) or not _is_unicode(value):
            raise InputError(f"{field!r} is compared with a string, not {value!r}")
    column = _COLUMNS[field]
    if operator == _NAME:
        globs = [value for value in wanted if any(sign in value for sign in _GLOB)]
        tests = [f"{column} {_comparison('$eq', wanted)}", *[f"{column} GLOB ?"] * len(globs)]
        return f"(coalesce({' OR '.join(tests)}, 0))", [*wanted, *globs]
    return f"(coalesce({column} {_comparison(operator, wanted)}, 0))", list(wanted)


def _metadata_condition(field: str, operator: str, wanted: Sequence[Any]) -> tuple[str, list[Any]]:
    """Whether a field, or an element of it where it is a list, is as one of `wanted`."""
    by_type: dict[str, list[Any]] = {}
    for value in wanted:
        kind, bound = _typed(field, operator, value)
        by_type.setdefault(kind, []).extend(bound)
    tests = [
        f"(j.type IN ({kind}){f' AND j.value {_comparison(operator, bound)}' if bound else ''})"
        for kind, bound in by_type.items()
    ]
    values = [value for bound in by_type.values() for value in bound]
    if operator in COMPARISONS and not isinstance(wanted[0], str):
        tests.append(
            f"({_WRITTEN_NUMBER} AND CAST(j.value AS REAL) {_comparison(operator, values)})"
        )
        values *= 2
    # json_each yields the elements of a list, a scalar as its only element, and the values of an
    # object, which are none of this field's.
    test = (
        f"(EXISTS (SELECT 1 FROM json_each(d.metadata, ?) AS j WHERE {' OR '.join(tests)}) "
        "AND json_type(d.metadata, ?) != 'object')"
    )
    paths = _json_paths(field)
    return f"(coalesce({' OR '.join([test] * len(paths))}, 0))", [
        value for path in paths for value in (path, *values, path)
    ]


_WRITTEN_NUMBER = (
    "j.type = 'text' AND CASE WHEN json_valid(j.value) "
    "THEN json_type(j.value) IN ('integer', 'real') ELSE 0 END"
)


def _comparison(operator: str, values: Sequence[Any]) -> str:
    if operator == "$eq":
        return f"IN ({','.join('?' * len(values))})"
    return f"{'GLOB' if operator == '$glob' else COMPARISONS[operator]} ?"


def _json_paths(field: str) -> list[str]:
    """Where a field may be: under its parts, one in the other, or under its whole name."""
    # A name is escaped as in the metadata's own JSON: SQLite compares it letter by letter.
    nested = "".join(f".{json.dumps(part, ensure_ascii=False)}" for part in field.split("."))
    return list(dict.fromkeys((f"${nested}", f"$.{json.dumps(field, ensure_ascii=False)}")))


def _typed(field: str, operator: str, value: Any) -> tuple[str, list[Any]]:
    """SQLite's names of a value's JSON type, and the value to bind unless the type says it all."""
    if operator == "$glob" and not isinstance(value, str):
        raise InputError(f"{field!r}: $glob takes a string, not {value!r}")
    if value is None or isinstance(value, bool):
        if operator != "$eq":
            raise InputError(f"{field!r}: {value!r} has no order; compare numbers or strings")
        return f"'{json.dumps(value)}'", []
    if isinstance(value, str) and _is_unicode(value):
        return "'text'", [value]
    if isinstance(value, (int, float)) and abs(value) <= _LARGEST:
        # SQLite too reads an integer beyond 64 bits as a real.
        return "'integer', 'real'", [value if -(2**63) <= value < 2**63 else float(value)]
    raise InputError(f"{field!r} cannot be compared with {value!r}; take a number or a string")


def _is_unicode(text: str) -> bool:
    """Whether SQLite can hold it: a lone surrogate is no character."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
