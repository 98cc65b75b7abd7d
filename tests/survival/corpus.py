"""Files to index, and what becomes of them: written from a seed, so that runs can be compared."""

from __future__ import annotations

import json
import random
from pathlib import Path

_WORDS = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("a", "en", "ilo", "or", "umi", "ast", "ey")]
WORDS = [f"{a}{b}" for a in _WORDS for b in _WORDS[::4]]
QUERIES = tuple(" ".join(random.Random(seed).choices(WORDS, k=4)) for seed in range(4))


def words(seed: object, count: int) -> str:
    """`count` words in sentences of ten; the same for the same seed."""
    drawn = random.Random(str(seed)).choices(WORDS, k=count)
    lines = (" ".join(drawn[at : at + 10]).capitalize() for at in range(0, count, 10))
    return ".\n".join(lines) + ".\n"


def write_corpus(folder: Path, *, files: int = 80, rows: int = 400) -> None:
    """Text and Markdown files in two folders, and one file of many documents."""
    for number in range(files):
        path = folder / ("a", "b")[number % 2] / f"{number:03d}.{('txt', 'md')[number % 2]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# Page {number}\n\n{words(number, 300)}")
    _write_rows(folder / "rows.jsonl", dict.fromkeys(range(rows), "row"))


def change_corpus(folder: Path) -> None:
    """Some files and rows changed, some removed, some added, one folder renamed, one untouched."""
    names = sorted(path for path in (folder / "a").iterdir())
    for path in names[::4]:
        path.unlink()
    for path in names[1::4]:
        path.write_text(path.read_text() + words(f"more {path.name}", 60))
    for number in range(len(names) // 2):
        (folder / "a" / f"new{number}.txt").write_text(words(f"new {number}", 300))
    (folder / "b").rename(folder / "c")
    rows = len((folder / "rows.jsonl").read_text().splitlines())
    kept = {number: "row" for number in range(rows + rows // 4) if number % 5}
    _write_rows(folder / "rows.jsonl", kept | dict.fromkeys(range(1, rows, 5), "changed"))


def _write_rows(path: Path, kinds: dict[int, str]) -> None:
    lines = (
        json.dumps({"_id": f"row-{number}", "text": words(f"{kind} {number}", 80)})
        for number, kind in kinds.items()
    )
    path.write_text("\n".join(lines) + "\n")
