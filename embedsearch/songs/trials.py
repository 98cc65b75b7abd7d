"""What a tuning has tried, on disk too, so that an interrupted one goes on after it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from embedsearch.errors import StorageError
from embedsearch.songs.catalogue import Catalogue
from embedsearch.songs.config import SongConfig
from embedsearch.songs.measures import Measures
from embedsearch.word2vec.checkpoint import remove_checkpoint
from embedsearch.word2vec.folder import block_writer, replace_file

_STATE, _VECTORS = "state.json", "vectors"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Settings that were tried, and how well they continued the playlists held back: `by_vectors`
    is the nDCG of the vectors alone."""

    config: SongConfig
    measures: Measures
    by_vectors: float
    seconds: float

    def changed(self, given: SongConfig) -> dict[str, Any]:
        """The settings that differ."""
        before = asdict(given)
        return {name: v for name, v in asdict(self.config).items() if v != before[name]}


@dataclass(frozen=True, kw_only=True)
class Trials:
    """The trials of each training that was tried, none of one that was refused.

    `seconds` is how long all of it took, `longest` the longest training.
    """

    of_trainings: tuple[tuple[Trial, ...], ...] = ()
    seconds: float = 0.0
    longest: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TrialsFile:
    """A folder with the trials so far, of the tuning that `run` tells by a digest."""

    folder: Path
    run: str
    given: SongConfig

    @classmethod
    def of(
        cls,
        folder: str | Path,
        playlists: Sequence[Sequence[str]],
        songs: Catalogue,
        given: SongConfig,
    ) -> TrialsFile:
        """That of a tuning: same playlists, songs and settings. Nothing is written yet."""
        digest = hashlib.sha256()
        settings = asdict(given) | {"workers": 0}  # which may change when it goes on
        for part in (settings, *playlists, *map(asdict, songs.values())):
            digest.update(json.dumps(part).encode())
        return cls(folder=Path(folder), run=digest.hexdigest(), given=given)

    @property
    def vectors(self) -> Path:
        """Where the training that is being tried keeps its state."""
        return self.folder / _VECTORS

    def exists(self) -> bool:
        """Whether there are trials in the folder, of whatever tuning."""
        return (self.folder / _STATE).is_file()

    def restore(self) -> Trials:
        """Those of another tuning, and damaged ones, count as none."""
        try:
            state = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
            if state["run"] != self.run:
                return Trials()
            return Trials(
                of_trainings=tuple(tuple(map(self._trial, found)) for found in state["trials"]),
                seconds=float(state["seconds"]),
                longest=float(state["longest"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return Trials()

    def save(self, trials: Trials) -> None:
        """The trials so far take the place of those before; their training keeps no state."""
        state = {
            "run": self.run,
            "seconds": trials.seconds,
            "longest": trials.longest,
            "trials": [list(map(self._entry, found)) for found in trials.of_trainings],
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(self.folder / _STATE, block_writer([json.dumps(state).encode()]))
        except OSError as error:
            raise StorageError(
                f"cannot write the checkpoint {self.folder}: {error.strerror or error}"
            ) from None
        remove_checkpoint(self.vectors)

    def _entry(self, trial: Trial) -> dict[str, Any]:
        return {
            "changed": trial.changed(self.given),
            "measures": asdict(trial.measures),
            "by_vectors": trial.by_vectors,
            "seconds": trial.seconds,
        }

    def _trial(self, entry: dict[str, Any]) -> Trial:
        return Trial(
            config=replace(self.given, **entry["changed"]),
            measures=Measures(**entry["measures"]),
            by_vectors=float(entry["by_vectors"]),
            seconds=float(entry["seconds"]),
        )


def remove_trials(folder: str | Path) -> None:
    """Takes away what a tuning keeps in a folder, and the folder where nothing else is in it."""
    remove_checkpoint(Path(folder) / _VECTORS)
    remove_checkpoint(folder)
