"""The state of an interrupted training on disk: safetensors and JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.errors import StorageError

if TYPE_CHECKING:
    import torch

_STATE, _TENSORS = "state.json", "state-{}.safetensors"
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
        """The state takes the place of the one before. StorageError where it cannot be written."""
        from safetensors.torch import save_file

        tensors = {f"weight.{name}": weight.detach() for name, weight in weights.items()}
        for name, weight in weights.items():
            for moment, value in optimizer.state.get(weight, {}).items():
                tensors[f"{moment}.{name}"] = value
        file = self.folder / _TENSORS.format(progressed.step)
        told = {"run": self.run, "step": progressed.step, "losses": progressed.losses}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file({name: value.contiguous() for name, value in tensors.items()}, file)
            unfinished = self.folder / f"{_STATE}.tmp"
            unfinished.write_text(json.dumps(told), encoding="utf-8")
            unfinished.replace(self.folder / _STATE)
            for other in self.folder.glob(_TENSORS.format("*")):
                if other != file:
                    other.unlink()
        except OSError as error:
            raise StorageError(
                f"cannot write the checkpoint {self.folder}: {error.strerror or error}"
            ) from None

    def restore(
        self, weights: Mapping[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer
    ) -> Progressed:
        """Puts the saved state in place. One of another run, or a damaged one, counts as none."""
        found = self._read()
        if found is None:
            return Progressed()
        told, tensors = found
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

    def _read(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            told = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
            if told["run"] != self.run:
                return None
            return told, load_file(self.folder / _TENSORS.format(told["step"]))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            return None
