"""The state of an interrupted training on disk: safetensors and JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.errors import InputError, StorageError
from embedsearch.lock import LOCK_NAME, OWNER_NAME
from embedsearch.tuning.storage import disk_errors, on_disk

if TYPE_CHECKING:
    import torch

_STATE, _TENSORS, UNFINISHED = "state.json", "state-{}.safetensors", "unfinished"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW keeps of every weight."""


@dataclass(frozen=True, kw_only=True)
class Progressed:
    """How far a training is: steps that are done, and sums of loss and tokens for each epoch."""

    step: int = 0
    losses: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A folder with the state of the run that `run` tells by a digest of its settings and data."""

    folder: Path
    run: str

    def save(
        self,
        weights: Mapping[str, torch.nn.Parameter],
        optimizer: torch.optim.Optimizer,
        progressed: Progressed,
    ) -> None:
        """The state takes the place of the one before. StorageError where it cannot be written;
        the one before is still there then."""
        from safetensors.torch import save_file

        tensors = {f"weight.{name}": weight.detach() for name, weight in weights.items()}
        for name, weight in weights.items():
            for moment, value in optimizer.state.get(weight, {}).items():
                tensors[f"{moment}.{name}"] = value
        file = self.folder / _TENSORS.format(progressed.step)
        told = {"run": self.run, "step": progressed.step, "losses": progressed.losses}
        with written(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            unfinished = self.folder / UNFINISHED
            save_file({name: value.contiguous() for name, value in tensors.items()}, unfinished)
            on_disk(unfinished)
            unfinished.replace(file)
            unfinished.write_text(json.dumps(told), encoding="utf-8")
            on_disk(unfinished)
            unfinished.replace(self.folder / _STATE)
            for other in self.folder.glob(_TENSORS.format("*")):
                if other != file:
                    other.unlink()

    def restore(
        self, weights: Mapping[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer
    ) -> Progressed:
        """Puts the saved state in place, if there is one.

        InputError where another run left one, or it is damaged: it may be the work of days.
        """
        if not (self.folder / _STATE).is_file():
            return Progressed()
        told, tensors = self._read()
        import torch

        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(tensors[f"weight.{name}"])
                moments = {m: tensors.get(f"{m}.{name}") for m in _MOMENTS}
                if all(value is not None for value in moments.values()):
                    optimizer.state[weight] = {
                        m: value.clone() if m == "step" else value.to(weight.device)
                        for m, value in moments.items()
                        if value is not None
                    }
        losses = tuple((float(loss), int(tokens)) for loss, tokens in told["losses"])
        return Progressed(step=int(told["step"]), losses=losses)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            told = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
            run = told["run"]
            tensors = load_file(self.folder / _TENSORS.format(told["step"]))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise InputError(
                f"{self.folder} holds a damaged training state ({error}): delete it to start anew"
            ) from None
        if run != self.run:
            raise InputError(
                f"{self.folder} holds the unfinished training of other pairs, settings or another "
                "base: name another output folder, or delete it to start anew"
            )
        return told, tensors


def is_begun(folder: Path) -> bool:
    """Whether a folder is one of `Checkpoint`: with a state, or alone where it is, before the
    first. That of a training which is done has nothing in it but a lock."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()} - {LOCK_NAME, OWNER_NAME}
    alone = [path.name for path in folder.parent.iterdir()] == [folder.name]
    return (alone or bool(names)) and all(
        name in (_STATE, UNFINISHED) or fnmatch(name, _TENSORS.format("*")) for name in names
    )


@contextmanager
def written(folder: Path) -> Iterator[None]:
    """StorageError where something cannot be written to a folder; what is unfinished in it goes
    then, so that it takes no room."""
    try:
        with disk_errors():
            yield
    except OSError as error:
        unfinished = folder / UNFINISHED
        shutil.rmtree(unfinished, ignore_errors=True)
        if unfinished.is_file():
            unfinished.unlink(missing_ok=True)
        raise StorageError(f"cannot write to {folder}: {error.strerror or error}") from None
