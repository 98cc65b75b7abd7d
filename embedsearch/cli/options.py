"""Arguments and options that several commands share."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from embedsearch.collection import Collection
from embedsearch.errors import InputError
from embedsearch.store.filters import Where

DEFAULT_DB = ".embedsearch"

Db = Annotated[
    Path,
    typer.Option(
        "--db",
        metavar="DIR",
        envvar="EMBEDSEARCH_DB",
        help="The collection's folder.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value and nothing else.")]
Wheres = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="KEY=VALUE",
        help="Only documents of which this holds; also != < <= > >= and ~ for a glob. KEY is "
        "`path`, `id` or a field of the metadata. May be repeated: all must hold.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="M", help="The encoder: a name, a folder or a hub id."),
]

_CONDITION = re.compile(r"(?P<key>[^=!<>~]+)(?P<operator>!=|<=|>=|=|<|>|~)(?P<value>.*)", re.DOTALL)
_OPERATORS = {"!=": "$nin", "<=": "$lte", ">=": "$gte", "<": "$lt", ">": "$gt", "~": "$glob"}


def open_for_search(db: Path) -> Collection:
    """The collection, which must exist; read-only where its folder is."""
    writable = os.access(db, os.W_OK)
    return Collection.open(db, create=False, read_only=db.is_dir() and not writable)


def parse_where(conditions: Sequence[str] | None) -> Where | None:
    """`["lang=en", "year>=2020"]` as the mapping that `Collection.search` takes.

    A value that reads as a JSON number, true, false or null is taken as such, and for equality
    also as the string that was typed.
    """
    where: dict[str, Any] = {}
    for condition in conditions or ():
        found = _CONDITION.fullmatch(condition)
        if found is None:
            raise InputError(f"--where takes KEY=VALUE, not {condition!r}; for instance lang=en")
        key, operator = found["key"].strip(), found["operator"]
        value = _value(found["value"], operator)
        if key in ("id", "path") and operator == "=":
            where[key] = found["value"]
        else:
            where.setdefault(key, {}).update({_OPERATORS.get(operator, "$in"): value})
    return where or None


def _value(typed: str, operator: str) -> Any:
    if operator == "~":
        return typed
    value: Any = {"true": True, "false": False, "null": None}.get(typed, typed)
    if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", typed):
        value = float(typed) if set(typed) & set(".eE") else int(typed)
    if operator in ("=", "!="):
        return [typed] if value == typed else [typed, value]
    return value
