"""The options of `train encoder` that set a field of its config each."""

from __future__ import annotations

from typing import Annotated

import typer

from embedsearch.encoder.training.config import Loss, Precision

Base = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="M",
        help="The encoder to begin with: a name, a folder or a hub id; else the collection's.",
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,…",
        help="What the columns of a table without header are, - for one to pass over: "
        "-,-,score,sentence1,sentence2.",
    ),
]
MaxScore = Annotated[float, typer.Option(metavar="X", help="The highest score there can be.")]
LossName = Annotated[Loss, typer.Option(help="What is minimised; auto goes by the data.")]
Epochs = Annotated[int, typer.Option(metavar="N", help="How often each example is learned from.")]
BatchSize = Annotated[int, typer.Option(metavar="N", help="Examples told apart in one step.")]
LearningRate = Annotated[float, typer.Option(metavar="X", help="At its highest.")]
Warmup = Annotated[
    float, typer.Option(metavar="X", help="The share of steps in which the rate rises.")
]
WeightDecay = Annotated[float, typer.Option(metavar="X", help="AdamW's.")]
Scale = Annotated[float, typer.Option(metavar="X", help="Cosines are multiplied by it.")]
GistMargin = Annotated[
    float, typer.Option(metavar="X", help="gist: how much nearer a positive must be.")
]
TripletMargin = Annotated[
    float, typer.Option(metavar="X", help="triplet: how much nearer a positive shall be.")
]
Negatives = Annotated[
    int, typer.Option(metavar="N", help="Negatives of a pair that an epoch takes.")
]
Matryoshka = Annotated[
    list[int] | None,
    typer.Option("--matryoshka", metavar="D", help="Train the first D numbers too; repeatable."),
]
Cached = Annotated[
    bool, typer.Option("--cached", help="Large batches in little memory, by embedding twice.")
]
BatchTokens = Annotated[
    int, typer.Option(metavar="N", help="Tokens that go through the model at a time.")
]
MaxTokens = Annotated[
    int | None, typer.Option(metavar="N", help="Cut texts to so many tokens in training.")
]
PrecisionName = Annotated[
    Precision, typer.Option(help="Of the products; auto is the best this hardware has.")
]
Dropout = Annotated[bool, typer.Option("--dropout", help="With the model's own dropout.")]
GradientCheckpointing = Annotated[
    bool, typer.Option("--gradient-checkpointing", help="Less memory, more time.")
]
FreezeEmbeddings = Annotated[
    bool, typer.Option("--freeze-embeddings", help="Embeddings stay as they are.")
]
FreezeLayers = Annotated[
    int, typer.Option(metavar="N", help="The lowest N layers stay as they are.")
]
NewTerms = Annotated[
    int, typer.Option(metavar="N", help="Give tokens to N terms of the texts at most.")
]
BaseShare = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="The part of the base that stays in the weights: 0, or 0.5 with --from-collection "
        "and a loss but `late`.",
        show_default=False,
    ),
]
FrozenShare = Annotated[
    float, typer.Option(metavar="X", help="The share of steps in which new tokens learn alone.")
]
HeldOut = Annotated[
    float, typer.Option("--held-out", metavar="X", help="The share of examples to measure on.")
]
Evaluations = Annotated[int, typer.Option(metavar="N", help="Measurements in an epoch.")]
Patience = Annotated[
    int, typer.Option(metavar="N", help="Stop after N measurements that are no better; 0: never.")
]
Seed = Annotated[int, typer.Option(metavar="N", help="Draws order, negatives, dropout.")]
