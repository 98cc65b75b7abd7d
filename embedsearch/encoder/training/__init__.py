"""Contrastive training of sentence encoders: what belongs together close, the rest apart."""

from embedsearch.encoder.training.config import EncoderTrainingConfig
from embedsearch.encoder.training.examples import LabelledText, ScoredPair, TrainingPair
from embedsearch.encoder.training.report import TrainingReport
from embedsearch.encoder.training.run import train

__all__ = [
    "EncoderTrainingConfig",
    "LabelledText",
    "ScoredPair",
    "TrainingPair",
    "TrainingReport",
    "train",
]
