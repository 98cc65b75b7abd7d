"""`train static`: an encoder distilled into one vector a token."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from embedsearch.cli.main import DONE
from embedsearch.cli.options import Json
from embedsearch.cli.output import print_json, remark_skipped
from embedsearch.cli.terminal import TerminalProgress, plain
from embedsearch.encoder.resolve import DEFAULT_MODEL
from embedsearch.encoder.static import StaticConfig, distil_static
from embedsearch.text.texts import TextFiles
from embedsearch.text.words import counted


def register(train: typer.Typer) -> None:
    train.command()(static)


def static(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder for the model.")],
    corpus: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CORPUS...",
            help="Files and folders to learn from, best of the kind that will be searched.",
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option("--model", metavar="M", help="The encoder: a name, a folder or a hub id."),
    ] = DEFAULT_MODEL,
    dims: Annotated[
        int, typer.Option(metavar="N", help="Numbers in a vector, at most the encoder's.")
    ] = StaticConfig.dims,
    sif: Annotated[
        float, typer.Option(metavar="A", help="The smaller, the less frequent tokens count.")
    ] = StaticConfig.sif,
    passages: Annotated[
        int, typer.Option(metavar="N", help="How many passages of CORPUS are encoded.")
    ] = StaticConfig.passages,
    ridge: Annotated[
        float,
        typer.Option(metavar="X", help="The larger, the less the tokens learn from CORPUS."),
    ] = StaticConfig.ridge,
    seed: Annotated[int, typer.Option(metavar="N", help="Draws the passages.")] = StaticConfig.seed,
    as_json: Json = False,
) -> int:
    """Distil an encoder into a static model: much faster, and not as good.

    The new folder serves as --model everywhere. With CORPUS the model is better, and it takes
    longer: the encoder has to read a part of it.

    Example: embedsearch train static --model all-MiniLM-L6-v2 --out static-model docs/
    """
    config = StaticConfig(dims=dims, sif=sif, passages=passages, ridge=ridge, seed=seed)
    texts = TextFiles(corpus) if corpus else None
    with TerminalProgress() as progress:
        report = distil_static(model, out, config, corpus=texts, progress=progress)
    remark_skipped(texts.skipped if texts else [])
    if as_json:
        print_json(report.as_json())
    else:
        learned = f", learned from {counted(report.passages, 'passage')}" if corpus else ""
        print(
            f"{plain(str(out))}: {report.tokens:,} tokens of {report.dims} dimensions{learned}, "
            f"in {report.seconds:,.0f} s"
        )
    return DONE
