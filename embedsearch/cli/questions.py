"""`questions`: training data for an encoder, written by a language model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from embedsearch.answers.language_models import (
    HOW_TO_GET_ONE,
    LanguageModelConfig,
    load_language_model,
)
from embedsearch.cli.decoding import (
    Llm,
    LlmContext,
    LlmModel,
    LlmTokenizer,
    Temperature,
    generation_config,
)
from embedsearch.cli.interruption import Interrupted
from embedsearch.cli.main import DONE, NOTHING_FOUND
from embedsearch.cli.options import DEFAULT_DB, Db, Device, Engine, Json, open_for_search
from embedsearch.cli.output import print_json, remark
from embedsearch.cli.terminal import TerminalProgress, plain
from embedsearch.collection.models import Compute
from embedsearch.errors import InputError
from embedsearch.evaluation.judged import read_judged
from embedsearch.finetuning.written_questions import (
    TOKENS_OF_QUESTION,
    WrittenQuestionsConfig,
    write_questions,
)
from embedsearch.text.words import counted

Defaults = WrittenQuestionsConfig


def register(app: typer.Typer) -> None:
    app.command()(questions)


def questions(
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="JSON lines; those there are kept.")
    ],
    db: Db = Path(DEFAULT_DB),
    llm: Llm = LanguageModelConfig.llm,
    llm_model: LlmModel = LanguageModelConfig.model,
    llm_context: LlmContext = LanguageModelConfig.context,
    llm_tokenizer: LlmTokenizer = LanguageModelConfig.tokenizer,
    passages: Annotated[
        int, typer.Option(metavar="N", help="How many passages are asked about.")
    ] = Defaults.passages,
    per_passage: Annotated[
        int, typer.Option(metavar="N", help="Questions asked for, for each.")
    ] = Defaults.per_passage,
    max_rank: Annotated[
        int,
        typer.Option(
            metavar="N", help="Drop a question that does not find its document there; 0: keep all."
        ),
    ] = Defaults.max_rank,
    avoid: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Judged questions (BEIR) that none may be."),
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help=f"Tokens that are generated at most; {TOKENS_OF_QUESTION} for each question. A "
            "model that thinks first needs more.",
        ),
    ] = None,
    temperature: Temperature = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Decides which passages, and what is drawn.")
    ] = Defaults.seed,
    engine: Engine = Compute.engine,
    device: Device = Compute.device,
    as_json: Json = False,
) -> int:
    """Have a language model write questions to train an encoder on.

    Where there are no questions of users yet, those of a model are the next best. The file can be
    read and edited; an interrupted run goes on when the same command is run again.

    Example: embedsearch questions --db notes.es --llm auto --out questions.jsonl
    """
    config = WrittenQuestionsConfig(
        passages=passages, per_passage=per_passage, max_rank=max_rank, seed=seed
    )
    wanted = LanguageModelConfig(
        llm=llm, model=llm_model, context=llm_context, tokenizer=llm_tokenizer, device=device
    )
    generation = generation_config(
        max_new_tokens=TOKENS_OF_QUESTION * per_passage
        if max_new_tokens is None
        else max_new_tokens,
        temperature=temperature,
        seed=seed,
    )
    judged = list(read_judged(avoid).questions.values()) if avoid else []
    with (
        open_for_search(db, Compute(engine=engine, device=device)) as collection,
        TerminalProgress() as progress,
    ):
        generator = load_language_model(wanted, progress=progress)
        if generator is None:
            raise InputError(f"questions need a language model: {HOW_TO_GET_ONE}")
        try:
            report = write_questions(
                collection,
                generator,
                out,
                config,
                generation=generation,
                avoid=judged,
                progress=progress,
            )
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted; what is in {out} stays, the same command goes on"
            ) from None
    if as_json:
        print_json(report.as_json())
    else:
        dropped = ", ".join(
            f"{count:,} {reason.replace('_', ' ')}" for reason, count in report.dropped.items()
        )
        remark(f"{counted(report.passages, 'passage')} asked about; dropped: {dropped or 'none'}")
        written = counted(report.kept, "question")
        print(f"{plain(str(out))}: {written} written, {report.before:,} before")
        remark(
            f"`embedsearch train encoder {plain(str(out))} --db {plain(str(db))} --out my-encoder`"
        )
    return DONE if report.kept or report.before else NOTHING_FOUND
