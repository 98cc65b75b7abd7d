"""The commands. Each is a thin shell over one Python call."""

from __future__ import annotations

import typer

from embedsearch.cli import evaluation, managing, searching

app = typer.Typer(
    name="embedsearch",
    help="Index your documents, search them by meaning, on your own machine.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
managing.register(app)
searching.register(app)
evaluation.register(app)
