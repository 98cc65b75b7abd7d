"""The folder for a model before its training: free, or with what that very training made."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.encoder.fingerprint import fingerprint_of
from embedsearch.encoder.folder import ModelFolder
from embedsearch.encoder.resolve import resolve_model
from embedsearch.encoder.training.card import CARD_NAME
from embedsearch.encoder.training.checkpoint import state_folder
from embedsearch.encoder.training.report import TrainingReport
from embedsearch.errors import EmbedSearchError, InputError, StorageError
from embedsearch.lock import LOCK_NAME, writer_lock
from embedsearch.text.paths import typed_path

if TYPE_CHECKING:
    from embedsearch.encoder.training.config import EncoderTrainingConfig


def check_output(output: str | Path, config: EncoderTrainingConfig, base: str | Path) -> Path:
    """The whole path of a folder that a model may be written to.

    It may be there where its card tells of a training of `base` with these settings: whether that
    was on the same examples is for `finished` to say.

    Raises InputError where it is there otherwise, StorageError where it cannot be made, LockedError
    where another process trains into it.
    """
    target = typed_path(output).resolve()
    state = state_folder(target)
    try:
        if (state / LOCK_NAME).exists():
            with writer_lock(state):
                pass
        if not target.exists():
            home = next(each for each in target.parents if each.exists())
            Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=home)).rmdir()
            return target
    except OSError as error:
        if isinstance(error, EmbedSearchError):
            raise
        raise StorageError(f"{target} cannot be written: {error.strerror or error}") from None
    card = _card(target)
    same = "run" in card and _settings(card.get("settings")) == _settings(asdict(config))
    if not same or _origin(card) != fingerprint_of(ModelFolder.read(resolve_model(base))):
        raise _taken(target)
    return target


def finished(target: Path, run: str) -> TrainingReport:
    """The report of the training that the digest `run` names, whose model is in `target`.

    Raises InputError where the folder holds anything else.
    """
    card = _card(target)
    try:
        report = TrainingReport(
            output=target,
            base=card["base"]["name"],
            examples=card["data"]["examples"],
            held_out=card["data"]["held_out"],
            **card["result"],
        )
        same = card["run"] == run and fingerprint_of(ModelFolder.read(target)) == report.fingerprint
    except (KeyError, TypeError, EmbedSearchError):
        same = False
    if not same:
        raise _taken(target)
    return report


def _taken(target: Path) -> InputError:
    return InputError(
        f"{target} is there already, and not from this very training: name a new folder for the "
        "model"
    )


def _card(folder: Path) -> dict[str, Any]:
    """The training card of the folder; empty where there is none."""
    try:
        card = json.loads((folder / CARD_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return card if isinstance(card, dict) else {}


def _settings(settings: Any) -> Any:
    """What decides the result, as JSON has it."""
    if not isinstance(settings, dict):
        return None
    return json.loads(json.dumps(settings | {"checkpoint_seconds": None}))


def _origin(card: dict[str, Any]) -> Any:
    base = card.get("base")
    return base.get("fingerprint") if isinstance(base, dict) else None
