"""How many tokens a second become vectors, beside sentence-transformers and its own backends.

Passages of scifact's abstracts, cut to about 200 and about 20 words, through the bundled MiniLM.
Each contestant is a process of its own that has loaded its model and encoded once; they take turns,
round by round, on the same texts. Tokens are counted as the model sees them, special tokens among
them. sentence-transformers runs as its documentation shows:
`SentenceTransformer(model, …).encode(texts)`.

Its `onnx` and `openvino` backends need packages that may not go together with this installation:
`--peer-python` names an interpreter that has them.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from common import Bar, data_folder, parser, report, tell

KINDS = {"documents": (200, 300), "sentences": (20, 2000)}
"""Words of a text, and how many texts."""
BARS = {"documents": 3.0, "sentences": 4.0}
BEST_PEER_BAR = 1.15
SAME = 0.999

OURS = ("openvino", "numpy", "torch")
THEIRS = ("default", "bf16")
BACKENDS = ("onnx", "openvino")


def main() -> int:
    options = _options()
    if options.worker:
        return work(options.worker, options.texts, options.model)
    texts = {kind: _texts(*KINDS[kind], options.scale) for kind in KINDS}
    tokens = {kind: _tokens(texts[kind]) for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "texts.json"
        place.write_text(json.dumps(texts), encoding="utf-8")
        found = _compete(options, place)
    results = _results(found, tokens)
    return report("encode", options, results, _bars(results))


def _options() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--scale", type=float, default=1.0, help="times as many texts")
    options.add_argument("--only", nargs="*", metavar="NAME", help="these contestants alone")
    options.add_argument(
        "--peer-python", type=Path, metavar="PYTHON", help="has optimum-onnx and -intel"
    )
    options.add_argument("--worker", help=argparse.SUPPRESS)
    options.add_argument("--texts", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--model", help=argparse.SUPPRESS)
    return options.parse_args()


def _texts(words: int, count: int, scale: float) -> list[str]:
    from embedsearch.evaluation.beir import read_corpus

    corpus = read_corpus(data_folder() / "scifact", lambda *_: None)
    stream = " ".join(document.text for document in corpus).split()
    draw = random.Random(0)
    texts, start = [], 0
    for _ in range(int(count * scale)):
        size = max(3, round(draw.gauss(words, words / 4)))
        texts.append(" ".join(stream[start : start + size]))
        start += size
    return texts


def _tokens(texts: list[str]) -> int:
    from embedsearch.encoder.folder import ModelFolder
    from embedsearch.encoder.inputs import Inputs
    from embedsearch.encoder.resolve import bundled_model
    from embedsearch.text.tokenizer import Tokenizer

    folder = ModelFolder.read(bundled_model())
    inputs = Inputs(folder=folder, tokens=Tokenizer.load(folder.tokenizer_file))
    return sum(map(len, inputs.ids(texts, "document")))


# A contestant, in a process of its own


def work(name: str, place: Path, model: str) -> int:
    """Encodes a kind of texts for every line on stdin; answers seconds, and where vectors are."""
    whose, _, which = name.partition(":")
    encode = _ours(which, model) if whose == "embedsearch" else _theirs(which, model)
    texts = json.loads(place.read_text(encoding="utf-8"))
    for some in texts.values():
        encode(some[:64])
    print("ready", flush=True)
    for line in sys.stdin:
        kind = line.strip()
        began = time.perf_counter()
        vectors = encode(texts[kind])
        seconds = time.perf_counter() - began
        out = place.parent / f"{name.replace(':', '-')}-{kind}.npy"
        np.save(out, vectors)
        print(json.dumps({"seconds": seconds, "vectors": str(out)}), flush=True)
    return 0


def _ours(engine: str, model: str) -> Callable[[list[str]], Any]:
    from embedsearch.encoder import SentenceEncoder

    encoder = SentenceEncoder.load(model, device="cpu", engine=engine)  # type: ignore[arg-type]
    return encoder.encode_document


def _theirs(which: str, folder: str) -> Callable[[list[str]], Any]:
    import torch
    from sentence_transformers import SentenceTransformer

    settings: dict[str, Any] = {"device": "cpu"}
    if which == "bf16":
        settings["model_kwargs"] = {"dtype": torch.bfloat16}
    elif which in BACKENDS:
        settings["backend"] = which
    model = SentenceTransformer(folder, **settings)
    return lambda texts: model.encode(texts, normalize_embeddings=True)


# All of them by turns


def _compete(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    from embedsearch.encoder.resolve import bundled_model

    names = {f"embedsearch:{name}": sys.executable for name in OURS}
    names |= {f"sentence-transformers:{name}": sys.executable for name in THEIRS}
    if options.peer_python:
        names |= {f"sentence-transformers:{name}": str(options.peer_python) for name in BACKENDS}
    names = {k: v for k, v in names.items() if not options.only or k in options.only}
    workers = {}
    for name, python in names.items():
        tell(f"loading {name}")
        command = [python, __file__, "--worker", name, "--texts", str(place)]
        command += ["--model", str(bundled_model())]
        workers[name] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        while _line(workers[name]) != "ready":
            pass
    found: dict[str, Any] = {name: {kind: {"seconds": []} for kind in KINDS} for name in names}
    for number in range(options.rounds):
        tell(f"round {number + 1} of {options.rounds}")
        for kind in KINDS:
            for name, worker in workers.items():
                answer = _ask(worker, kind)
                found[name][kind]["seconds"].append(answer["seconds"])
                found[name][kind]["vectors"] = np.load(answer["vectors"])
    for worker in workers.values():
        worker.communicate()
    return found


def _ask(worker: subprocess.Popen[str], kind: str) -> Any:
    assert worker.stdin
    worker.stdin.write(kind + "\n")
    worker.stdin.flush()
    return json.loads(_line(worker))


def _line(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout
    line = worker.stdout.readline()
    if not line:
        sys.exit(f"a contestant failed: {worker.args!r}")
    return line.strip()


# What it comes to

DEFAULT = "sentence-transformers:default"


def _results(found: dict[str, Any], tokens: dict[str, int]) -> dict[str, Any]:
    results: dict[str, Any] = {"tokens": tokens}
    for kind in KINDS:
        truth = found[DEFAULT][kind]["vectors"] if DEFAULT in found else None
        results[kind] = {}
        for name, kinds in found.items():
            seconds = kinds[kind]["seconds"]
            cell = {"tokens_per_second": round(tokens[kind] / median(seconds))}
            if truth is not None:
                # round by round: whatever slowed the machine then slowed both
                theirs = found[DEFAULT][kind]["seconds"]
                cell["ratio"] = median(b / a for a, b in zip(seconds, theirs, strict=True))
                cell["least_cosine"] = float((kinds[kind]["vectors"] * truth).sum(axis=1).min())
            results[kind][name] = cell
    return results


def _bars(results: dict[str, Any]) -> list[Bar]:
    bars = []
    for kind, limit in BARS.items():
        ours = results[kind].get("embedsearch:openvino")
        if not ours or "ratio" not in ours:
            continue
        claim = f"{kind}, times sentence-transformers' default"
        bars.append(Bar(claim=claim, value=ours["ratio"], limit=limit, at_most=False))
        claim = f"{kind}, least cosine to its vectors"
        bars.append(Bar(claim=claim, value=ours["least_cosine"], limit=SAME, at_most=False))
        peers = {n: c["ratio"] for n, c in results[kind].items() if n.startswith("sentence")}
        best = max(peers, key=lambda name: peers[name])
        if len(peers) > 1:
            claim = f"{kind}, times the best of its backends ({best.partition(':')[2]})"
            value = ours["ratio"] / peers[best]
            bars.append(Bar(claim=claim, value=value, limit=BEST_PEER_BAR, at_most=False))
    return bars


if __name__ == "__main__":
    raise SystemExit(main())
