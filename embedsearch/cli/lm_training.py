"""`train lm`: a language model learns to give responses to prompts."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from embedsearch.cli.interruption import resumable
from embedsearch.cli.main import DONE
from embedsearch.cli.options import Json
from embedsearch.cli.output import print_json, remark_skipped
from embedsearch.cli.terminal import TerminalProgress, plain
from embedsearch.errors import InputError
from embedsearch.generation.training import (
    CHECKPOINT,
    ArchitectureConfig,
    LMTrainingConfig,
    Pair,
    Start,
    read_pairs,
    start_anew,
    start_from,
    train_lm,
)
from embedsearch.generation.training.config import Method
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.text.words import counted
from embedsearch.types import Progress

VOCAB_SIZE = 4000
"""Tokens of a new model's tokenizer that is trained along."""


def register(train: typer.Typer) -> None:
    train.command()(lm)


def lm(
    pairs: Annotated[
        list[Path],
        typer.Argument(metavar="PAIRS...", help='JSON lines {"prompt": …, "response": …}.'),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write.")],
    base: Annotated[
        str | None,
        typer.Option(metavar="M", help="The model to go on from: a folder or hub id; else a new."),
    ] = None,
    method: Annotated[
        Method, typer.Option(help="Train all weights, or low-rank updates of them.")
    ] = LMTrainingConfig.method,
    epochs: Annotated[int, typer.Option(metavar="N")] = LMTrainingConfig.epochs,
    max_tokens: Annotated[
        int, typer.Option(metavar="N", help="Tokens of a row, and of the longest pair.")
    ] = LMTrainingConfig.max_tokens,
    rows_per_step: Annotated[
        int, typer.Option(metavar="N", help="Rows for each step of the optimizer.")
    ] = LMTrainingConfig.rows_per_step,
    learning_rate: Annotated[float, typer.Option(metavar="X")] = LMTrainingConfig.learning_rate,
    weight_decay: Annotated[float, typer.Option(metavar="X")] = LMTrainingConfig.weight_decay,
    warmup_steps: Annotated[
        int, typer.Option(metavar="N", help="Steps in which the learning rate rises.")
    ] = LMTrainingConfig.warmup_steps,
    recall_steps: Annotated[
        int, typer.Option(metavar="N", help="First steps, in which a new model learns to look up.")
    ] = LMTrainingConfig.recall_steps,
    lora_rank: Annotated[int, typer.Option(metavar="N")] = LMTrainingConfig.lora_rank,
    lora_alpha: Annotated[int, typer.Option(metavar="N")] = LMTrainingConfig.lora_alpha,
    freeze_embeddings: Annotated[
        bool, typer.Option("--freeze-embeddings", help="Embeddings stay as they are.")
    ] = LMTrainingConfig.freeze_embeddings,
    new_token: Annotated[
        list[str] | None,
        typer.Option(metavar="T", help="A word that becomes a token; may be repeated."),
    ] = None,
    frozen_steps: Annotated[
        int, typer.Option(metavar="N", help="Steps in which new tokens learn alone.")
    ] = LMTrainingConfig.frozen_steps,
    tokenizer: Annotated[
        str | None,
        typer.Option(metavar="T", help="Of a new model; else one is trained on the pairs."),
    ] = None,
    vocab_size: Annotated[
        int, typer.Option(metavar="N", help="Tokens of a tokenizer that is trained along.")
    ] = VOCAB_SIZE,
    hidden_size: Annotated[
        int, typer.Option(metavar="N", help="Of a new model.")
    ] = ArchitectureConfig.hidden_size,
    layers: Annotated[
        int, typer.Option(metavar="N", help="Of a new model.")
    ] = ArchitectureConfig.layers,
    heads: Annotated[
        int, typer.Option(metavar="N", help="Of a new model.")
    ] = ArchitectureConfig.heads,
    head_dim: Annotated[
        int, typer.Option(metavar="N", help="Of a new model; 0: its hidden size over its heads.")
    ] = ArchitectureConfig.head_dim,
    context: Annotated[
        int, typer.Option(metavar="N", help="Tokens that a new model has room for.")
    ] = ArchitectureConfig.context,
    chat_template: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A new model's, as transformers has it.")
    ] = None,
    checkpoint_steps: Annotated[
        int, typer.Option(metavar="N", help="Save the state after so many steps.")
    ] = LMTrainingConfig.checkpoint_steps,
    seed: Annotated[int, typer.Option(metavar="N")] = LMTrainingConfig.seed,
    device: Annotated[str, typer.Option(metavar="D", help="auto, cpu, cuda or cuda:N.")] = "auto",
    as_json: Json = False,
) -> int:
    """Teach a language model to give responses to prompts.

    The folder is one of transformers, which --llm takes. Interrupted, the same command goes on.

    Example: embedsearch train lm pairs.jsonl --base ./my-model --method lora --out tuned
    """
    config = LMTrainingConfig(
        epochs=epochs,
        max_tokens=max_tokens,
        rows_per_step=rows_per_step,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        warmup_steps=warmup_steps,
        recall_steps=recall_steps,
        method=method,
        lora_rank=lora_rank,
        lora_alpha=lora_alpha,
        freeze_embeddings=freeze_embeddings,
        frozen_steps=frozen_steps,
        checkpoint_steps=checkpoint_steps,
        seed=seed,
    )
    architecture = ArchitectureConfig(
        hidden_size=hidden_size,
        layers=layers,
        heads=heads,
        head_dim=head_dim,
        context=context,
    )
    found = read_pairs(pairs)
    with resumable(out / CHECKPOINT), TerminalProgress() as progress:
        if base is not None:
            usual, asked = asdict(ArchitectureConfig()), asdict(architecture)
            of_new = {name: value != usual[name] for name, value in asked.items()} | {
                "tokenizer": tokenizer is not None,
                "chat_template": chat_template is not None,
                "vocab_size": vocab_size != VOCAB_SIZE,
                "recall_steps": recall_steps > 0,
            }
            _refuse([name for name, given in of_new.items() if given])
            start = start_from(base, new_token or ())
        else:
            start = _new(
                found.pairs, tokenizer, vocab_size, new_token or [], architecture, seed,
                chat_template, progress,
            )  # fmt: skip
        report = train_lm(
            found.pairs, config, start=start, output=out, device=device, progress=progress
        )
    remark_skipped([*found.skipped, *report.skipped], listed=True)
    if as_json:
        skipped = [asdict(each) for each in (*found.skipped, *report.skipped)]
        print_json({**asdict(report), "skipped": skipped})
    else:
        print(
            f"{report.parameters:,} parameters, {report.trained_parameters:,} of them trained, in "
            f"{counted(report.steps, 'step')}; loss {report.losses[-1]:.4f}; {plain(report.output)}"
        )
    return DONE


def _refuse(of_new: list[str]) -> None:
    """InputError for options of a new model where there is a base."""
    if of_new:
        flag = f"--{of_new[0].replace('_', '-')}"
        raise InputError(f"{flag} is for a new model: leave it, or --base")


def _new(
    pairs: tuple[Pair, ...],
    tokenizer: str | None,
    vocab_size: int,
    new_tokens: list[str],
    architecture: ArchitectureConfig,
    seed: int,
    chat_template: Path | None,
    progress: Progress,
) -> Start:
    template = None
    if chat_template is not None:
        try:
            template = chat_template.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read {chat_template}: {error}") from None
    if tokenizer is not None:
        made = Tokenizer.load(tokenizer)
    else:
        made = Tokenizer.train(
            _texts(pairs), kind="byte-bpe", vocab_size=vocab_size, progress=progress
        )
    if new_tokens:
        made = made.with_tokens(new_tokens)
    return start_anew(made, architecture, seed=seed, chat_template=template)


def _texts(pairs: tuple[Pair, ...]) -> Any:
    for pair in pairs:
        yield from (
            [pair.prompt]
            if isinstance(pair.prompt, str)
            else (message["content"] for message in pair.prompt)
        )
        yield pair.response
