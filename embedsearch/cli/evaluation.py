"""`evaluate`: measuring on judged data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from embedsearch.answers.answer import AnswerConfig
from embedsearch.answers.language_models import LanguageModelConfig, load_language_model
from embedsearch.cli.asking import LeastSupport, Passages, Sentences
from embedsearch.cli.comparison_output import print_evaluations
from embedsearch.cli.decoding import (
    Llm,
    LlmModel,
    MaxNewTokens,
    generation_config,
    refuse_decoding,
)
from embedsearch.cli.encoder_options import Columns, MaxScore
from embedsearch.cli.main import DONE
from embedsearch.cli.options import Device, Engine, Json, Model, Tokenizers
from embedsearch.cli.output import print_json
from embedsearch.cli.terminal import TerminalProgress, plain
from embedsearch.collection.models import Compute
from embedsearch.encoder.resolve import DEFAULT_MODEL
from embedsearch.evaluation.answers import AnswerEvaluation, evaluate_answers
from embedsearch.evaluation.search import EvaluationConfig, SearchEvaluation, evaluate_search
from embedsearch.evaluation.tokenizer import TokenizerEvaluationConfig, evaluate_tokenizers
from embedsearch.finetuning.evaluation import EncoderEvaluationConfig, evaluate_encoder
from embedsearch.types import Mode

# Not the user's own collection, so EMBEDSEARCH_DB is not meant here.
KeptDb = Annotated[
    Path | None,
    typer.Option(
        "--db",
        metavar="DIR",
        help="Keep the collection in this folder, for the next evaluation; else it is temporary.",
    ),
]


def register(app: typer.Typer) -> typer.Typer:
    """Returns the group `evaluate`, to which others add their commands."""
    evaluate = typer.Typer(
        no_args_is_help=True,
        help="Measure on judged data how good the results are.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    evaluate.command()(search)
    evaluate.command()(answers)
    evaluate.command()(encoder)
    evaluate.command()(tokenizer)
    app.add_typer(evaluate, name="evaluate")
    return evaluate


def search(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="corpus.jsonl or corpus/, queries.jsonl and qrels/<split>.tsv."
        ),
    ],
    split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose judgements; `test`, else the first there is."),
    ] = EvaluationConfig.split,
    mode: Annotated[
        Mode, typer.Option(help="By meaning (semantic), by words (keyword), or both (hybrid).")
    ] = EvaluationConfig.mode,
    model: Model = None,
    engine: Engine = Compute.engine,
    device: Device = Compute.device,
    db: KeptDb = None,
    whole_documents: Annotated[
        bool,
        typer.Option(
            "--whole-documents",
            help="One vector a document, of what the model sees of it, as published figures are "
            "made.",
        ),
    ] = EvaluationConfig.whole_documents,
    depth: Annotated[
        int, typer.Option("-k", "--depth", help="How many results are taken for each query.")
    ] = EvaluationConfig.depth,
    as_json: Json = False,
) -> int:
    """Measure a search on a collection with judged queries, in the layout of BEIR.

    nDCG@10, Recall@100, MRR@10 and MAP, averaged over the queries that have a relevant document.

    Example: embedsearch evaluate search data/handbook --mode semantic
    """
    config = EvaluationConfig(split=split, mode=mode, depth=depth, whole_documents=whole_documents)
    with TerminalProgress() as progress:
        found = evaluate_search(
            folder,
            config,
            model=model,
            compute=Compute(engine=engine, device=device),
            db=db,
            progress=progress,
        )
    if as_json:
        print_json(found.as_json())
    else:
        _print_evaluation(found)
    return DONE


def encoder(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Files of scored pairs, and BEIR folders."),
    ],
    model: Model = None,
    dims: Annotated[
        list[int] | None,
        typer.Option("--dims", metavar="D", help="Also with vectors cut to D numbers; repeatable."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose judgements; `test`, else the first there is."),
    ] = EncoderEvaluationConfig.split,
    columns: Columns = None,
    max_score: MaxScore = EncoderEvaluationConfig.max_score,
    engine: Engine = Compute.engine,
    device: Device = Compute.device,
    as_json: Json = False,
) -> int:
    """Measure an encoder by itself: similarity, pair classification, retrieval.

    Pairs whose scores are all 0 or 1 are a classification. Documents of a folder are one vector
    each.

    Example: embedsearch evaluate encoder pairs.csv data/handbook --model my-encoder --dims 128
    """
    config = EncoderEvaluationConfig(
        dims=tuple(dims or ()),
        split=split,
        columns=tuple(columns.split(",")) if columns else (),
        max_score=max_score,
    )
    with TerminalProgress() as progress:
        scores = evaluate_encoder(
            paths,
            config,
            model=model or DEFAULT_MODEL,
            compute=Compute(engine=engine, device=device),
            progress=progress,
        )
    if as_json:
        print_json([score.as_json() for score in scores])
    else:
        for score in scores:
            measures = "  ".join(f"{name} {value:.4f}" for name, value in score.measures.items())
            print(f"{plain(score.name)}  {score.task}  {score.dims} dimensions  {measures}")
    return DONE


def tokenizer(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="corpus.jsonl or corpus/, perhaps qrels/.")
    ],
    tokenizers: Tokenizers = None,
    limits: Annotated[
        list[int] | None,
        typer.Option(
            "--limit",
            metavar="N",
            help="Tokens that a model sees of a text, special ones among them. May be repeated; "
            f"else {' and '.join(map(str, TokenizerEvaluationConfig.limits))}.",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Measure how much of a collection a model's limit would cut off, by tokenizer and language.

    Example: embedsearch evaluate tokenizer data/handbook -t all-MiniLM-L6-v2 --limit 256
    """
    config = TokenizerEvaluationConfig(
        limits=tuple(limits) if limits else TokenizerEvaluationConfig.limits
    )
    with TerminalProgress() as progress:
        found = evaluate_tokenizers(folder, tokenizers or None, config, progress=progress)
    if as_json:
        print_json([each.as_json() for each in found])
    else:
        print_evaluations(found)
    return DONE


def _print_evaluation(found: SearchEvaluation) -> None:
    print(f"{found.mode} search, {plain(found.model)}, split {plain(found.split)}")
    for name, value in found.measures.items():
        print(f"{name:<12} {value:.4f}")
    print(f"{'queries':<12} {found.queries:,}")
    if found.queries_without_relevant:
        print(f"{'':<12} {found.queries_without_relevant:,} more without a relevant document")
    print(f"{'documents':<12} {found.documents:,}")
    print(f"{'seconds':<12} {found.seconds:,.1f}")


def answers(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Paragraphs and questions in SQuAD's layout.")
    ],
    llm: Llm = LanguageModelConfig.llm,
    llm_model: LlmModel = LanguageModelConfig.model,
    max_new_tokens: MaxNewTokens = None,
    passages: Passages = AnswerConfig.passages,
    mode: Annotated[
        Mode, typer.Option(help="Find passages by meaning, by words, or by both.")
    ] = AnswerConfig.mode,
    sentences: Sentences = AnswerConfig.sentences,
    least_support: LeastSupport = AnswerConfig.least_support,
    model: Model = None,
    engine: Engine = Compute.engine,
    device: Device = Compute.device,
    db: KeptDb = None,
    as_json: Json = False,
) -> int:
    """Measure `ask` on questions with known answers.

    The paragraphs of the file are indexed, its questions are asked. Exact match and F1 as SQuAD 2.0
    has them; whether a known answer stands in the text; whether the right passage is cited.

    Example: embedsearch evaluate answers dev-v2.0.json
    """
    config = AnswerConfig(
        passages=passages, mode=mode, sentences=sentences, least_support=least_support
    )
    wanted = LanguageModelConfig(llm=llm, model=llm_model, device=device)
    generation = generation_config(max_new_tokens=max_new_tokens)
    with TerminalProgress() as progress:
        generator = load_language_model(wanted, progress=progress)
        if generator is None:
            refuse_decoding(max_new_tokens=max_new_tokens)
        found = evaluate_answers(
            file,
            config,
            generator=generator,
            generation=generation if generator else None,
            model=model,
            compute=Compute(engine=engine, device=device),
            db=db,
            progress=progress,
        )
    if as_json:
        print_json(found.as_json())
    else:
        _print_answers(found)
    return DONE


def _print_answers(found: AnswerEvaluation) -> None:
    print(f"{plain(found.generator)}, {plain(found.model)}")
    rows = found.as_json() | {
        f"abstention {name}": value for name, value in found.abstention.items()
    }
    for name, value in rows.items():
        if isinstance(value, float):
            print(f"{name.replace('_', ' '):<26} {value:.4f}")
        elif isinstance(value, int):
            print(f"{name:<26} {value:,}")
