"""The state of a training run on disk, so that an interrupted one goes on after its last epoch."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embedsearch.errors import EmbedSearchError, StorageError
from embedsearch.word2vec.config import Word2VecConfig
from embedsearch.word2vec.folder import read_matrix, replace_file, write_matrix

if TYPE_CHECKING:
    from embedsearch.word2vec.corpus import Corpus
    from embedsearch.word2vec.keyed_vectors import KeyedVectors
    from embedsearch.word2vec.matrices import Matrices

_STATE = "state.json"
_OF_NO_ACCOUNT = ("workers",)
"""Settings that may change when a run goes on."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A folder with two matrices and the losses so far, of the run that `run` tells by a digest."""

    folder: Path
    run: str

    @classmethod
    def open(
        cls,
        folder: str | Path,
        corpus: Corpus,
        config: Word2VecConfig,
        start: KeyedVectors | None,
    ) -> Checkpoint:
        """The checkpoint of a run: same text, settings and start. Nothing is written yet."""
        settings = {k: v for k, v in asdict(config).items() if k not in _OF_NO_ACCOUNT}
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        digest.update(corpus.digest().encode())
        if start is not None:
            for matrix in (start.vectors, start.output):
                digest.update(b"" if matrix is None else matrix.tobytes())
        return cls(folder=Path(folder), run=digest.hexdigest())

    def exists(self) -> bool:
        """Whether there is a checkpoint in the folder, of whatever run."""
        return (self.folder / _STATE).is_file()

    def restore(self, matrices: Matrices) -> list[float]:
        """Fills the matrices with the state after the last epoch; the losses, none at the start.

        A checkpoint of another run or a damaged one counts as none.
        """
        try:
            state = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
            losses = [float(loss) for loss in state["losses"]]
            stamp = f"{self.run} {len(losses)}"
            for name in ("syn0", "syn1"):
                matrix = getattr(matrices, name)
                read_matrix(self._file(name, len(losses)), name, matrix.shape, stamp)
            for name in ("syn0", "syn1"):
                matrix = getattr(matrices, name)
                path = self._file(name, len(losses))
                matrix[:] = read_matrix(path, name, matrix.shape, stamp)
        except (OSError, ValueError, KeyError, TypeError, EmbedSearchError):
            return []
        return losses

    def save(self, matrices: Matrices, losses: list[float]) -> None:
        """The state after `len(losses)` epochs takes the place of the one before."""
        stamp = f"{self.run} {len(losses)}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in ("syn0", "syn1"):
                path = self._file(name, len(losses))
                write_matrix(path, name, getattr(matrices, name), stamp)
            text = json.dumps({"losses": losses})
            replace_file(
                self.folder / _STATE, lambda partial: partial.write_text(text, encoding="utf-8")
            )
            for name in ("syn0", "syn1"):
                self._file(name, len(losses) - 1).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot write the checkpoint {self.folder}: {error.strerror or error}"
            ) from None

    def _file(self, name: str, epochs: int) -> Path:
        return self.folder / f"{name}-{epochs}.safetensors"


def remove_checkpoint(folder: str | Path) -> None:
    """Takes away the files of a checkpoint, and the folder where nothing else is in it."""
    folder = Path(folder)
    with contextlib.suppress(OSError):
        for path in (*folder.glob(f"{_STATE}*"), *folder.glob("syn[01]-*.safetensors*")):
            path.unlink(missing_ok=True)
        folder.rmdir()
