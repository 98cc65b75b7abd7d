"""What `train encoder` did, for people and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from embedsearch.cli.output import print_json, remark
from embedsearch.cli.terminal import plain
from embedsearch.encoder.training.report import TrainingReport
from embedsearch.finetuning.closed_loop import LoopReport
from embedsearch.finetuning.promotion import Trial
from embedsearch.text.words import counted


def print_training(report: LoopReport, db: Path, as_json: bool) -> None:
    """What each step of `train encoder` did; `db` is the collection of the trial."""
    if as_json:
        print_json(report.as_json())
        return
    if report.pairs:
        remark(f"pairs made: {_counts(report.pairs.found)}")
    if report.mining:
        mined = report.mining
        remark(f"negatives: {mined.kept:,} of {mined.candidates:,}; left {_counts(mined.dropped)}")
    _tell_training(report.training)
    if report.trial:
        _tell_trial(report.trial, db)


def _counts(counts: Any) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"


def _tell_training(report: TrainingReport) -> None:
    print(
        f"{plain(str(report.output))}: {counted(report.steps, 'step')} on "
        f"{counted(report.examples, 'example')}, {report.tokens_per_second:,.0f} tokens/s, "
        f"{report.seconds / 60:,.1f} min ({report.ended})"
    )
    if report.before is not None and report.after is not None:
        print(
            f"{report.metric} on {counted(report.held_out, 'held-out example')}: "
            f"{report.before:.4f} → {report.after:.4f}"
            + ("" if report.best_step else "; nothing bettered the base, which is what was saved")
        )


def _tell_trial(trial: Trial, db: Path) -> None:
    for name, found in trial.measures.items():
        print(
            f"{trial.mode} {name:<10} {found.before:.4f} → {found.after:.4f}  "
            f"[{found.low:+.4f}, {found.high:+.4f}]  p = {found.p_value:.4f}  "
            f"({counted(found.questions, 'question')})"
        )
    done = "promoted" if trial.promoted else "not promoted"
    print(f"{done}: {plain(trial.reason)}")
    if trial.promoted:
        remark(f"`embedsearch rollback --db {plain(str(db))}` goes back to the model before")
