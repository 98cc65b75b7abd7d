"""Options about language models that several commands share: which one, and how it decodes."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any

import typer

from embedsearch.errors import InputError
from embedsearch.generation.config import GenerationConfig
from embedsearch.generation.server import DEFAULT_CONTEXT

Llm = Annotated[
    str | None,
    typer.Option(
        "--llm",
        metavar="M",
        envvar="EMBEDSEARCH_LLM",
        help="The language model: a folder, a hub id, the URL of an OpenAI-compatible server, "
        "auto (a small one, fetched once), or none.",
    ),
]
LlmModel = Annotated[
    str | None,
    typer.Option("--llm-model", metavar="NAME", help="Which of the models that a server has."),
]
LlmContext = Annotated[
    int | None,
    typer.Option(
        "--llm-context",
        metavar="N",
        help=f"Tokens that a server's model has room for; what it tells, else {DEFAULT_CONTEXT}.",
    ),
]
LlmTokenizer = Annotated[
    str | None,
    typer.Option(
        "--llm-tokenizer",
        metavar="T",
        help="The tokenizer of a server's model, to count with; else tokens are estimated.",
    ),
]
MaxNewTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help=f"Tokens that are generated at most; {GenerationConfig.max_new_tokens}.",
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(metavar="X", help="Above 0, tokens are drawn; 0 (the default) takes the best."),
]
TopK = Annotated[
    int | None, typer.Option(metavar="N", help="Draw from the N likeliest tokens; 0: from all.")
]
TopP = Annotated[
    float | None,
    typer.Option(metavar="X", help="Draw from the likeliest tokens that reach this probability."),
]
MinP = Annotated[
    float | None,
    typer.Option(metavar="X", help="Draw from tokens that are X times as likely as the best."),
]
RepetitionPenalty = Annotated[
    float | None,
    typer.Option(metavar="X", help="Above 1, tokens that were there become less likely."),
]
NumBeams = Annotated[
    int | None, typer.Option(metavar="N", help="Search for the likeliest text with N beams.")
]
Stop = Annotated[
    list[str] | None,
    typer.Option("--stop", metavar="TEXT", help="End before this text; may be repeated."),
]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Decides what is drawn.")]


def generation_config(**asked: Any) -> GenerationConfig:
    """What was asked for, None being the default; the names are those of the fields."""
    known = {field.name for field in fields(GenerationConfig)}
    given = {name: value for name, value in asked.items() if value is not None}
    assert given.keys() <= known
    if "stop" in given:
        given["stop"] = tuple(given["stop"])
    return GenerationConfig(**given)


def refuse_decoding(**asked: Any) -> None:
    """InputError for decoding options where no language model is used."""
    given = [name for name, value in asked.items() if value is not None]
    if given:
        flag = "--" + given[0].replace("_", "-")
        raise InputError(f"{flag} needs a language model: name one with --llm")
