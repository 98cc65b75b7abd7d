"""The training card: what the model in a folder was trained on, how, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.text.words import counted

if TYPE_CHECKING:
    from embedsearch.encoder.training.checkpoint import Measured
    from embedsearch.encoder.training.config import EncoderTrainingConfig

CARD_NAME = "training.json"
README_NAME = "README.md"


def write_card(
    folder: Path,
    report: Mapping[str, Any],
    config: EncoderTrainingConfig,
    measured: Sequence[Measured],
    origin: str,
    source: str,
    run: str,
) -> None:
    """Writes `training.json` and a README.md that says the same for people; `run` is the digest of
    all that decided the result. What the disk refuses is an OSError."""
    card = {
        "run": run,
        "base": {"name": report["base"], "fingerprint": origin},
        "data": {
            "source": source,
            "examples": report["examples"],
            "held_out": report["held_out"],
        },
        "settings": asdict(config),
        "result": {key: report[key] for key in _RESULT},
        "measured": [asdict(each) for each in measured],
    }
    text = json.dumps(card, indent=2, ensure_ascii=False)
    (folder / CARD_NAME).write_text(text + "\n", encoding="utf-8")
    (folder / README_NAME).write_text(_readme(card), encoding="utf-8")


_RESULT = (
    "fingerprint",
    "loss",
    "steps",
    "best_step",
    "metric",
    "before",
    "after",
    "final_loss",
    "tokens",
    "tokens_per_second",
    "precision",
    "device",
    "ended",
    "seconds",
)


def _readme(card: Mapping[str, Any]) -> str:
    result, data = card["result"], card["data"]
    lines = [
        "---",
        "library_name: sentence-transformers",
        "---",
        "# A sentence encoder",
        "",
        f"Trained with embedsearch from {card['base']['name']} (fingerprint "
        f"{card['base']['fingerprint'][:16]}) on {counted(data['examples'], 'example')}"
        + (f" from {data['source']}" if data["source"] else "")
        + f", in {counted(result['steps'], 'step')} of the loss `{result['loss']}`.",
        "",
    ]
    if result["metric"]:
        lines += [
            f"On {counted(data['held_out'], 'example')} that it was not trained on, "
            f"{result['metric']} was {result['before']:.4f} before and is {result['after']:.4f} "
            f"(step {result['best_step']}).",
            "",
            f"| step | loss | {result['metric']} |",
            "|---|---|---|",
        ]
        for each in card["measured"]:
            loss = "" if each["loss"] is None else f"{each['loss']:.4f}"
            lines.append(f"| {each['step']} | {loss} | {each['metric']:.4f} |")
        lines.append("")
    lines += [
        "```python",
        "from sentence_transformers import SentenceTransformer",
        "",
        'model = SentenceTransformer("path/to/this/folder")',
        "```",
        "",
        "| setting | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in card["settings"].items()),
        "",
    ]
    return "\n".join(lines)
