"""`train encoder`: fine-tuning a sentence encoder, and trying it on a collection."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from embedsearch.cli.encoder_options import (
    Base,
    BaseShare,
    BatchSize,
    BatchTokens,
    Cached,
    Columns,
    Dropout,
    Epochs,
    Evaluations,
    FreezeEmbeddings,
    FreezeLayers,
    FrozenShare,
    GistMargin,
    GradientCheckpointing,
    HeldOut,
    LearningRate,
    LossName,
    Matryoshka,
    MaxScore,
    MaxTokens,
    Negatives,
    NewTerms,
    Patience,
    PrecisionName,
    Scale,
    Seed,
    TripletMargin,
    Warmup,
    WeightDecay,
)
from embedsearch.cli.encoder_output import print_training
from embedsearch.cli.interruption import resumable
from embedsearch.cli.main import DONE
from embedsearch.cli.options import DEFAULT_DB, Device, Json
from embedsearch.cli.terminal import TerminalProgress
from embedsearch.collection.collection import Collection
from embedsearch.collection.models import Compute
from embedsearch.encoder.resolve import DEFAULT_MODEL
from embedsearch.encoder.training.checkpoint import state_folder
from embedsearch.encoder.training.config import EncoderTrainingConfig
from embedsearch.encoder.training.scratch import NewEncoderConfig, new_encoder
from embedsearch.errors import InputError
from embedsearch.finetuning.closed_loop import LoopConfig, LoopReport, improve_encoder
from embedsearch.finetuning.collection_pairs import CollectionPairsConfig
from embedsearch.finetuning.data import TrainingDataConfig
from embedsearch.finetuning.hard_negatives import MiningConfig
from embedsearch.finetuning.promotion import Promote, PromotionConfig
from embedsearch.finetuning.training import train_encoder
from embedsearch.text.paths import typed_path
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.types import Mode

Defaults = EncoderTrainingConfig


def register(train: typer.Typer) -> None:
    train.command()(encoder)


def encoder(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder for the model.")],
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="INPUT...", help="Pairs, scored pairs or labelled texts; BEIR folders."
        ),
    ] = None,
    base: Base = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer", metavar="T", help="Begin with a random model for this tokenizer."
        ),
    ] = None,
    layers: Annotated[
        int, typer.Option(metavar="N", help="--tokenizer: layers of the model.")
    ] = NewEncoderConfig.layers,
    hidden: Annotated[
        int, typer.Option(metavar="N", help="--tokenizer: dimensions of the model.")
    ] = NewEncoderConfig.hidden,
    held_out_data: Annotated[
        Path | None,
        typer.Option("--held-out-data", metavar="FILE", help="Measured, never trained on."),
    ] = None,
    train_split: Annotated[
        str, typer.Option(metavar="NAME", help="Whose judgements of a BEIR folder to learn from.")
    ] = TrainingDataConfig.split,
    columns: Columns = None,
    max_score: MaxScore = TrainingDataConfig.max_score,
    db: Annotated[
        Path | None,
        typer.Option(
            "--db", metavar="DIR", help="The collection: negatives are mined from its index."
        ),
    ] = None,
    from_collection: Annotated[
        bool, typer.Option("--from-collection", help="Make the pairs of its documents.")
    ] = False,
    pairs: Annotated[
        int, typer.Option("--pairs", metavar="N", help="How many pairs --from-collection makes.")
    ] = CollectionPairsConfig.limit,
    mine: Annotated[
        int, typer.Option("--mine", metavar="N", help="Negatives mined for a pair; 0 for none.")
    ] = MiningConfig.count,
    rank_first: Annotated[
        int, typer.Option(metavar="N", help="Mine from this rank of a search on …")
    ] = MiningConfig.first,
    rank_last: Annotated[int, typer.Option(metavar="N", help="… to this one.")] = MiningConfig.last,
    margin: Annotated[
        float | None,
        typer.Option(metavar="X", help="Drop negatives nearer than the positive less X."),
    ] = MiningConfig.margin,
    cross_check: Annotated[
        bool,
        typer.Option(
            "--cross-check/--no-cross-check",
            help="Drop negatives that both rankings have before the positive.",
        ),
    ] = MiningConfig.cross_check,
    evaluate: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Judged questions about the collection, to compare on."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Whose judgements to compare on; `test`, else the first."
        ),
    ] = PromotionConfig.split,
    mode: Annotated[Mode, typer.Option(help="The search to compare.")] = PromotionConfig.mode,
    promote: Annotated[
        Promote, typer.Option(help="Whether the collection takes the new model over.")
    ] = PromotionConfig.promote,
    p_value: Annotated[
        float, typer.Option(metavar="P", help="How unlikely luck has to be.")
    ] = PromotionConfig.p_value,
    loss: LossName = Defaults.loss,
    epochs: Epochs = Defaults.epochs,
    batch_size: BatchSize = Defaults.batch_size,
    learning_rate: LearningRate = Defaults.learning_rate,
    warmup: Warmup = Defaults.warmup,
    weight_decay: WeightDecay = Defaults.weight_decay,
    scale: Scale = Defaults.scale,
    gist_margin: GistMargin = Defaults.gist_margin,
    triplet_margin: TripletMargin = Defaults.triplet_margin,
    negatives: Negatives = Defaults.negatives,
    matryoshka: Matryoshka = None,
    cached: Cached = Defaults.cached,
    batch_tokens: BatchTokens = Defaults.batch_tokens,
    max_tokens: MaxTokens = Defaults.max_tokens,
    precision: PrecisionName = Defaults.precision,
    dropout: Dropout = Defaults.dropout,
    gradient_checkpointing: GradientCheckpointing = Defaults.gradient_checkpointing,
    freeze_embeddings: FreezeEmbeddings = Defaults.freeze_embeddings,
    freeze_layers: FreezeLayers = Defaults.freeze_layers,
    new_terms: NewTerms = Defaults.new_terms,
    frozen_share: FrozenShare = Defaults.frozen_share,
    base_share: BaseShare = Defaults.base_share,
    held_out: HeldOut = Defaults.held_out,
    evaluations: Evaluations = Defaults.evaluations,
    patience: Patience = Defaults.patience,
    seed: Seed = Defaults.seed,
    device: Device = Compute.device,
    as_json: Json = False,
) -> int:
    """Fine-tune a sentence encoder, and know whether it got better.

    With --db, hard negatives come from the collection's index; with --evaluate, the collection is
    embedded anew beside itself and both are compared on judged questions. An interrupted training
    goes on when the same command is run again.

    Example: embedsearch train encoder pairs.jsonl --out my-encoder --db notes.es
    """
    collected = bool(db or from_collection or evaluate)
    _refuse_given(context, _OF_TOKENIZER, not tokenizer, "a new model: name its --tokenizer")
    _refuse_given(context, _OF_TRIAL, not evaluate, "judged questions: name them with --evaluate")
    _refuse_given(context, ("pairs",), not from_collection, "--from-collection")
    _refuse_given(context, ("mine", *_OF_MINING), not collected, "a collection: name it with --db")
    _refuse_given(context, _OF_MINING, not mine, "negatives: ask for some with --mine")
    config = LoopConfig(
        training=EncoderTrainingConfig(
            loss=loss,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            warmup=warmup,
            weight_decay=weight_decay,
            scale=scale,
            gist_margin=gist_margin,
            triplet_margin=triplet_margin,
            negatives=negatives,
            matryoshka_dims=tuple(matryoshka or ()),
            cached=cached,
            batch_tokens=batch_tokens,
            max_tokens=max_tokens,
            precision=precision,
            dropout=dropout,
            gradient_checkpointing=gradient_checkpointing,
            freeze_embeddings=freeze_embeddings,
            freeze_layers=freeze_layers,
            new_terms=new_terms,
            frozen_share=frozen_share,
            base_share=base_share,
            held_out=held_out,
            evaluations=evaluations,
            patience=patience,
            seed=seed,
        ),
        pairs=CollectionPairsConfig(limit=pairs, seed=seed),
        mining=MiningConfig(
            count=mine,
            first=rank_first,
            last=rank_last,
            margin=margin,
            cross_check=cross_check,
        )
        if mine
        else None,
        promotion=PromotionConfig(promote=promote, p_value=p_value, split=split, mode=mode),
        reading=TrainingDataConfig(
            split=train_split,
            columns=tuple(columns.split(",")) if columns else (),
            max_score=max_score,
        ),
    )
    if from_collection and inputs:
        raise typer.BadParameter("give either INPUT or --from-collection, not both")
    if not (from_collection or inputs):
        raise typer.BadParameter("give INPUT, or --from-collection to make pairs of documents")
    if tokenizer and base:
        raise typer.BadParameter("give either --model or --tokenizer, not both")
    made = typed_path(out).resolve()
    home = db or Path(os.environ.get("EMBEDSEARCH_DB", DEFAULT_DB))
    with (
        resumable(state_folder(made), made=made),
        TerminalProgress() as progress,
        _new_base(tokenizer, layers, hidden, seed) as new,
    ):
        base, name = new or base, f"random weights for {tokenizer}" if new else ""
        if collected:
            with Collection.open(home, create=False, device=device) as collection:
                report = improve_encoder(
                    collection,
                    out,
                    config,
                    data=inputs or None,
                    held_out=held_out_data,
                    base=base,
                    base_name=name,
                    judged=evaluate,
                    device=device,
                    progress=progress,
                )
        else:
            trained = train_encoder(
                inputs or [],
                config.training,
                base=base or DEFAULT_MODEL,
                base_name=name,
                output=out,
                held_out=held_out_data,
                reading=config.reading,
                device=device,
                progress=progress,
            )
            report = LoopReport(training=trained, seconds=trained.seconds)
    print_training(report, home, as_json)
    return DONE


_OF_TOKENIZER = ("layers", "hidden")
_OF_TRIAL = ("split", "mode", "promote", "p_value")
_OF_MINING = ("rank_first", "rank_last", "margin", "cross_check")


def _refuse_given(context: typer.Context, names: Sequence[str], unused: bool, needed: str) -> None:
    """InputError where one of these options was given and would do nothing without `needed`."""
    sources = {name: context.get_parameter_source(name) for name in names}
    given = [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]
    if unused and given:
        raise InputError(f"--{given[0].replace('_', '-')} needs {needed}")


@contextmanager
def _new_base(tokenizer: str | None, layers: int, hidden: int, seed: int) -> Iterator[str | None]:
    """The folder of a random model for a tokenizer; None where none is asked for."""
    if tokenizer is None:
        yield None
        return
    config = NewEncoderConfig(layers=layers, hidden=hidden, seed=seed)
    with tempfile.TemporaryDirectory(prefix="embedsearch-") as home:
        yield str(new_encoder(Tokenizer.load(tokenizer), Path(home) / "new", config))
