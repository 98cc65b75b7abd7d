"""From files to a recommender in a folder."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedsearch.errors import InputError, StorageError
from embedsearch.songs.catalogue import Catalogue
from embedsearch.songs.config import SongConfig
from embedsearch.songs.folder import write_recommender
from embedsearch.songs.playlists import Playlists
from embedsearch.songs.reading import read_playlists
from embedsearch.songs.recommender import SongRecommender
from embedsearch.songs.song_files import read_songs
from embedsearch.songs.trials import remove_trials
from embedsearch.songs.tuning import tune
from embedsearch.text.paths import typed_path
from embedsearch.tuning.folders import only_training
from embedsearch.types import SILENT, Encoder, Progress
from embedsearch.word2vec.checkpoint import remove_checkpoint

CHECKPOINT, _TUNING = "checkpoint", "tuning"


@dataclass(frozen=True, kw_only=True)
class SongsReport:
    """What a training made.

    `songs` are those that were learned, `titles` those of them that have one. `skipped` counts what
    the file had that teaches nothing.
    """

    out: str
    playlists: int
    songs: int
    titles: int
    vector_size: int
    skipped: dict[str, int]
    losses: tuple[float, ...]
    tuning: dict[str, Any] | None
    seconds: float


def train_songs(
    playlists: str | Path,
    out: str | Path,
    config: SongConfig | None = None,
    *,
    songs: str | Path | None = None,
    albums: str | Path | None = None,
    tags: str | Path | None = None,
    encoder: Encoder | None = None,
    tune_seconds: float | None = None,
    progress: Progress = SILENT,
) -> SongsReport:
    """Learns from a file of playlists and writes a folder for `SongRecommender.load`.

    Run again after an interruption, it goes on after the last whole epoch, while it looks for
    better settings too. Until all is written, what was in the folder stays as it is.

    Args:
        playlists: see `read_playlists`.
        songs, albums, tags: see `read_songs`.
        encoder: for songs in no playlist and descriptions; used where anything is known of a song
            that is learned.
        tune_seconds: look for better settings so long first, see `tune`; what was found is written
            to `tuning.json`.

    Raises InputError where `songs` has none of the playlists' songs, LockedError where another
    process trains into the folder, StorageError, and as `read_playlists`, `read_songs`,
    `SongRecommender.fit`.
    """
    began, out = time.perf_counter(), typed_path(out)
    config, tuning = config or SongConfig(), None
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: --out names a folder")
    if songs is None and (albums is not None or tags is not None):
        raise InputError("albums and tags are those of songs: give the file of songs too")
    with only_training(out):
        known = Catalogue()
        if songs is not None:
            known = read_songs(songs, albums=albums, tags=tags, progress=progress)
        given = read_playlists(playlists, progress=progress)
        if songs is not None:
            _check_songs(Path(songs), known, given)
        described = Catalogue([*known.values(), *given.songs.values()])
        if tune_seconds is not None:
            found = tune(
                given.lists,
                config,
                seconds=tune_seconds,
                songs=described,
                checkpoint=out / CHECKPOINT / _TUNING,
                progress=progress,
            )
            config, tuning = found.chosen.config, found.as_json()
        reads = _are_described(given, described, config.min_count)
        recommender = SongRecommender.fit(
            given,
            config,
            songs=known,
            encoder=encoder if reads else None,
            checkpoint=out / CHECKPOINT,
            progress=progress,
        )
        _write(recommender, out, tuning)
    return SongsReport(
        out=str(out),
        playlists=len(recommender.playlists),
        songs=len(recommender),
        titles=sum(bool(described.get_song(song).title) for song in recommender.vectors.keys),
        vector_size=recommender.vectors.vector_size,
        skipped=given.skipped,
        losses=recommender.vectors.losses,
        tuning=tuning,
        seconds=time.perf_counter() - began,
    )


def _check_songs(path: Path, known: Catalogue, given: Playlists) -> None:
    """Better known before the training than after it."""
    if not any(song in known for each in given for song in each):
        theirs, ours = next(iter(known)), given.lists[0][0]
        raise InputError(
            f"none of the playlists' songs is in {path}: the playlists have ids such as {ours!r}, "
            f"the file such as {theirs!r}"
        )


def _are_described(given: Playlists, described: Catalogue, min_count: int) -> bool:
    """Whether anything is known of a song that is learned."""
    counts = Counter(song for each in given for song in each)
    learned = (song for song, count in counts.items() if count >= min_count)
    return any(described.get_song(song).text for song in learned)


def _write(recommender: SongRecommender, out: Path, tuning: dict[str, Any] | None) -> None:
    """The folder, and then no checkpoint any more."""
    try:
        write_recommender(recommender, out, tuning)
    except OSError as error:
        raise StorageError(
            f"cannot write {out}: {error.strerror or error}; the same command goes on from "
            f"{out / CHECKPOINT}"
        ) from None
    remove_trials(out / CHECKPOINT / _TUNING)
    remove_checkpoint(out / CHECKPOINT)
