"""Word vectors: `train word2vec`, `words`, `evaluate words`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from embedsearch.cli.interruption import resumable
from embedsearch.cli.main import DONE, NOTHING_FOUND
from embedsearch.cli.options import Json
from embedsearch.cli.output import print_json, remark
from embedsearch.cli.terminal import TerminalProgress, plain
from embedsearch.errors import InputError
from embedsearch.text.words import counted
from embedsearch.word2vec.config import Word2VecConfig
from embedsearch.words.queries import (
    CHECKPOINT,
    WordsEvaluation,
    evaluate_words,
    load_vectors,
    nearest_words,
    train_words,
)

Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="A folder that `train word2vec` made, or a word2vec file."
    ),
]


def register(app: typer.Typer, train: typer.Typer, evaluate: typer.Typer) -> None:
    """`train` and `evaluate` are the groups of these names."""
    train.command()(word2vec)
    app.command()(words)
    evaluate.command(name="words")(evaluate_)


def word2vec(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILES...", help="Text files and folders.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to be made.")],
    tokenizer: Annotated[
        Path | None,
        typer.Option(metavar="T", help="A tokenizer.json or its folder; without it, words."),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Go on from these vectors, with new text."),
    ] = None,
    vector_size: Annotated[
        int, typer.Option(metavar="N", help="Floats in a vector.")
    ] = Word2VecConfig.vector_size,
    window: Annotated[
        int, typer.Option(metavar="N", help="The farthest word that counts as context.")
    ] = Word2VecConfig.window,
    negative: Annotated[
        int, typer.Option(metavar="N", help="Noise words for each centre.")
    ] = Word2VecConfig.negative,
    epochs: Annotated[
        int, typer.Option(metavar="N", help="Passes over the text.")
    ] = Word2VecConfig.epochs,
    min_count: Annotated[
        int, typer.Option(metavar="N", help="Leave out words seen less often.")
    ] = Word2VecConfig.min_count,
    max_vocab: Annotated[
        int | None, typer.Option(metavar="N", help="Keep so many words, the most frequent ones.")
    ] = Word2VecConfig.max_vocab,
    sample: Annotated[
        float, typer.Option(metavar="X", help="Thin out words of a larger share; 0 keeps all.")
    ] = Word2VecConfig.sample,
    ns_exponent: Annotated[
        float, typer.Option(metavar="X", help="Noise words are drawn by frequency to this power.")
    ] = Word2VecConfig.ns_exponent,
    alpha: Annotated[
        float, typer.Option(metavar="X", help="Learning rate at the start.")
    ] = Word2VecConfig.alpha,
    min_alpha: Annotated[
        float, typer.Option(metavar="X", help="Learning rate at the end.")
    ] = Word2VecConfig.min_alpha,
    phrases: Annotated[
        bool, typer.Option("--phrases", help="Join words that belong together: new_york.")
    ] = Word2VecConfig.phrases,
    phrase_threshold: Annotated[
        float, typer.Option(metavar="X", help="The higher, the fewer phrases.")
    ] = Word2VecConfig.phrase_threshold,
    seed: Annotated[int, typer.Option(metavar="N")] = Word2VecConfig.seed,
    workers: Annotated[
        int, typer.Option(metavar="N", help="Threads; 0 for all cores.")
    ] = Word2VecConfig.workers,
    deterministic: Annotated[
        bool,
        typer.Option("--deterministic", help="The same vectors for a seed, bit for bit; one core."),
    ] = Word2VecConfig.deterministic,
    device: Annotated[
        str, typer.Option(metavar="D", help="auto, cpu, cuda or cuda:N.")
    ] = Word2VecConfig.device,
    as_json: Json = False,
) -> int:
    """Train word vectors on your own text.

    DIR can be asked with `embedsearch words`, and it serves as --model of a collection. An
    interrupted run goes on after its last epoch when the same command is given again.

    Example: embedsearch train word2vec notes/ --out my-words --epochs 10
    """
    config = Word2VecConfig(
        vector_size=vector_size,
        window=window,
        negative=negative,
        epochs=epochs,
        min_count=min_count,
        max_vocab=max_vocab,
        sample=sample,
        ns_exponent=ns_exponent,
        alpha=alpha,
        min_alpha=min_alpha,
        phrases=phrases,
        phrase_threshold=phrase_threshold,
        seed=seed,
        workers=workers,
        deterministic=deterministic,
        device=device,
    )
    with resumable(out / CHECKPOINT), TerminalProgress() as progress:
        report = train_words(
            files, out, config, tokenizer=tokenizer, start=start, progress=progress
        )
    if as_json:
        print_json(asdict(report))
    else:
        print(
            f"{plain(report.out)}: {counted(report.vocabulary, 'vector')} of "
            f"{counted(report.vector_size, 'float')}, loss {report.losses[-1]:.4f}, "
            f"in {report.seconds:,.1f} s"
        )
    return DONE


def words(
    model: Model,
    expression: Annotated[
        str | None,
        typer.Argument(metavar="EXPRESSION", help="Words joined by ' + ' and ' - '."),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="How many words.")] = 10,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw the words as a map, .html or .png; without EXPRESSION the most frequent.",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Find the words nearest to a word, or to a sum of words.

    Example: embedsearch words my-words "king - man + woman" -k 5
    """
    if expression is None and picture is None:
        raise InputError("say what to look for, for instance 'king - man + woman'")
    if k < 1:
        raise InputError(f"-k must be at least 1, not {k}")
    vectors = load_vectors(model)
    if expression is None:
        found = [(key, 1.0) for key in vectors.keys[:k]]
    else:
        found = nearest_words(vectors, expression, k)
    if picture is not None:
        from embedsearch.words.plots import draw_words

        drawn = [key for key, _ in found]
        draw_words(vectors, drawn, picture, expression or f"{len(drawn)} words of {model.name}")
        remark(f"{len(drawn)} words drawn in {picture}")
    if as_json:
        print_json([{"word": key, "score": score} for key, score in found])
    elif expression is not None:
        for key, score in found:
            print(f"{score:.4f}  {plain(key)}")
    return DONE if found else NOTHING_FOUND


def evaluate_(
    model: Model,
    gold: Annotated[
        list[Path],
        typer.Argument(
            metavar="GOLD...",
            help="Files of analogies or of rated pairs, or folders of such .txt files.",
        ),
    ],
    as_json: Json = False,
) -> int:
    """Measure word vectors on analogies and on similarities that people have rated.

    Example: embedsearch evaluate words my-words questions-words.txt EN-WS-353-ALL.txt
    """
    found = evaluate_words(load_vectors(model), gold)
    if as_json:
        print_json(found.as_json())
    else:
        _print_evaluation(found)
    return DONE


def _print_evaluation(found: WordsEvaluation) -> None:
    if found.analogies is not None:
        print(f"{'analogies':<32} accuracy  covered    total")
        for part in (*found.analogies.sections, found.analogies.total):
            print(
                f"{plain(part.name):<32} {part.accuracy:>8.4f} {part.covered:>8,} "
                f"{part.questions:>8,}"
            )
    if found.similarity:
        print(f"{'similarity':<32} spearman  covered    total")
        for name, part_ in found.similarity.items():
            shown = "-" if part_.spearman is None else f"{part_.spearman:.4f}"
            print(f"{plain(name):<32} {shown:>8} {part_.covered:>8,} {part_.pairs:>8,}")
