"""Training byte-level BPE on wikipedia_en and encoding it, against `tokenizers` called directly.

Each side reads the same file of JSON lines, learns 30,000 merges and encodes all texts. Peak memory
is that of training on the articles once and three times over: the vocabulary stays the same.
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
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from common import Bar, data_folder, parser, report, tell

ARTICLES = 34_043
MERGES = 30_000
MOST_OVER = 1.05
MOST_GROWTH_MB = 50
REPEATED = 3
_SPECIAL = ["<|endoftext|>", "<|pad|>"]
_BATCH = 1000


def main() -> int:
    options = _options()
    if options.child:
        side, file, times = options.child
        print(json.dumps(_SIDES[side](Path(file), int(times), options.merges)))
        return 0
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in _SIDES}
    with tempfile.TemporaryDirectory(prefix="embedsearch-") as scratch:
        file = Path(scratch) / "articles.jsonl"
        _unpack(file, options.limit)
        for _ in range(options.runs):
            for side, found in runs.items():
                found.append(_run(side, file, 1, options.merges))
                tell(f"{side}: {found[-1]}")
        thrice = _run("embedsearch", file, REPEATED, options.merges)
        tell(f"embedsearch, the corpus {REPEATED} times: {thrice}")
    results: dict[str, Any] = {
        side: {
            "train_seconds": median(run["train_seconds"] for run in found),
            "encode_seconds": median(run["encode_seconds"] for run in found),
            "train_peak_mb": median(run["train_peak_mb"] for run in found),
            "tokens": found[0]["tokens"],
        }
        for side, found in runs.items()
    }
    ours, theirs = results["embedsearch"], results["tokenizers"]
    growth = thrice["train_peak_mb"] - ours["train_peak_mb"]
    results["ratio"] = {
        stage: ours[f"{stage}_seconds"] / theirs[f"{stage}_seconds"]
        for stage in ("train", "encode")
    }
    results["memory"] = {"growth_mb": growth, "corpus_times": REPEATED}
    results["same_tokens"] = ours["tokens"] == theirs["tokens"]
    bars = [
        Bar(claim=f"{stage}: time against tokenizers", value=value, limit=MOST_OVER, at_most=True)
        for stage, value in results["ratio"].items()
    ]
    claim = f"growth of peak memory in MB with a corpus {REPEATED} times as large"
    bars.append(Bar(claim=claim, value=growth, limit=MOST_GROWTH_MB, at_most=True))
    return report("tokenizer_training", options, results, bars)


def _options() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.add_argument("--limit", type=int, default=ARTICLES, help="how many articles")
    options.add_argument("--merges", type=int, default=MERGES, help="how many merges are learned")
    options.add_argument("--runs", type=int, default=3, help="of each side; medians are compared")
    options.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    return options.parse_args()


def _unpack(file: Path, articles: int) -> None:
    archive = data_folder() / "wikipedia_en" / "articles.jsonl.xz"
    with lzma.open(archive, "rb") as packed, file.open("wb") as out:
        out.writelines(islice(packed, articles))


def _run(side: str, file: Path, times: int, merges: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", side, str(file), str(times)]
    command += ["--merges", str(merges)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=os.environ)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _texts(file: Path, times: int) -> Iterator[str]:
    for _ in range(times):
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)["text"]


def _batches(file: Path) -> Iterator[list[str]]:
    texts = _texts(file, 1)
    while batch := list(islice(texts, _BATCH)):
        yield batch


def _peak_mb() -> float:
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _embedsearch(file: Path, times: int, merges: int) -> dict[str, Any]:
    from embedsearch.text.tokenizer import Tokenizer

    began = time.perf_counter()
    size = merges + 256 + len(_SPECIAL)
    tokenizer = Tokenizer.train(_texts(file, times), kind="byte-bpe", vocab_size=size)
    trained, peak = time.perf_counter(), _peak_mb()
    tokens = sum(len(ids) for batch in _batches(file) for ids in tokenizer.encode_ids(batch))
    return {
        "train_seconds": trained - began,
        "encode_seconds": time.perf_counter() - trained,
        "train_peak_mb": peak,
        "tokens": tokens,
    }


def _directly(file: Path, times: int, merges: int) -> dict[str, Any]:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    began = time.perf_counter()
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=merges + 256 + len(_SPECIAL),
        min_frequency=2,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(_texts(file, times), trainer)
    trained, peak = time.perf_counter(), _peak_mb()
    tokens = sum(
        len(encoding.ids)
        for batch in _batches(file)
        for encoding in backend.encode_batch_fast(batch)
    )
    return {
        "train_seconds": trained - began,
        "encode_seconds": time.perf_counter() - trained,
        "train_peak_mb": peak,
        "tokens": tokens,
    }


_SIDES = {"embedsearch": _embedsearch, "tokenizers": _directly}


if __name__ == "__main__":
    sys.exit(main())
