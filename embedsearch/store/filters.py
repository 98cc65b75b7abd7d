"""`where` filters, resolved in SQLite with bound parameters.

A filter is a mapping from a field to what it must be:

    {"lang": "en"}                      equal; of a list in the metadata, one element is equal
    {"lang": ["en", "de"]}              one of these
    {"year": {"$gte": 2020, "$lt": 2024}}
    {"path": "docs/*.md"}               a glob, for `path` and `id`
    {"author": {"$exists": False}}

Several fields must all hold. `id` is the document's id, `path` the file it came from; every other
name is looked up in the metadata, with dots for nested objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlite_utils import Database

from embedsearch.errors import InputError

if TYPE_CHECKING:
    from embedsearch.types import RowIds

Where = Mapping[str, Any]

COMPARISONS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
OPERATORS = ("$eq", "$ne", "$in", "$nin", *COMPARISONS, "$glob", "$exists")
MAX_VALUES = 500
_COLUMNS = {"id": "d.document_id", "path": "s.path"}


def compile_where(where: Where) -> tuple[str, list[Any]]:
    """SQL condition over documents `d` and sources `s`, with its parameters.

    Raises InputError for an unknown operator or a value that cannot be compared.
    """
    conditions, parameters = [], []
    for field, wanted in where.items():
        if not isinstance(field, str) or not field or '"' in field:
            raise InputError(f"{field!r} cannot be the name of a field to filter by")
        for operator, value in _operations(field, wanted):
            sql, values = _condition(field, operator, value)
            conditions.append(sql)
            parameters.extend(values)
    if len(parameters) > MAX_VALUES:
        raise InputError(f"a filter may name {MAX_VALUES} values at most, not {len(parameters)}")
    return " AND ".join(conditions) or "1", parameters


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
        yield from wanted.items()
    elif isinstance(wanted, Sequence) and not isinstance(wanted, str):
        yield "$in", wanted
    elif field in _COLUMNS and isinstance(wanted, str) and any(c in wanted for c in "*?["):
        yield "$glob", wanted
    else:
        yield "$eq", wanted


def _condition(field: str, operator: str, value: Any) -> tuple[str, list[Any]]:
    if operator not in OPERATORS:
        raise InputError(f"{operator!r} is no filter; there are: {', '.join(OPERATORS)}")
    if operator in ("$ne", "$nin"):
        sql, values = _condition(field, "$eq" if operator == "$ne" else "$in", value)
        return f"NOT {sql}", values
    if operator == "$in":
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise InputError(f"{field!r}: $in takes a list, not {value!r}")
        parts = [_condition(field, "$eq", element) for element in value]
        if not parts:
            return "(0)", []
        return f"({' OR '.join(sql for sql, _ in parts)})", [v for _, vs in parts for v in vs]
    if field in _COLUMNS:
        return _column_condition(field, operator, value)
    return _metadata_condition(field, operator, value)


def _column_condition(field: str, operator: str, value: Any) -> tuple[str, list[Any]]:
    column = _COLUMNS[field]
    if operator == "$exists":
        return f"({column} IS {'NOT ' if value else ''}NULL)", []
    if not isinstance(value, str):
        raise InputError(f"{field!r} is compared with a string, not {value!r}")
    sql = {"$eq": "=", "$glob": "GLOB", **COMPARISONS}[operator]
    return f"(coalesce({column}, '') {sql} ?)", [value]


def _metadata_condition(field: str, operator: str, value: Any) -> tuple[str, list[Any]]:
    # json_each yields the elements of a list, and a scalar as its only element.
    path = "$" + "".join(f'."{part}"' for part in field.split("."))
    exists = "EXISTS (SELECT 1 FROM json_each(d.metadata, ?) AS j WHERE {})"
    if operator == "$exists":
        return f"(json_type(d.metadata, ?) IS {'NOT ' if value else ''}NULL)", [path]
    if operator == "$glob":
        if not isinstance(value, str):
            raise InputError(f"{field!r}: $glob takes a string, not {value!r}")
        return exists.format("j.type = 'text' AND j.value GLOB ?"), [path, value]
    test, values = _typed(field, value, COMPARISONS.get(operator, "="))
    return exists.format(test), [path, *values]


def _typed(field: str, value: Any, comparison: str) -> tuple[str, list[Any]]:
    """Equality and order hold between values of one JSON type only, as in JSON itself."""
    if value is None or isinstance(value, bool):
        if comparison != "=":
            raise InputError(f"{field!r}: {value!r} has no order; compare numbers or strings")
        return "j.type = ?", [json.dumps(value)]
    if isinstance(value, str):
        return f"j.type = 'text' AND j.value {comparison} ?", [value]
    if isinstance(value, (int, float)):
        return f"j.type IN ('integer', 'real') AND j.value {comparison} ?", [value]
    raise InputError(f"{field!r} cannot be compared with {value!r}; take a number or a string")
