"""A recommender in a folder.

config.json              the settings, and which encoder the map belongs to
catalogue.json           what is known of songs
vectors/                 see `word2vec/folder.py`
playlists.safetensors    the playlists learned from, as rows of the vectors
playlists.json           what each of them is called
text_map.safetensors     the map from texts, where there is one
tuning.json              what was tried, where settings were looked for

config.json has the stamp of every other file that is loaded, a checksum of its content. A saving
that breaks off between two files leaves a folder that is refused.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedsearch.errors import IndexFileError, NotFoundError
from embedsearch.songs.catalogue import Catalogue, Song
from embedsearch.songs.coldstart import TextMap
from embedsearch.songs.config import SongConfig
from embedsearch.songs.cooccurrence import Cooccurrence
from embedsearch.types import Encoder
from embedsearch.word2vec.folder import (
    block_writer,
    checksum,
    folder_files,
    keys_digest,
    load_folder,
    matrix_writer,
    read_matrix,
    replace_files,
    saving,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedsearch.songs.recommender import SongRecommender
    from embedsearch.word2vec.folder import Write

CONFIG, CATALOGUE, VECTORS = "config.json", "catalogue.json", "vectors"
PLAYLISTS, NAMES = "playlists.safetensors", "playlists.json"
TEXT_MAP = "text_map.safetensors"
TUNING = "tuning.json"
FORMAT = 1
_STAMPED = ("vectors", "playlists", "names", "catalogue")
_MAX_BYTES = 4 << 30


def save_recommender(found: SongRecommender, folder: Path) -> None:
    """See `SongRecommender.save`."""
    with saving(folder):
        write_recommender(found, folder)


def write_recommender(
    found: SongRecommender, folder: Path, tuning: dict[str, Any] | None = None
) -> None:
    """Writes into a folder whose lock the caller holds. `tuning` is what tuning.json tells of it,
    None for nothing.

    Nothing of what was in the folder is touched until all is written beside it. config.json comes
    last: without the one that fits there is no recommender. Raises OSError.
    """
    files = _files(found, folder, tuning)
    unused = [path for path in (folder / TEXT_MAP, folder / TUNING) if path not in files]
    (folder / VECTORS).mkdir(exist_ok=True)
    replace_files(files, unused)


def _files(
    found: SongRecommender, folder: Path, tuning: dict[str, Any] | None
) -> dict[Path, Write]:
    """All files in the order in which they take their places."""
    from safetensors.numpy import save

    files, vectors = folder_files(found.vectors, folder / VECTORS)
    arrays: dict[str, NDArray[Any]] = {
        "songs": found.playlists.songs,
        "ends": found.playlists.ends,
    }
    stamp = checksum(array.data for array in arrays.values())
    digest = keys_digest(found.vectors.keys)
    playlists = save(arrays, {"keys": digest, "stamp": stamp})
    catalogue = _json([asdict(song) for song in found.catalogue.values()])
    names = _json(list(found.playlist_names))
    files[folder / PLAYLISTS] = block_writer([playlists])
    files[folder / NAMES] = block_writer([names])
    files[folder / CATALOGUE] = block_writer([catalogue])
    stamps = {
        "vectors": vectors,
        "playlists": stamp,
        "names": checksum([names]),
        "catalogue": checksum([catalogue]),
    }
    settings = {
        "format": FORMAT,
        "songs": asdict(found.config),
        "keys": digest,
        "stamps": stamps,
        "text_map": None,
    }
    if found.text_map is not None:
        weights, fingerprint = found.text_map.weights, found.text_map.fingerprint
        stamps["text_map"] = checksum([np.ascontiguousarray(weights).data])
        files[folder / TEXT_MAP] = matrix_writer(
            "weights", weights, fingerprint, stamps["text_map"]
        )
        settings["text_map"] = {
            "encoder": found.text_map.encoder,
            "fingerprint": fingerprint,
            "rows": len(weights),
        }
    if tuning is not None:
        files[folder / TUNING] = block_writer([_json(tuning)])
    files[folder / CONFIG] = block_writer([_json(settings)])
    return files


def load_recommender(folder: Path, encoder: Encoder | None) -> SongRecommender:
    """See `SongRecommender.load`."""
    from embedsearch.songs.recommender import SongRecommender

    path = folder / CONFIG
    try:
        text = _read(path)
    except NotFoundError:
        raise NotFoundError(
            f"no recommender in {str(folder)!r}: {CONFIG} is missing; `embedsearch train songs` "
            "makes such a folder"
        ) from None
    settings = _parse(path, text)
    try:
        if settings["format"] != FORMAT:
            raise ValueError(f"format {settings['format']!r} is of another version")
        config = SongConfig(**settings["songs"])
        digest, mapped = str(settings["keys"]), settings["text_map"]
        stamps = {name: str(settings["stamps"][name]) for name in _STAMPED}
        text_map = _read_map(folder, config, mapped, settings["stamps"]) if mapped else None
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, IndexFileError):
            raise
        raise IndexFileError(f"{path} is damaged or no recommender's: {error}") from None
    vectors = load_folder(folder / VECTORS, stamps["vectors"])
    if keys_digest(vectors.keys) != digest or vectors.output is None:
        raise _stranger(folder / VECTORS)
    together = _read_playlists(folder / PLAYLISTS, len(vectors), digest, stamps["playlists"])
    names = _stamped(folder / NAMES, stamps["names"])
    catalogue = Catalogue(_songs(folder / CATALOGUE, stamps["catalogue"]))
    return SongRecommender(config, vectors, together, names, catalogue, text_map, encoder)


def _read_map(folder: Path, config: SongConfig, settings: dict[str, Any], stamps: Any) -> TextMap:
    shape = (int(settings["rows"]), 2 * config.vector_size)
    fingerprint = str(settings["fingerprint"])
    stamp = str(stamps["text_map"])
    weights = read_matrix(folder / TEXT_MAP, "weights", shape, fingerprint, stamp)
    return TextMap(weights=weights, encoder=str(settings["encoder"]), fingerprint=fingerprint)


def _read_playlists(path: Path, count: int, digest: str, stamp: str) -> Cooccurrence:
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb"):  # whose errors tell the reason, safe_open says that it is not there
            pass
        with safe_open(path, "np") as file:
            marks = file.metadata() or {}
            if (marks.get("keys"), marks.get("stamp")) != (digest, stamp):
                raise _stranger(path)
            songs, ends = file.get_tensor("songs"), file.get_tensor("ends")
    except FileNotFoundError:
        raise NotFoundError(f"{path} is missing") from None
    except OSError as error:
        raise IndexFileError(f"cannot read {path}: {error.strerror or error}") from None
    except SafetensorError as error:
        raise IndexFileError(f"{path} is damaged: {error}") from None
    sound = songs.dtype == np.int32 and ends.dtype == np.int64 and songs.ndim == ends.ndim == 1
    sound = sound and len(ends) > 0 and bool((np.diff(ends, prepend=0) > 0).all())
    if not sound or ends[-1] != len(songs) or songs.min() < 0 or songs.max() >= count:
        raise IndexFileError(f"{path} is damaged: playlists and songs do not agree")
    return Cooccurrence(songs, ends, count)


def _stamped(path: Path, stamp: str) -> Any:
    text = _read(path)
    found = _parse(path, text)
    if checksum([text]) != stamp:
        raise _stranger(path)
    return found


def _songs(path: Path, stamp: str) -> list[Song]:
    entries = _stamped(path, stamp)
    try:
        return [Song(**{**entry, "tags": tuple(entry["tags"])}) for entry in entries]
    except (KeyError, TypeError) as error:
        raise IndexFileError(f"{path} is damaged: {error!r}") from None


def _stranger(path: Path) -> IndexFileError:
    return IndexFileError(
        f"{path} does not belong to {CONFIG} beside it: a saving was interrupted, or goes on just "
        "now; load again, else train again"
    )


def _json(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, indent=None if isinstance(value, list) else 2)
    return f"{text}\n".encode()


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise IndexFileError(f"{path} is damaged: too large")
        with path.open("rb") as file:
            return file.read()
    except FileNotFoundError:
        raise NotFoundError(f"{path} is missing") from None
    except OSError as error:
        raise IndexFileError(f"cannot read {path}: {error.strerror}") from None


def _parse(path: Path, text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise IndexFileError(f"{path} is damaged: {error}") from None
