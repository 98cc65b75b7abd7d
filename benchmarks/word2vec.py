"""Word vectors against gensim: speed, memory, quality; same text, settings and cores.

gensim reads its fastest input, `corpus_file`. Every run is a process of its own; systems take
turns; finished runs are kept (--cache), so an interrupted benchmark goes on. Speed is that of the
epochs, `whole_words_per_s` counts the vocabulary too. `@` gives the learning rate at the start:
0.025 is gensim's default, 0.04 ours; each is measured with both, and ours at its default has to be
as good as gensim at either.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median
from typing import Any

from common import CACHE, Bar, data_folder, parser, report, tell

GOLD = {"ws353": "EN-WS-353-ALL", "men": "EN-MEN-TR-3k", "simlex": "EN-SIMLEX-999"}
SETTINGS: dict[str, Any] = {"vector_size": 100, "window": 5, "negative": 5, "min_count": 5}
CORPUS = "wikipedia_en"
GENSIM_ALPHA, OUR_ALPHA = 0.025, 0.04
RATIO_BAR, GPU_BAR, WORST_LOSS = 3.0, 20.0, 0.01


def main() -> int:
    options = _options()
    if options.worker:
        print(json.dumps(_work(json.loads(options.worker))))
        return 0
    text = _text(options)
    # Seeds outside, so that an interrupted benchmark has whole rounds.
    systems = [(name, a) for a in (GENSIM_ALPHA, OUR_ALPHA) for name in ("gensim", "embedsearch")]
    runs: dict[str, list[dict[str, Any]]] = {}
    for seed in options.seeds:
        for system, alpha in systems:
            job = _job(text, system, alpha, seed, max(options.threads), options.epochs)
            runs.setdefault(f"{system}@{alpha}", []).append(_run(job, options.cache))
    results = {name: _summary(each) for name, each in runs.items()}
    curve = _curve(options, text) if len(options.threads) > 1 else {}
    bars = _bars(results)
    if options.device != "cpu":
        job = _job(text, "embedsearch", OUR_ALPHA, options.seeds[0], 1, options.epochs)
        results[options.device] = _summary([_run({**job, "device": options.device}, options.cache)])
        ratio = results[options.device]["words_per_s"] / results["gensim@0.025"]["words_per_s"]
        claim = f"words/s on {options.device}, in times of gensim"
        bars.append(Bar(claim=claim, value=ratio, limit=GPU_BAR, at_most=False))
    name = "-".join(["word2vec", *(c for c in options.corpora if options.corpora != [CORPUS])])
    return report(name, options, {**results, **curve}, bars)


def _options() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="the curve")
    options.add_argument("--epochs", type=int, default=5)
    options.add_argument("--corpora", nargs="+", default=[CORPUS], metavar="SET")
    options.add_argument("--limit", type=int, help="words of the text, all where not given")
    options.add_argument("--device", default="cpu", help="measure this one too, such as cuda")
    options.add_argument("--cache", type=Path, default=CACHE / "word2vec", metavar="DIR")
    options.add_argument("--worker", help=argparse.SUPPRESS)
    return options.parse_args()


def _text(options: argparse.Namespace) -> Path:
    """The text as lower-case words, a paragraph a line."""
    name = "-".join([*options.corpora, str(options.limit or "all")])
    path: Path = options.cache / f"{name}.txt"
    if not path.exists():
        options.cache.mkdir(parents=True, exist_ok=True)
        words, partial = 0, path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            for corpus in options.corpora:
                for paragraph in _paragraphs(corpus):
                    found = re.findall("[a-z]+", paragraph.lower())
                    if found and (options.limit is None or words < options.limit):
                        file.write(" ".join(found) + "\n")
                        words += len(found)
        partial.replace(path)
    return path


def _paragraphs(corpus: str) -> Iterator[str]:
    for path in sorted((data_folder() / corpus).glob("*.jsonl.xz")):
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield from json.loads(line)["text"].replace("<br />", "\n").split("\n")


def _job(
    text: Path,
    system: str,
    alpha: float,
    seed: int,
    threads: int,
    epochs: int,
) -> dict[str, Any]:
    return {
        "system": system,
        "text": str(text),
        "alpha": alpha,
        "seed": seed,
        "threads": threads,
        "epochs": epochs,
        "gold": str(data_folder()),
        "device": "cpu",
    }


def _run(job: dict[str, Any], cache: Path) -> dict[str, Any]:
    """A run's result, kept from an earlier time where there is one."""
    known = hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()[:16]
    path = cache / f"run-{known}.json"
    if not path.exists():
        shown = {key: job[key] for key in ("system", "alpha", "seed", "threads", "epochs")}
        tell(f"running {shown}")
        command = [sys.executable, __file__, "--worker", json.dumps(job)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        path.write_text(done.stdout.splitlines()[-1], encoding="utf-8")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    tell(f"  {found['words_per_s']:,.0f} words/s, {found['peak_mb']:.0f} MB, {found['quality']}")
    return found


def _work(job: dict[str, Any]) -> dict[str, Any]:
    vectors, figures = (_gensim if job["system"] == "gensim" else _embedsearch)(job)
    figures["peak_mb"] = _peak_mb()
    seconds, words = figures["seconds"], figures["words"] * job["epochs"]
    figures["words_per_s"] = words / seconds
    figures["whole_words_per_s"] = words / (seconds + figures["vocabulary_seconds"])
    return {**figures, "quality": _quality(vectors, Path(job["gold"]))}


def _gensim(job: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    from gensim.models import Word2Vec

    options = {"workers": job["threads"], "seed": job["seed"], "alpha": job["alpha"]}
    model = Word2Vec(sg=1, hs=0, sample=1e-3, min_alpha=1e-4, **SETTINGS, **options)
    began = time.perf_counter()
    model.build_vocab(corpus_file=job["text"])
    built = time.perf_counter()
    model.train(
        corpus_file=job["text"],
        total_examples=model.corpus_count,
        total_words=model.corpus_total_words,
        epochs=job["epochs"],
    )
    return model.wv, {
        "words": model.corpus_total_words,
        "vocabulary": len(model.wv),
        "vocabulary_seconds": built - began,
        "seconds": time.perf_counter() - built,
    }


def _embedsearch(job: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    from embedsearch.word2vec import Word2VecConfig, train_word2vec

    class Clock:
        """Tells when training began, after the vocabulary."""

        words, began = 0, 0.0

        def start(self, _description: str, total: int | None, _unit: str) -> None:
            self.words, self.began = total or 0, time.perf_counter()

        def advance(self, _amount: int) -> None:
            pass

        def note(self, _message: str) -> None:
            pass

    # What is compiled is kept on disk: a first run ever takes some seconds more.
    train_word2vec([["a", "b"]] * 5, Word2VecConfig(epochs=1, device=job["device"]))
    clock = Clock()
    config = Word2VecConfig(
        **SETTINGS,
        epochs=job["epochs"],
        alpha=job["alpha"],
        seed=job["seed"],
        workers=job["threads"],
        device=job["device"],
    )
    began = time.perf_counter()
    with Path(job["text"]).open(encoding="utf-8") as lines:
        vectors = train_word2vec((line.split() for line in lines), config, progress=clock)
    return vectors, {
        "words": clock.words // job["epochs"],
        "vocabulary": len(vectors),
        "vocabulary_seconds": clock.began - began,
        "seconds": time.perf_counter() - clock.began,
        "losses": vectors.losses,
    }


def _peak_mb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def _quality(vectors: Any, data: Path) -> dict[str, float]:
    from embedsearch.word2vec import KeyedVectors
    from embedsearch.word2vec.gold import rate_pairs, read_gold, solve_analogies

    found = vectors if isinstance(vectors, KeyedVectors) else KeyedVectors.from_gensim(vectors)
    scores = {}
    for name, file in GOLD.items():
        pairs = read_gold(data / "word_similarity" / f"{file}.txt").pairs
        scores[name] = round(rate_pairs(found, pairs).spearman or 0.0, 4)
    questions = read_gold(data / "word_analogy" / "questions-words.txt").analogies
    return {**scores, "google": round(solve_analogies(found, questions).total.accuracy, 4)}


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of the runs, and means of the quality over seeds."""
    names = ("words_per_s", "whole_words_per_s", "peak_mb", "vocabulary")
    quality = {key: mean(run["quality"][key] for run in runs) for key in runs[0]["quality"]}
    return {
        **{name: median(run[name] for run in runs) for name in names},
        "runs": len(runs),
        "quality": {**quality, "mean": mean(quality.values())},
    }


def _curve(options: argparse.Namespace, text: Path) -> dict[str, Any]:
    """Speed by threads, of one epoch."""
    found: dict[str, Any] = {}
    for threads in options.threads:
        for system, alpha in (("gensim", GENSIM_ALPHA), ("embedsearch", OUR_ALPHA)):
            job = _job(text, system, alpha, options.seeds[0], threads, 1)
            speed = _run(job, options.cache)["words_per_s"]
            found.setdefault(f"{threads} threads, one epoch", {})[system] = speed
    return {
        name: {**each, "ratio": each["embedsearch"] / each["gensim"]}
        for name, each in found.items()
    }


def _bars(results: dict[str, Any]) -> list[Bar]:
    theirs, ours = results["gensim@0.025"], results["embedsearch@0.04"]
    bars = []
    for name in ("words_per_s", "whole_words_per_s"):
        claim = f"{name}, in times of gensim"
        bars.append(
            Bar(claim=claim, value=ours[name] / theirs[name], limit=RATIO_BAR, at_most=False)
        )
    memory = ours["peak_mb"] / theirs["peak_mb"]
    bars.append(Bar(claim="peak memory, in times of gensim's", value=memory, limit=1, at_most=True))
    for rate in (GENSIM_ALPHA, OUR_ALPHA):
        other = results[f"gensim@{rate}"]["quality"]
        for name, value in ours["quality"].items():
            limit = 0.0 if name == "mean" else -WORST_LOSS
            claim = f"embedsearch@{OUR_ALPHA}: {name} above gensim@{rate}"
            bars.append(Bar(claim=claim, value=value - other[name], limit=limit, at_most=False))
    return bars


if __name__ == "__main__":
    sys.exit(main())
