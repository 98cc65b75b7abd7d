"""The commands. Each is a thin shell over one Python call."""

from __future__ import annotations

from typing import Annotated

import typer

from embedsearch import __version__
from embedsearch.cli import (
    asking,
    encoder_training,
    evaluation,
    generating,
    lm_training,
    managing,
    questions,
    searching,
    songs,
    static,
    tokenizing,
    training,
    words,
)

app = typer.Typer(
    name="embedsearch",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"embedsearch {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Index your documents, search them by meaning, on your own machine."""


managing.register(app)
searching.register(app)
asking.register(app)
generating.register(app)
train = typer.Typer(
    no_args_is_help=True,
    help="Make a model.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(train, name="train")
evaluate = evaluation.register(app)
training.register(train)
encoder_training.register(train)
questions.register(app)
static.register(train)
lm_training.register(train)
words.register(app, train, evaluate)
songs.register(app, train, evaluate)
tokenizing.register(app)
