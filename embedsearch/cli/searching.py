"""Commands that look things up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from embedsearch.cli.main import DONE, NOTHING_FOUND
from embedsearch.cli.options import (
    DEFAULT_DB,
    Db,
    Device,
    Engine,
    Json,
    Wheres,
    open_for_search,
    parse_where,
)
from embedsearch.cli.output import hit_json, print_hits, print_json, remark_nothing
from embedsearch.collection.models import Compute
from embedsearch.collection.retrieval import By, SearchConfig
from embedsearch.text.files import printable
from embedsearch.types import Hit, Mode

K = Annotated[int, typer.Option("-k", "--k", help="How many results.")]


def register(app: typer.Typer) -> None:
    app.command()(search)
    app.command()(similar)


def search(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What to look for.")],
    db: Db = Path(DEFAULT_DB),
    k: K = SearchConfig.k,
    mode: Annotated[
        Mode, typer.Option(help="By meaning (semantic), by words (keyword), or both (hybrid).")
    ] = SearchConfig.mode,
    by: Annotated[
        By, typer.Option(help="One result a document (its best chunk), or every chunk.")
    ] = SearchConfig.by,
    where: Wheres = None,
    engine: Engine = Compute.engine,
    device: Device = Compute.device,
    as_json: Json = False,
) -> int:
    """Search the collection.

    Example: embedsearch search "how do I log in?" -k 5 --where lang=en
    """
    with open_for_search(db, Compute(engine=engine, device=device)) as collection:
        hits = collection.search(query, k, mode=mode, where=parse_where(where), by=by)
        is_empty = not len(collection)
    return _show(hits, as_json, is_empty=is_empty)


def similar(
    document_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a document.")],
    db: Db = Path(DEFAULT_DB),
    k: K = SearchConfig.k,
    where: Wheres = None,
    as_json: Json = False,
) -> int:
    """Find the documents nearest in meaning to one of the collection.

    Example: embedsearch similar docs/login.md
    """
    with open_for_search(db, Compute()) as collection:
        hits = collection.similar(printable(document_id), k, where=parse_where(where))
    return _show(hits, as_json)


def _show(hits: list[Hit], as_json: bool, *, is_empty: bool = False) -> int:
    if as_json:
        print_json([hit_json(hit) for hit in hits])
    elif hits:
        print_hits(hits)
    else:
        remark_nothing(is_empty=is_empty)
    return DONE if hits else NOTHING_FOUND
