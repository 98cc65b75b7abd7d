"""Arguments and options that several commands share."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from embedsearch.collection.collection import Collection
from embedsearch.collection.models import Compute
from embedsearch.encoder.engine import EngineName
from embedsearch.errors import InputError
from embedsearch.index import IndexConfig
from embedsearch.store.filters import Where
from embedsearch.text.files import printable

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
Tokenizers = Annotated[
    list[str] | None,
    typer.Option(
        "-t",
        "--tokenizer",
        metavar="T",
        help="A tokenizer: a folder, a file or a hub id. May be repeated.",
    ),
]
Engine = Annotated[
    EngineName,
    typer.Option(
        help="What computes the vectors; auto: the fastest for the model and this machine."
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="D", help="auto, cpu, cuda, cuda:N or mps; auto takes all GPUs, or the CPU."
    ),
]

Recall = Annotated[
    float | None,
    typer.Option(
        metavar="R",
        help="The share of the true 10 nearest that a search must find, from now on; "
        f"{IndexConfig.recall:g} in a collection that is new, 1 for exact search.",
    ),
]
Index = Annotated[
    str | None,
    typer.Option(
        "--index",
        metavar="F",
        help="The index to build, from now on: a FAISS factory string such as IVF1024,PQ192x4fs; "
        "auto chooses by measuring.",
    ),
]

_CONDITION = re.compile(
    r"(?P<key>[^=!<>~]+)(?P<operator>!=|<=|>=|==?|<|>|~)(?P<value>.*)", re.DOTALL
)
_OPERATORS = {
    "=": "$eq",
    "==": "$eq",
    "!=": "$ne",
    "~": "$glob",
    "<=": "$lte",
    ">=": "$gte",
    "<": "$lt",
    ">": "$gt",
}
_EITHER = {"$eq": "$in", "$ne": "$nin"}
_CONSTANTS = {"true": True, "false": False, "null": None}
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
LONGEST_NUMBER = 300


def open_for_search(db: Path, compute: Compute) -> Collection:
    """The collection, which must exist; read-only where its folder is."""
    return Collection.open(
        db,
        create=False,
        read_only=os.access(db, os.F_OK) and not os.access(db, os.W_OK),
        engine=compute.engine,
        device=compute.device,
    )


def asked_index(recall: float | None, factory: str | None) -> IndexConfig | None:
    """What --recall and --index ask for; the one that is not given takes its default."""
    if recall is None and factory is None:
        return None
    return IndexConfig(
        recall=IndexConfig.recall if recall is None else recall,
        factory=IndexConfig.factory if factory is None else factory,
    )


def parse_where(conditions: Sequence[str] | None) -> Where | None:
    """`["lang=en", "year>=2020"]` as the conditions that `Collection.search` takes.

    A value that reads as a JSON number, true, false or null is taken as such, and for equality
    also as the string that was typed; ids and paths are strings always. Blanks around key and
    value do not count, and `==` is `=`.
    """
    return [_condition(condition) for condition in conditions or ()] or None


def _condition(condition: str) -> dict[str, Any]:
    found = _CONDITION.fullmatch(condition)
    if found is None:
        raise InputError(
            f"--where takes KEY=VALUE, not {condition!r}; for instance lang=en, or in quotes "
            "'year>2020', as the shell has a use of its own for < and >"
        )
    key, typed = printable(found["key"].strip()), printable(found["value"].strip())
    operator = _OPERATORS[found["operator"]]
    if key in ("id", "path"):
        return {key: typed if operator == "$eq" else {operator: typed}}
    value = typed if operator == "$glob" else _value(typed)
    if operator in _EITHER and value != typed:
        return {key: {_EITHER[operator]: [typed, value]}}
    return {key: {operator: value}}


def _value(typed: str) -> Any:
    if len(typed) <= LONGEST_NUMBER and _NUMBER.fullmatch(typed):
        number = float(typed) if set(typed) & set(".eE") else int(typed)
        return number if math.isfinite(number) else typed
    return _CONSTANTS.get(typed, typed)
