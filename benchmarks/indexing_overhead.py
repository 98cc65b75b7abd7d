"""What indexing costs beside the encoder, and what it costs again when nothing has changed.

Each run is a process of its own, as a user starts it. The second part compares `index` with
nothing changed with `status`, run by turns, and sees that it opens no document and imports no
torch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from common import CLI, Bar, data_folder, parser, report, tell

FOLDERS = ("fastapi_docs_en", "peps")
MOST_OVERHEAD, MOST_RATIO = 0.10, 2.0

_WATCHED = """
import json, sys
opened = []
def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        opened.append(arguments[0])
sys.addaudithook(hook)
from embedsearch.cli import main
code = main(json.loads(sys.argv[1]))
heavy = sorted({"torch", "transformers", "sentence_transformers", "faiss"} & set(sys.modules))
print(json.dumps({"code": code, "opened": opened, "imported": heavy}), file=sys.stderr)
"""


def main() -> int:
    options = _options()
    results: dict[str, Any] = {}
    bars: list[Bar] = []
    for name in options.folders:
        with tempfile.TemporaryDirectory(prefix="embedsearch-") as scratch:
            found = _measure(data_folder() / name, Path(scratch) / "db", options)
        results[name] = found
        bars += _bars(name, found)
    return report("indexing_overhead", options, results, bars)


def _options() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.add_argument(
        "--folders", nargs="+", choices=FOLDERS, default=list(FOLDERS), metavar="SET"
    )
    options.add_argument("--model", help="name, folder or hub id; default the bundled model")
    options.add_argument("--runs", type=int, default=9, help="runs of each kind in the second part")
    return options.parse_args()


def _measure(folder: Path, db: Path, options: argparse.Namespace) -> dict[str, Any]:
    model = ["--model", options.model] if options.model else []
    first, process_seconds = _run("index", str(folder), "--db", str(db), *model)
    tell(f"{folder.name}: {first['seconds']:.0f} s, encoder {first['encoder_seconds']:.0f} s")
    again = ["index", str(folder), "--db", str(db), "--json"]
    index_seconds, status_seconds = [], []
    for _ in range(options.runs):
        report_again, seconds = _run(*again[:-1])
        index_seconds.append(seconds)
        status_seconds.append(_run("status", "--db", str(db))[1])
    return {
        "documents": first["added"],
        "chunks": first["chunks"],
        "seconds": first["seconds"],
        "encoder_seconds": first["encoder_seconds"],
        "process_seconds": process_seconds,
        "share_outside_encoder": 1 - first["encoder_seconds"] / first["seconds"],
        "share_outside_encoder_of_process": 1 - first["encoder_seconds"] / process_seconds,
        "unchanged": report_again["unchanged"],
        "index_again_seconds": median(index_seconds),
        "status_seconds": median(status_seconds),
        "ratio": median(index_seconds) / median(status_seconds),
        **_watch(again, folder),
    }


def _run(*arguments: str) -> tuple[dict[str, Any], float]:
    """The JSON that a command prints, and the seconds of the whole process."""
    began = time.perf_counter()
    done = subprocess.run([*CLI, *arguments, "--json"], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout), time.perf_counter() - began


def _watch(arguments: list[str], folder: Path) -> dict[str, Any]:
    """Files of `folder` that Python opens during the command, and libraries that it imports."""
    command = [sys.executable, "-c", _WATCHED, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, check=True)
    seen = json.loads(done.stderr.splitlines()[-1])
    if seen["code"] != 0:
        sys.exit(done.stderr.decode())
    inside = str(folder.resolve()) + "/"
    documents = [path for path in seen["opened"] if str(Path(path).resolve()).startswith(inside)]
    return {"documents_opened": len(documents), "imported": seen["imported"]}


def _bars(name: str, found: dict[str, Any]) -> list[Bar]:
    measured = {
        "share of indexing outside the encoder": (found["share_outside_encoder"], MOST_OVERHEAD),
        "index with nothing changed, in times of status": (found["ratio"], MOST_RATIO),
        "documents opened with nothing changed": (found["documents_opened"], 0),
        "heavy libraries imported with nothing changed": (len(found["imported"]), 0),
    }
    return [
        Bar(claim=f"{name}: {claim}", value=value, limit=limit, at_most=True)
        for claim, (value, limit) in measured.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
