"""The settings of a recommender."""

from __future__ import annotations

import math
from dataclasses import dataclass

from embedsearch.errors import InputError
from embedsearch.word2vec.config import Word2VecConfig


@dataclass(frozen=True, kw_only=True)
class SongConfig:
    """How a recommender learns and ranks. The checks raise InputError.

    The defaults were chosen on playlists held back from the training playlists by time; the guide
    `docs/songs.md` has the figures.

    Attributes:
        vector_size, window, negative, epochs, sample, ns_exponent, alpha: of the song vectors, see
            `Word2VecConfig`. A playlist is one context, so the window is as long as playlists are.
        min_count: songs in fewer playlists get no vector of their own, only one by their texts.
        seed_exponent: a seed counts 1 / playlists ** seed_exponent when playlists like it are
            looked for.
        popularity_exponent: a song of those playlists counts 1 / playlists ** popularity_exponent.
        length_exponent: a playlist counts 1 / songs ** length_exponent.
        sharpness: its likeness is taken to this power, so that the nearest playlists decide.
        recency: later seeds count more, the first exp(-recency) times the last.
        neighbours: playlists on which the seeds are regressed, see `songs/regression.py`.
        penalty: of that regression; higher trusts single playlists less.
        regression_weight: of the regression beside shared playlists; every part of a score is
            scaled to 1 for the best song.
        vector_weight: of the vectors beside shared playlists.
        artist_weight: a song's score is multiplied by exp(artist_weight * share), with the share of
            the seeds that are by its artist, where artists are known, see `songs/artists.py`.
        freshness: and by exp(-freshness * share), with the share of all playlists that came after
            the last one of the song: what nobody plays any more comes later.
        novelty: and by exp(-novelty * share), with the share of those after its first one.
        fame: and by playlists ** fame, with those that have its artist: it decides between songs
            that the same playlists have.
        debut_weight: and by (seeds that came up when the song did / those expected by chance) **
            (debut_weight * agreement of the seeds), see `songs/debuts.py`.
        candidates: songs that are ranked at most, those of the highest score by shared playlists.
        seed: of all that is random.
        workers: threads of the training; 0 for one on each core.
        deterministic: the same vectors, bit for bit, for the same seed; one core.
        device: of the training: auto, cpu, cuda or cuda:N.
    """

    vector_size: int = 128
    window: int = 1000
    negative: int = 10
    epochs: int = 20
    sample: float = 0.0
    ns_exponent: float = 0.0
    alpha: float = 0.015
    min_count: int = 1
    seed_exponent: float = 0.5
    popularity_exponent: float = 0.15
    length_exponent: float = 1.0
    sharpness: float = 3.0
    recency: float = 0.5
    neighbours: int = 500
    penalty: float = 200.0
    regression_weight: float = 0.25
    vector_weight: float = 0.45
    artist_weight: float = 1.2
    freshness: float = 0.7
    novelty: float = 0.25
    fame: float = 0.01
    debut_weight: float = 0.3
    candidates: int = 500
    seed: int = 1
    workers: int = 0
    deterministic: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, least, most in (
            ("seed_exponent", 0.0, 2.0),
            ("popularity_exponent", 0.0, 2.0),
            ("length_exponent", 0.0, 2.0),
            ("sharpness", 0.1, 10.0),
            ("recency", 0.0, 20.0),
            ("penalty", 0.001, 1e9),
            ("regression_weight", 0.0, 1000.0),
            ("vector_weight", 0.0, 1000.0),
            ("artist_weight", 0.0, 10.0),
            ("freshness", 0.0, 10.0),
            ("novelty", 0.0, 10.0),
            ("fame", 0.0, 2.0),
            ("debut_weight", 0.0, 10.0),
        ):
            value = getattr(self, name)
            if (
                not isinstance(value, int | float)
                or not math.isfinite(value)
                or not least <= value <= most
            ):
                raise InputError(f"{name} must be a number from {least} to {most}, not {value!r}")
        for name, most in (("candidates", 100_000), ("neighbours", 10_000)):
            count = getattr(self, name)
            if type(count) is not int or not 10 <= count <= most:
                raise InputError(f"{name} must be a whole number from 10 to {most}, not {count!r}")
        self.word2vec()

    def word2vec(self) -> Word2VecConfig:
        """The settings of the training of vectors."""
        return Word2VecConfig(
            vector_size=self.vector_size,
            window=self.window,
            negative=self.negative,
            epochs=self.epochs,
            sample=self.sample,
            ns_exponent=self.ns_exponent,
            alpha=self.alpha,
            min_alpha=min(self.alpha, Word2VecConfig.min_alpha),
            min_count=self.min_count,
            seed=self.seed,
            workers=self.workers,
            deterministic=self.deterministic,
            device=self.device,
        )
