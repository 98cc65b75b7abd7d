"""The settings of a training run."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from embedsearch.errors import InputError

MAX_VECTOR_SIZE = 4096
MAX_WINDOW = 1000
MAX_NEGATIVE = 1000


@dataclass(frozen=True, kw_only=True)
class Word2VecConfig:
    """How word vectors are trained; names as in gensim. The checks raise InputError.

    Attributes:
        vector_size: floats in a vector.
        window: the farthest word that counts as context; each centre draws its own reach from 1
            to this.
        negative: noise words for each pair. The pairs of a window share twice as many, which
            count half.
        epochs: passes over the text.
        min_count: words seen less often are left out.
        max_vocab: at most so many words, the most frequent ones; None for no limit. Words of the
            vectors that are gone on from come on top.
        sample: frequent words are thinned out: of a word with the share f of the text,
            sqrt(sample / f) + sample / f are kept. 0 keeps all.
        ns_exponent: noise words are drawn with frequency ** ns_exponent.
        alpha, min_alpha: the learning rate falls from one to the other, linearly over all epochs.
            gensim and word2vec.c begin with 0.025, which suits texts of a billion words.
        phrases: join pairs of words that stand together more often than by chance, such as
            new_york.
        phrase_threshold: how much more often, see `phrases.py`.
        seed: of all that is random.
        workers: threads; 0 for one on each core. Of no account on a GPU.
        deterministic: the same vectors, bit for bit, for the same seed, text and processor,
            whatever `workers` says. It costs all cores but one: threads race, so one works alone.
        device: `auto` (a CUDA GPU where there is one, else the CPU), `cpu`, `cuda` or `cuda:N`.
    """

    vector_size: int = 100
    window: int = 5
    negative: int = 5
    epochs: int = 5
    min_count: int = 5
    max_vocab: int | None = None
    sample: float = 1e-3
    ns_exponent: float = 0.75
    alpha: float = 0.04
    min_alpha: float = 0.0001
    phrases: bool = False
    phrase_threshold: float = 100.0
    seed: int = 1
    workers: int = 0
    deterministic: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, least, most in (
            ("vector_size", 1, MAX_VECTOR_SIZE),
            ("window", 1, MAX_WINDOW),
            ("negative", 1, MAX_NEGATIVE),
            ("epochs", 1, 1 << 20),
            ("min_count", 1, 1 << 62),
            ("max_vocab", 1, 1 << 31),
            ("seed", 0, (1 << 63) - 1),
            ("workers", 0, 1 << 12),
        ):
            value = getattr(self, name)
            if value is None and name == "max_vocab":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise InputError(f"{name} must be a whole number from {least} to {most}: {value!r}")
        for name in ("sample", "ns_exponent", "alpha", "min_alpha", "phrase_threshold"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise InputError(f"{name} must be a number, not {value!r}")
        if not 0 <= self.sample <= 1:
            raise InputError(f"sample is a share from 0 to 1, not {self.sample!r}")
        if not 0 <= self.min_alpha <= self.alpha <= 1 or self.alpha == 0:
            raise InputError(
                f"learning rates fall from alpha to min_alpha within 0 to 1, not from "
                f"{self.alpha!r} to {self.min_alpha!r}"
            )
        if re.fullmatch(r"auto|cpu|cuda(:\d+)?", str(self.device)) is None:
            raise InputError(f"unknown device {self.device!r}: use auto, cpu, cuda or cuda:N")
        if self.deterministic and self.device not in ("auto", "cpu"):
            raise InputError(
                f"deterministic training runs on the CPU: device {self.device!r} cannot be meant"
            )
