"""What came of a training."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.encoder.fingerprint import fingerprint_of

if TYPE_CHECKING:
    from embedsearch.encoder.folder import ModelFolder
    from embedsearch.encoder.training.loop import Fit


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """What was made. `metric` names what was measured on the held-out examples; `before` and
    `after` are None where there were none. `best_step` 0 is the base, which nothing bettered.
    """

    output: Path
    fingerprint: str
    base: str
    loss: str
    examples: int
    held_out: int
    steps: int
    best_step: int
    metric: str
    before: float | None
    after: float | None
    final_loss: float | None
    tokens: int
    tokens_per_second: float
    precision: str
    device: str
    ended: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"output": str(self.output)}


def report_of(
    fit: Fit,
    made: ModelFolder,
    output: Path,
    base: str,
    ended: str,
    examples: int,
    held_out: int,
    began: float,
) -> TrainingReport:
    """The report of a training that began at `began`; `made` is what is to stand in `output`."""
    state = fit.state
    return TrainingReport(
        output=output,
        fingerprint=fingerprint_of(made),
        base=base,
        loss=fit.loss,
        examples=examples,
        held_out=held_out,
        steps=state.step,
        best_step=state.best_step if fit.judge else state.step,
        metric=fit.judge.held_out.metric if fit.judge else "",
        before=state.measured[0].metric if state.measured else None,
        after=state.best,
        final_loss=state.last_loss,
        tokens=state.tokens,
        tokens_per_second=state.tokens / max(state.seconds, 1e-9),
        precision=fit.embedder.precision,
        device=fit.embedder.device,
        ended=ended,
        seconds=time.perf_counter() - began,
    )
