"""`train`: learning from texts and other data."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from embedsearch.cli.main import DONE
from embedsearch.cli.options import Json
from embedsearch.cli.output import print_json, remark, remark_skipped
from embedsearch.cli.terminal import TerminalProgress, plain
from embedsearch.errors import InputError
from embedsearch.text.formats.reading import SAVED_NAMES
from embedsearch.text.paths import typed_path
from embedsearch.text.terms import Term, TermConfig, mine_terms
from embedsearch.text.texts import TextFiles
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.text.training import Kind, Normalization, PreTokenization, TokenizerConfig

SHOWN_TERMS = 20

Inputs = Annotated[
    list[Path], typer.Argument(metavar="INPUT...", help="Files and folders of any readable format.")
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write.")]


def register(train: typer.Typer) -> None:
    train.command()(tokenizer)
    train.command()(terms)


def tokenizer(
    inputs: Inputs,
    out: Out,
    kind: Annotated[
        Kind, typer.Option(help="What the tokens are, and how they are learned.")
    ] = TokenizerConfig.kind,
    vocab_size: Annotated[
        int, typer.Option(metavar="N", help="How many tokens at most, special ones included.")
    ] = TokenizerConfig.vocab_size,
    min_frequency: Annotated[
        int, typer.Option(metavar="N", help="Learn nothing that occurs less often.")
    ] = TokenizerConfig.min_frequency,
    normalization: Annotated[
        Normalization, typer.Option(help="The Unicode form that texts are brought into.")
    ] = TokenizerConfig.normalization,
    lowercase: Annotated[
        bool, typer.Option("--lowercase", help="Capitals become lower case.")
    ] = TokenizerConfig.lowercase,
    strip_accents: Annotated[
        bool, typer.Option("--strip-accents", help="Accents are removed.")
    ] = TokenizerConfig.strip_accents,
    pre_tokenization: Annotated[
        PreTokenization | None,
        typer.Option(help="What texts are split by first; each kind has its own."),
    ] = TokenizerConfig.pre_tokenization,
    special_token: Annotated[
        list[str] | None,
        typer.Option(metavar="T", help="A special token; repeated, these and no others."),
    ] = None,
    begin_token: Annotated[
        str | None, typer.Option(metavar="T", help="Special token before every text.")
    ] = TokenizerConfig.begin_token,
    end_token: Annotated[
        str | None, typer.Option(metavar="T", help="Special token after every text.")
    ] = TokenizerConfig.end_token,
    as_json: Json = False,
) -> int:
    """Train a tokenizer on texts, which are read as a stream.

    The folder holds a tokenizer.json, which transformers' AutoTokenizer loads too.

    Example: embedsearch train tokenizer docs/ --out my-tokenizer --kind bpe --vocab-size 8000
    """
    config = TokenizerConfig(
        kind=kind,
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        normalization=normalization,
        lowercase=lowercase,
        strip_accents=strip_accents,
        pre_tokenization=pre_tokenization,
        special_tokens=tuple(special_token) if special_token else None,
        begin_token=begin_token,
        end_token=end_token,
    )
    began = time.perf_counter()
    texts = _texts(inputs, out)
    with TerminalProgress() as progress:
        trained = Tokenizer.train(texts, config, progress=progress)
    trained.save(out)
    remark_skipped(texts.skipped)
    _report(trained, out, as_json, {"kind": kind, "seconds": time.perf_counter() - began})
    return DONE


def terms(
    base: Annotated[
        str, typer.Argument(metavar="TOKENIZER", help="The tokenizer: a folder, file or hub id.")
    ],
    inputs: Inputs,
    out: Out,
    limit: Annotated[
        int, typer.Option(metavar="N", help="How many terms at most.")
    ] = TermConfig.limit,
    min_count: Annotated[
        int, typer.Option(metavar="N", help="Only terms that occur at least so often.")
    ] = TermConfig.min_count,
    min_pieces: Annotated[
        int, typer.Option(metavar="N", help="Only terms that are now at least so many tokens.")
    ] = TermConfig.min_pieces,
    term: Annotated[
        list[str] | None, typer.Option(metavar="WORD", help="A further term; may be repeated.")
    ] = None,
    special_token: Annotated[
        list[str] | None, typer.Option(metavar="T", help="A special token; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Extend a tokenizer with the terms of texts that it splits into many pieces.

    The ids that it had stay. A model needs `resize_embeddings` from Python to go with it.

    Example: embedsearch train terms my-tokenizer papers/ --out extended --limit 200
    """
    config = TermConfig(limit=limit, min_count=min_count, min_pieces=min_pieces)
    before = Tokenizer.load(base)
    texts = _texts(inputs, out)
    with TerminalProgress() as progress:
        mined = mine_terms(before, texts, config, progress=progress)
    words = dict.fromkeys([*(found.text for found in mined), *(term or [])])
    extended = before.with_tokens(list(words), special_tokens=special_token or [])
    extended.save(out)
    remark_skipped(texts.skipped)
    if not as_json:
        _print_terms(mined)
    _report(
        extended,
        out,
        as_json,
        {
            "added": extended.vocab_size - before.vocab_size,
            "terms": [
                {"text": t.text, "count": t.count, "pieces": t.pieces, "saved": t.saved}
                for t in mined
            ],
        },
    )
    return DONE


def _print_terms(mined: list[Term]) -> None:
    for found in mined[:SHOWN_TERMS]:
        print(f"{found.count:>8,} × {found.pieces} tokens  {plain(found.text)}")
    if len(mined) > SHOWN_TERMS:
        remark(f"… and {len(mined) - SHOWN_TERMS} more; --json lists them all")


def _texts(inputs: Sequence[Path], out: Path) -> TextFiles:
    """All texts but what an earlier training wrote into `out`. InputError where that is a file:
    better known before the work than after it."""
    if typed_path(out).exists() and not out.is_dir():
        raise InputError(f"{plain(str(out))} is a file: --out names a folder")
    return TextFiles(inputs, exclude=[out / name for name in SAVED_NAMES])


def _report(made: Tokenizer, out: Path, as_json: bool, more: dict[str, Any]) -> None:
    if as_json:
        print_json({"vocab_size": made.vocab_size, "path": str(out), **more})
        return
    print(f"{made.vocab_size:,} tokens in {plain(str(out))}")
    for loss in made.round_trip_losses:
        remark(f"decoding does not bring back all: {loss}")
