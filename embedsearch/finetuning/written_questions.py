"""Questions that a language model writes to passages of a collection, to train an encoder on.

Documents alone tell how authors write, not how people ask; a language model can be asked for that
(Bonifacio et al. 2022, "InPars"; Wang et al. 2022, "GPL"). What it writes is kept where a search
for it finds the passage's document again (Dai et al. 2022, "Promptagator").
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from embedsearch.collection.collection import Collection
from embedsearch.encoder.training.examples import normal
from embedsearch.errors import InputError, StorageError
from embedsearch.finetuning.collection_pairs import word_count
from embedsearch.finetuning.question_prompt import question_prompt, questions_in
from embedsearch.generation import GenerationConfig, LanguageModel
from embedsearch.generation.config import LARGEST_SEED, check_whole
from embedsearch.text.chunking import ChunkingConfig, chunk_document, context_of, embedding_input
from embedsearch.text.paths import typed_path
from embedsearch.tuning.folders import only_writer
from embedsearch.tuning.sampling import sample_stream
from embedsearch.types import SILENT, Progress

PASSAGES_AT_A_TIME = 8
TOKENS_OF_QUESTION = 48
_BEGINNING = b'{"anchor"'


@dataclass(frozen=True, kw_only=True)
class WrittenQuestionsConfig:
    """`per_passage` questions are asked for, for each of `passages`, drawn evenly from all those of
    `min_words` words. One whose search does not have its document among the first `max_rank` is
    dropped; 0 keeps all."""

    passages: int = 1000
    per_passage: int = 2
    max_rank: int = 20
    min_words: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least, most in (
            ("passages", 1, 1_000_000),
            ("per_passage", 1, 20),
            ("max_rank", 0, 1000),
            ("min_words", 1, 1000),
            ("seed", 0, LARGEST_SEED),
        ):
            check_whole(name, getattr(self, name), least, most)


@dataclass(frozen=True, kw_only=True)
class WrittenQuestions:
    """What became of it: `passages` asked about this time, `kept` questions written to `path`, and
    `before` that it had. `dropped` counts them by reason: `repeated`, `avoided` (one of those that
    none may be), `not_found`."""

    path: Path
    passages: int
    kept: int
    before: int
    dropped: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True)
class _Passage:
    document: str
    text: str
    """As the encoder reads it, title and headings before it."""


def write_questions(
    collection: Collection,
    generator: LanguageModel,
    output: str | Path,
    config: WrittenQuestionsConfig | None = None,
    *,
    generation: GenerationConfig | None = None,
    avoid: Sequence[str] = (),
    progress: Progress = SILENT,
) -> WrittenQuestions:
    """Adds questions to a file of JSON lines, for `train_encoder`: `anchor`, `positive` (the
    passage) and `id` (of its document).

    Interrupted, it goes on when it is called again: passages that the file has questions for are
    not asked about twice. Lines may be edited or taken out in between. One call at a time writes to
    a file.

    Args:
        generator: what writes them; `generation` as for `generate`, by default the likeliest text.
        avoid: questions that none may be, such as those that an encoder will be judged on.

    Raises InputError for a collection without passages and for a file that holds anything else,
    StorageError where it cannot be written, LockedError where another call writes to it; as
    `LanguageModel.generate` and `Collection.search`.
    """
    config = config or WrittenQuestionsConfig()
    generation = generation or GenerationConfig(
        max_new_tokens=TOKENS_OF_QUESTION * config.per_passage
    )
    path = typed_path(output)
    with only_writer(path.resolve()):  # from reading it on: else two would ask the same
        return _add_questions(collection, generator, path, config, generation, avoid, progress)


def _add_questions(
    collection: Collection,
    generator: LanguageModel,
    path: Path,
    config: WrittenQuestionsConfig,
    generation: GenerationConfig,
    avoid: Sequence[str],
    progress: Progress,
) -> WrittenQuestions:
    written = _read(path)
    known = {passage for _, passage in written}
    seen = {normal(question) for question, _ in written}
    avoided = {normal(question) for question in avoid}
    passages = _drawn(collection, config, progress)
    todo = [passage for passage in passages if passage.text not in known]
    dropped: Counter[str] = Counter()
    kept = 0
    progress.start("Writing questions", len(passages), "passages")
    progress.advance(len(passages) - len(todo))
    for start in range(0, len(todo), PASSAGES_AT_A_TIME):
        part = todo[start : start + PASSAGES_AT_A_TIME]
        new: list[tuple[str, _Passage]] = []
        for question, passage in _asked(part, generator, generation, config.per_passage):
            if normal(question) in avoided:
                dropped["avoided"] += 1
            elif normal(question) in seen:
                dropped["repeated"] += 1
            else:
                seen.add(normal(question))
                new.append((question, passage))
        found = _finding(collection, new, config.max_rank)
        dropped["not_found"] += len(new) - len(found)
        kept += len(found)
        _append(path, found)
        progress.advance(len(part))
    return WrittenQuestions(
        path=path, passages=len(todo), kept=kept, before=len(written), dropped=dict(+dropped)
    )


def _drawn(
    collection: Collection, config: WrittenQuestionsConfig, progress: Progress
) -> list[_Passage]:
    """Passages drawn evenly from all of them, in the order of the collection; memory holds those
    alone. The same ones for the same seed."""
    random = np.random.default_rng(config.seed)
    progress.start("Drawing passages", len(collection), "documents")
    numbered = enumerate(_passages(collection, config.min_words, progress))
    kept = sample_stream(numbered, config.passages, random.integers)
    if not kept:
        raise InputError(
            f"no passage of {collection.folder} has {config.min_words} words to ask about"
        )
    return [passage for _, passage in sorted(kept, key=lambda each: each[0])]


def _passages(collection: Collection, min_words: int, progress: Progress) -> Iterator[_Passage]:
    encoder = collection.encoder
    for document in collection:
        for chunk in chunk_document(document, encoder.tokens, encoder.max_tokens, ChunkingConfig()):
            if word_count(chunk.text) >= min_words:
                context = context_of(document.title, chunk)
                yield _Passage(document.id, embedding_input(context, chunk.text))
        progress.advance(1)


def _asked(
    passages: Sequence[_Passage],
    generator: LanguageModel,
    generation: GenerationConfig,
    count: int,
) -> Iterator[tuple[str, _Passage]]:
    prompts = [question_prompt(passage.text, count) for passage in passages]
    several = generation.num_return_sequences
    for place, answer in enumerate(generator.generate(prompts, generation)):
        if answer.finish != "refusal":
            cut = answer.finish in ("length", "filter")
            for question in questions_in(answer.text, count, cut=cut):
                yield question, passages[place // several]


def _finding(
    collection: Collection, asked: Sequence[tuple[str, _Passage]], max_rank: int
) -> list[tuple[str, _Passage]]:
    """Those whose search finds the document of their passage."""
    if not max_rank or not asked:
        return list(asked)
    results = collection.search_batch([question for question, _ in asked], max_rank)
    return [
        each
        for each, hits in zip(asked, results, strict=True)
        if any(hit.document_id == each[1].document for hit in hits)
    ]


def _read(path: Path) -> list[tuple[str, str]]:
    """Question and passage of each line; a last line that broke off is taken away."""
    try:
        data = path.read_bytes() if path.exists() else b""
        *lines, last = data.split(b"\n")
        pairs = [_pair(line, f"{path}:{n}") for n, line in enumerate(lines, 1) if line.strip()]
        if last.startswith(_BEGINNING) and not last.rstrip().endswith(b"}"):
            os.truncate(path, len(data) - len(last))
        elif last.strip():
            pairs.append(_pair(last, f"{path}:{len(lines) + 1}"))
            _append_bytes(path, b"\n")
    except OSError as error:
        raise StorageError(f"{path} cannot be used: {error.strerror}") from None
    return pairs


def _pair(line: bytes, place: str) -> tuple[str, str]:
    try:
        value = json.loads(line)
        question, passage = value["anchor"], value["positive"]
    except (ValueError, RecursionError, TypeError, KeyError):
        question = passage = None
    if not isinstance(question, str) or not isinstance(passage, str):
        raise InputError(
            f'{place}: not {{"anchor": …, "positive": …}}: name a file that questions were written '
            "to before, or a new one"
        )
    return question, passage


def _append(path: Path, found: Sequence[tuple[str, _Passage]]) -> None:
    lines = (
        json.dumps(
            {"anchor": question, "positive": passage.text, "id": passage.document},
            ensure_ascii=False,
        )
        for question, passage in found
    )
    try:
        _append_bytes(path, "".join(f"{line}\n" for line in lines).encode())
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from None


def _append_bytes(path: Path, data: bytes) -> None:
    """All of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size)
            raise
