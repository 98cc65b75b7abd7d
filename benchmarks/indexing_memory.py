"""Peak memory of indexing all of wikipedia_en, against a tenth of it.

Encoders, as the bundled model takes long:
  bundled  all-MiniLM-L6-v2, by the command line
  random   its tokenizer, so the same chunks, with random vectors of its 384 dimensions
  tiny     a made-up model of 32 dimensions, by the command line: what torch itself needs is in it
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import CLI, Bar, data_folder, parser, report, tell

if TYPE_CHECKING:
    from embedsearch.types import Encoder, TokenCounter, Vectors

ARTICLES = 34_043
MOST_GROWTH_MB = 300


def main() -> int:
    options = _options()
    if options.child:
        return _index_with_random_vectors(*options.child)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="embedsearch-") as scratch:
        for name, articles in (("tenth", options.limit // 10), ("whole", options.limit)):
            file = Path(scratch) / f"{name}.jsonl"
            _unpack(data_folder() / "wikipedia_en" / "articles.jsonl.xz", file, articles)
            command = _command(options.encoder, file, Path(scratch))
            results[name] = {"articles": articles, **_measure(command)}
            tell(f"{name}: {results[name]}")
    growth = results["whole"]["peak_mb"] - results["tenth"]["peak_mb"]
    results["growth"] = {"mb": growth, "encoder": options.encoder}
    claim = (
        f"growth of peak memory in MB from {options.limit // 10:,} to {options.limit:,} articles"
    )
    bar = Bar(
        claim=f"{claim} ({options.encoder} encoder)",
        value=growth,
        limit=MOST_GROWTH_MB,
        at_most=True,
    )
    return report("indexing_memory", options, results, [bar])


def _options() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.add_argument("--encoder", choices=("bundled", "random", "tiny"), default="bundled")
    options.add_argument("--limit", type=int, default=ARTICLES, help="articles that are the whole")
    options.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    return options.parse_args()


def _unpack(archive: Path, file: Path, lines: int) -> None:
    with (
        lzma.open(archive, "rt", encoding="utf-8") as packed,
        file.open("w", encoding="utf-8") as out,
    ):
        out.writelines(islice(packed, lines))


def _command(encoder: str, file: Path, scratch: Path) -> list[str]:
    db = str(scratch / f"{file.stem}.db")
    if encoder == "random":
        return [sys.executable, __file__, "--child", str(file), db]
    command = [*CLI, "index", str(file), "--db", db, "--json"]
    if encoder == "tiny":
        from tests.encoder.tiny import make_tiny_model

        model = make_tiny_model(scratch / "tiny", max_seq_length=256)
        command += ["--model", str(model)]
    return command


def _measure(command: Sequence[str]) -> dict[str, Any]:
    """Runs a command that prints a report. Linux counts what this process holds at the fork as the
    child's, so nothing large may be imported here."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"failed with {process.returncode}: {' '.join(command)}")
        output.seek(0)
        found = json.load(output)
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "peak_mb": usage.ru_maxrss * unit / 1e6,
        "chunks": found["chunks"],
        "seconds": time.perf_counter() - began,
    }


def _index_with_random_vectors(file: str, db: str) -> int:
    import numpy as np

    from embedsearch.collection.collection import Collection
    from embedsearch.encoder import SentenceEncoder

    random = np.random.default_rng(0)

    class Random:
        """The bundled model with its tokenizer, but for the vectors."""

        def __init__(self, model: Encoder) -> None:
            self.name, self.engine, self.dim = "random", "random", model.dim
            self.fingerprint = "0" * 64
            self.max_tokens = model.max_tokens
            self.tokens: TokenCounter = model.tokens

        def encode_query(self, texts: Sequence[str]) -> Vectors:
            vectors = random.standard_normal((len(texts), self.dim), dtype=np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            return vectors

        encode_document = encode_query

    model = Random(SentenceEncoder.load("all-MiniLM-L6-v2"))
    with Collection.open(db, model=model) as collection:
        done = collection.sync([file])
    print(json.dumps({"chunks": done.chunks}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
