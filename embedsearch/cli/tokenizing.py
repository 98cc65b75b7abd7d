"""Commands that make tokenizers visible."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from embedsearch.cli.comparison_output import print_comparison
from embedsearch.cli.main import DONE
from embedsearch.cli.options import Json, Tokenizers
from embedsearch.cli.output import print_json, remark
from embedsearch.cli.terminal import TerminalProgress
from embedsearch.cli.token_output import print_inspections
from embedsearch.cli.vector_output import print_vectors, print_word
from embedsearch.encoder.resolve import DEFAULT_MODEL
from embedsearch.errors import InputError
from embedsearch.text.files import printable
from embedsearch.tokenizers.costs import ComparisonConfig


def register(app: typer.Typer) -> None:
    app.command()(tokenize)
    group = typer.Typer(
        no_args_is_help=True,
        help="Look at several tokenizers.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    group.command()(compare)
    app.add_typer(group, name="tokenizers")


def tokenize(
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="What to tokenize.")],
    tokenizers: Tokenizers = None,
    vectors: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Show each token's vector in this model: the row of its table, and in context.",
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="WORD", help="Compare the vectors of this word in the texts, with --vectors."
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw --compare as a heat map (.png, .svg, .pdf or .html)."
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Show the tokens of a text, and what is hidden, changed or lost on the way.

    With --vectors the vectors of the tokens, with --compare those of one word in several texts.

    Example: embedsearch tokenize "Hello, world!" -t all-MiniLM-L6-v2
    """
    given = [printable(text) for text in texts]
    if vectors is None and compare is not None:
        vectors = DEFAULT_MODEL
    if vectors is not None and tokenizers:
        raise InputError("--vectors shows the model's own tokenizer: leave out -t")
    if plot is not None and compare is None:
        raise InputError("--plot draws what --compare WORD finds: give a word")
    if compare is not None:
        return _compare_word(printable(compare), given, vectors or DEFAULT_MODEL, plot, as_json)
    if vectors is not None:
        return _show_vectors(given, vectors, as_json)
    return _show_tokens(given, tokenizers, as_json)


def _show_tokens(texts: list[str], tokenizers: list[str] | None, as_json: bool) -> int:
    from embedsearch.text.inspection import inspect_text
    from embedsearch.tokenizers.names import named_tokenizers, short_names

    chosen = named_tokenizers(tokenizers or None)
    found = [
        inspect_text(tokenizer, text, name=name)
        for text in texts
        for name, tokenizer in chosen.items()
    ]
    if as_json:
        print_json([each.as_json() for each in found])
    else:
        print_inspections(found, short_names(list(chosen)))
    return DONE


def _show_vectors(texts: list[str], model: str, as_json: bool) -> int:
    from embedsearch.encoder.token_states import TokenModel
    from embedsearch.tokenizers.vectors import token_vectors

    loaded = TokenModel.load(model)
    found = [token_vectors(text, loaded) for text in texts]
    if as_json:
        print_json([each.as_json() for each in found])
    else:
        for each in found:
            print_vectors(each)
    return DONE


def _compare_word(word: str, texts: list[str], model: str, plot: Path | None, as_json: bool) -> int:
    from embedsearch.plotting import check_matplotlib
    from embedsearch.tokenizers.heat_maps import check_plot_name, word_plot
    from embedsearch.tokenizers.vectors import compare_word

    if plot is not None:
        check_plot_name(plot)
        check_matplotlib()
    found = compare_word(word, texts, model)
    if plot is not None:
        remark(f"drawn: {word_plot(found, plot)}")
    if as_json:
        print_json(found.as_json())
    else:
        print_word(found)
    return DONE


def compare(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Texts: .jsonl with `text` and `lang`; .tsv of language, text and, if you like, "
            "the same in a shared language; any other file, a text a line. Also .gz and .xz.",
        ),
    ],
    tokenizers: Tokenizers = None,
    context_window: Annotated[
        int, typer.Option("--context", metavar="N", help="Tokens of a context window.")
    ] = ComparisonConfig.context_window,
    price: Annotated[
        float | None, typer.Option(metavar="P", help="What a million tokens cost.")
    ] = ComparisonConfig.price,
    reference: Annotated[
        str | None,
        typer.Option(metavar="LANG", help="Compare with this language instead of the cheapest."),
    ] = ComparisonConfig.reference,
    plots: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Draw the comparison: PNG files and one HTML page."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Compare what texts cost with several tokenizers, by language or file.

    Example: embedsearch tokenizers compare -t all-MiniLM-L6-v2 docs/python.md docs/command-line.md
    """
    from embedsearch.plotting import check_matplotlib
    from embedsearch.text.groups import read_groups
    from embedsearch.tokenizers.comparison import compare_tokenizers
    from embedsearch.tokenizers.names import named_tokenizers
    from embedsearch.tokenizers.plots import comparison_plots

    if plots is not None:
        check_matplotlib()
    config = ComparisonConfig(context_window=context_window, price=price, reference=reference)
    chosen = named_tokenizers(tokenizers or None)
    groups = read_groups(files)
    with TerminalProgress() as progress:
        found = compare_tokenizers(chosen, groups, config, progress=progress)
        if plots is not None:
            for path in comparison_plots(found, chosen, groups, plots):
                progress.note(f"drawn: {path}")
    if as_json:
        print_json(found.as_json())
    else:
        print_comparison(found)
    return DONE
