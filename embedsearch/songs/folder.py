"""A recommender in a folder.

config.json              the settings, and which encoder the map belongs to
catalogue.json           what is known of songs
vectors/                 see `word2vec/folder.py`
playlists.safetensors    the playlists learned from, as rows of the vectors
text_map.safetensors     the map from texts, where there is one
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedsearch.errors import IndexFileError, InputError, NotFoundError, StorageError
from embedsearch.songs.catalogue import Catalogue, Song
from embedsearch.songs.coldstart import TextMap
from embedsearch.songs.config import SongConfig
from embedsearch.songs.cooccurrence import Cooccurrence
from embedsearch.types import Encoder
from embedsearch.word2vec import KeyedVectors
from embedsearch.word2vec.folder import keys_digest, read_matrix, replace_file, write_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.songs.recommender import SongRecommender

CONFIG, CATALOGUE, VECTORS = "config.json", "catalogue.json", "vectors"
PLAYLISTS, TEXT_MAP = "playlists.safetensors", "text_map.safetensors"
FORMAT = 1
_MAX_BYTES = 4 << 30


def save_recommender(found: SongRecommender, folder: Path) -> None:
    """See `SongRecommender.save`. config.json comes last: without it there is no recommender."""
    from safetensors.numpy import save_file

    digest = keys_digest(found.vectors.keys)
    settings: dict[str, Any] = {
        "format": FORMAT,
        "songs": asdict(found.config),
        "keys": digest,
        "text_map": None,
    }
    together: dict[str, NDArray[Any]] = {
        "songs": found.playlists.songs,
        "ends": found.playlists.ends,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).unlink(missing_ok=True)
        found.vectors.save(folder / VECTORS)
        replace_file(
            folder / PLAYLISTS, lambda partial: save_file(together, partial, {"keys": digest})
        )
        songs = [asdict(song) for song in found.catalogue.values()]
        _write_json(folder / CATALOGUE, songs)
        if found.text_map is None:
            (folder / TEXT_MAP).unlink(missing_ok=True)
        else:
            weights = found.text_map.weights
            write_matrix(folder / TEXT_MAP, "weights", weights, found.text_map.fingerprint)
            settings["text_map"] = {
                "encoder": found.text_map.encoder,
                "fingerprint": found.text_map.fingerprint,
                "rows": len(weights),
            }
        _write_json(folder / CONFIG, settings)
    except OSError as error:
        raise StorageError(f"cannot write {folder}: {error.strerror or error}") from None


def load_recommender(folder: Path, encoder: Encoder | None) -> SongRecommender:
    """See `SongRecommender.load`."""
    from embedsearch.songs.recommender import SongRecommender

    path = folder / CONFIG
    if not path.is_file():
        raise NotFoundError(
            f"no recommender in {str(folder)!r}: {CONFIG} is missing; `embedsearch train songs` "
            "makes such a folder"
        )
    settings = _read_json(path)
    try:
        if settings["format"] != FORMAT:
            raise ValueError(f"format {settings['format']!r} is of another version")
        config = SongConfig(**settings["songs"])
        digest, mapped = str(settings["keys"]), settings["text_map"]
        text_map = _read_map(folder, config, mapped) if mapped else None
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, IndexFileError):
            raise
        raise IndexFileError(f"{path} is damaged or no recommender's: {error}") from None
    vectors = KeyedVectors.load(folder / VECTORS)
    if keys_digest(vectors.keys) != digest or vectors.output is None:
        raise IndexFileError(f"{folder / VECTORS} does not belong to {path}: train again")
    together = _read_playlists(folder / PLAYLISTS, len(vectors), digest)
    catalogue = Catalogue(_songs(folder / CATALOGUE))
    return SongRecommender(config, vectors, together, catalogue, text_map, encoder)


def _read_map(folder: Path, config: SongConfig, settings: dict[str, Any]) -> TextMap:
    shape = (int(settings["rows"]), 2 * config.vector_size)
    weights = read_matrix(folder / TEXT_MAP, "weights", shape, settings["fingerprint"])
    return TextMap(
        weights=weights,
        encoder=str(settings["encoder"]),
        fingerprint=str(settings["fingerprint"]),
    )


def _read_playlists(path: Path, count: int, digest: str) -> Cooccurrence:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise NotFoundError(f"{path} is missing")
    try:
        with safe_open(path, "np") as file:
            if (file.metadata() or {}).get("keys") != digest:
                raise IndexFileError(f"{path} does not belong to {CONFIG}: train again")
            songs, ends = file.get_tensor("songs"), file.get_tensor("ends")
    except (SafetensorError, OSError) as error:
        raise IndexFileError(f"{path} is damaged: {error}") from None
    sound = songs.dtype == np.int32 and ends.dtype == np.int64 and songs.ndim == ends.ndim == 1
    sound = sound and len(ends) > 0 and bool((np.diff(ends, prepend=0) > 0).all())
    if not sound or ends[-1] != len(songs) or songs.min() < 0 or songs.max() >= count:
        raise IndexFileError(f"{path} is damaged: playlists and songs do not agree")
    return Cooccurrence(songs, ends, count)


def _songs(path: Path) -> list[Song]:
    if not path.is_file():
        raise NotFoundError(f"{path} is missing")
    try:
        return [Song(**{**entry, "tags": tuple(entry["tags"])}) for entry in _read_json(path)]
    except (KeyError, TypeError) as error:
        raise IndexFileError(f"{path} is damaged: {error!r}") from None


def _write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=None if isinstance(value, list) else 2)
    replace_file(path, lambda partial: partial.write_text(text + "\n", encoding="utf-8"))


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError("too large")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise IndexFileError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise IndexFileError(f"{path} is damaged: {error}") from None
