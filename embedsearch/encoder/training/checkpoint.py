"""The state of a training on disk: what is needed to go on as if nothing had happened.

Beside the output folder lies `<output>.training/` with a folder for the last saved step, the
weights that were best so far, and in the end the model until it is whole. A step's folder counts
once its state.json is there; the one before is deleted only then.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from embedsearch.errors import InputError, StorageError
from embedsearch.tuning.storage import disk_errors, on_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    Tensors = Mapping[str, torch.Tensor]

_STATE, _WEIGHTS, _OPTIMIZER, _BEST = (
    "state.json",
    "weights.safetensors",
    "optimizer.safetensors",
    "best.safetensors",
)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A measurement on the held-out examples after `step` steps; `loss` is the mean since the last
    one, None before the first step."""

    step: int
    loss: float | None
    metric: float


@dataclass(kw_only=True)
class State:
    """How far a training is. `scaler` is the state of float16's loss scale."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    last_loss: float | None = None
    best_step: int = 0
    scaler: dict[str, float] = field(default_factory=dict)
    measured: list[Measured] = field(default_factory=list)

    @property
    def best(self) -> float | None:
        """The metric of the best state so far."""
        return next((each.metric for each in self.measured if each.step == self.best_step), None)

    @property
    def without_better(self) -> int:
        """Measurements since the best one."""
        return sum(each.step > self.best_step for each in self.measured)


def state_folder(output: Path) -> Path:
    """Where a training into the folder `output` keeps its state."""
    return output.with_name(f"{output.name}.training")


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Saved states of the run that the digest `run` names, beside the folder `output`."""

    output: Path
    run: str

    @property
    def folder(self) -> Path:
        return state_folder(self.output)

    def last(self) -> Path | None:
        """The folder of the state that was saved last, or None."""
        steps = sorted(self.folder.glob(f"step-*/{_STATE}"))
        return steps[-1].parent if steps else None

    def restore(self) -> tuple[State, dict[str, torch.Tensor], dict[str, torch.Tensor]] | None:
        """The last state with weights and optimizer; None where there is none.

        Raises InputError where another run left one, or it is damaged.
        """
        from safetensors.torch import load_file

        home = self.last()
        if home is None:
            return None
        try:
            saved = json.loads((home / _STATE).read_text(encoding="utf-8"))
            if saved.pop("run") != self.run:
                raise InputError(
                    f"{self.folder} holds the unfinished training of other data, settings or "
                    "another base: name another output folder, or delete it to start anew"
                )
            saved["measured"] = [Measured(**each) for each in saved["measured"]]
            return State(**saved), load_file(home / _WEIGHTS), load_file(home / _OPTIMIZER)
        except InputError:
            raise
        except Exception as error:  # whatever a damaged file makes json or safetensors raise
            raise InputError(
                f"{self.folder} holds a damaged training state ({error}): delete it to start anew"
            ) from None

    def save(self, state: State, weights: Tensors, optimizer: Tensors) -> None:
        """Writes the state, then drops the one before."""
        from safetensors.torch import save_file

        home = self.folder / f"step-{state.step:08d}"
        with _storage(self.folder):
            if home.exists():
                return
            partial = self.folder / f"partial-{state.step:08d}"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            save_file(dict(weights), partial / _WEIGHTS)
            save_file(dict(optimizer), partial / _OPTIMIZER)
            text = json.dumps(asdict(state) | {"run": self.run})
            (partial / _STATE).write_text(text, encoding="utf-8")
            on_disk(partial)
            partial.rename(home)
            for old in self.folder.iterdir():
                if old.is_dir() and old != home:
                    shutil.rmtree(old, ignore_errors=True)

    def save_best(self, weights: Tensors) -> None:
        """Keeps these weights as the best so far."""
        from safetensors.torch import save_file

        with _storage(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = self.folder / f"{_BEST}.partial"
            save_file(dict(weights), partial)
            on_disk(partial)
            partial.replace(self.folder / _BEST)

    def best(self) -> dict[str, torch.Tensor] | None:
        """The weights that `save_best` kept last, or None."""
        from safetensors.torch import load_file

        path = self.folder / _BEST
        return load_file(path) if path.is_file() else None

    def remove(self) -> None:
        """The training is done: nothing of it is kept but the model."""
        shutil.rmtree(self.folder, ignore_errors=True)


def step_of(home: Path) -> int:
    """The step whose state a folder of `Checkpoints` holds."""
    return int(home.name.rpartition("-")[2])


@contextmanager
def _storage(folder: Path) -> Iterator[None]:
    try:
        with disk_errors():
            yield
    except OSError as error:
        raise StorageError(
            f"the state of the training cannot be written to {folder}: {error.strerror or error}"
        ) from None
