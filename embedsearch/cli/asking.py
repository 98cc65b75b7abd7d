"""`ask`: a question answered from the collection, with sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from embedsearch.answers import EXTRACTIVE, Answer, AnswerConfig
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
from embedsearch.cli.output import hit_json, print_json, remark
from embedsearch.cli.terminal import plain
from embedsearch.models import Compute
from embedsearch.types import Mode

Passages = Annotated[
    int, typer.Option("-k", "--passages", metavar="N", help="How many passages are read.")
]
Sentences = Annotated[int, typer.Option(metavar="N", help="How many sentences are quoted at most.")]
LeastSupport = Annotated[
    float,
    typer.Option(
        metavar="X",
        help="From 0 to 1: how well the best sentence must fit, else there is no answer.",
    ),
]


def register(app: typer.Typer) -> None:
    app.command()(ask)


def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What you want to know.")],
    db: Db = Path(DEFAULT_DB),
    passages: Passages = AnswerConfig.passages,
    mode: Annotated[
        Mode, typer.Option(help="Find passages by meaning, by words, or by both.")
    ] = AnswerConfig.mode,
    sentences: Sentences = AnswerConfig.sentences,
    least_support: LeastSupport = AnswerConfig.least_support,
    where: Wheres = None,
    engine: Engine = Compute.engine,
    device: Device = Compute.device,
    as_json: Json = False,
) -> int:
    """Answer a question from the collection and tell where each statement stands.

    Example: embedsearch ask "when are backups made?"
    """
    config = AnswerConfig(
        passages=passages, mode=mode, sentences=sentences, least_support=least_support
    )
    with open_for_search(db, Compute(engine=engine, device=device)) as collection:
        answer = collection.ask(question, where=parse_where(where), config=config)
    if answer.generator == EXTRACTIVE:
        remark("no language model was used: these are the sentences that answer best")
    if as_json:
        print_json(answer_json(answer))
    else:
        _print_answer(answer)
    return NOTHING_FOUND if answer.abstained else DONE


def answer_json(answer: Answer) -> dict[str, Any]:
    return {
        "answer": answer.text,
        "citations": [
            {
                "marker": citation.marker,
                "document_id": citation.document_id,
                "start": citation.start,
                "end": citation.end,
                "text": citation.text,
            }
            for citation in answer.citations
        ],
        "hits": [hit_json(hit) for hit in answer.hits],
        "generator": answer.generator,
        "abstained": answer.abstained,
        "usage": {
            "prompt_tokens": answer.usage.prompt_tokens,
            "completion_tokens": answer.usage.completion_tokens,
            "seconds": dict(answer.usage.seconds),
        },
    }


def _print_answer(answer: Answer) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(plain(answer.text)))
    titles = {hit.document_id: hit.title for hit in answer.hits}
    if answer.citations:
        console.print()
    for citation in answer.citations:
        line = Text(citation.marker, style="bold")
        line.append(f" {plain(citation.document_id)}", style="cyan")
        line.append(f":{citation.start}-{citation.end}", style="dim")
        if title := titles.get(citation.document_id):
            line.append(f"  {plain(title)}")
        console.print(line, soft_wrap=True)
