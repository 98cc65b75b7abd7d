"""Commands that make tokenizers visible."""

from __future__ import annotations

from typing import Annotated

import typer

from embedsearch.cli.main import DONE
from embedsearch.cli.options import Json
from embedsearch.cli.output import print_json
from embedsearch.cli.token_output import print_inspections
from embedsearch.text.files import printable

Tokenizers = Annotated[
    list[str] | None,
    typer.Option(
        "-t",
        "--tokenizer",
        metavar="T",
        help="A tokenizer: a folder, a file or a hub id. May be repeated.",
    ),
]


def register(app: typer.Typer) -> None:
    app.command()(tokenize)


def tokenize(
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="What to tokenize.")],
    tokenizers: Tokenizers = None,
    as_json: Json = False,
) -> int:
    """Show the tokens of a text, and what is hidden, changed or lost on the way.

    Example: embedsearch tokenize "Hello, world!" -t all-MiniLM-L6-v2
    """
    from embedsearch.text.inspection import inspect_text
    from embedsearch.tokenizer_names import named_tokenizers, short_names

    chosen = named_tokenizers(tokenizers or None)
    found = [
        inspect_text(tokenizer, printable(text), name=name)
        for text in texts
        for name, tokenizer in chosen.items()
    ]
    if as_json:
        print_json([each.as_json() for each in found])
    else:
        print_inspections(found, short_names(list(chosen)))
    return DONE
