"""How much of a retrieval collection a model's limit would cut off, by tokenizer and language."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from embedsearch.errors import InputError
from embedsearch.evaluation.beir import read_corpus, read_qrels, split_names
from embedsearch.text.chunking import embedding_input
from embedsearch.text.groups import language_of
from embedsearch.text.paths import typed_path
from embedsearch.text.segments import batches
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.tokenizers.names import Tokenizers, named_tokenizers
from embedsearch.types import SILENT, Progress

_BATCH = 512
NO_LANGUAGE = ""


@dataclass(frozen=True, kw_only=True)
class TokenizerEvaluationConfig:
    """`limits` are tokens that a model sees of a text, its special tokens among them."""

    limits: tuple[int, ...] = (256, 512)

    def __post_init__(self) -> None:
        if not self.limits:
            raise InputError("no limit is given, for instance 512 tokens")
        for limit in self.limits:
            if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
                raise InputError(f"a limit must be a whole number of at least 1, not {limit!r}")


@dataclass(frozen=True, kw_only=True)
class CutOff:
    """What a limit cuts off: tokens, and documents that lose some. `relevant_documents_cut` are
    those among them that answer a judged query."""

    limit: int
    documents_cut: int
    documents_cut_share: float
    tokens_cut: int
    tokens_cut_share: float
    relevant_documents_cut: int


@dataclass(frozen=True, kw_only=True)
class LanguageTokens:
    """The documents of one language, "" where a document names none; `tokens` counts none that a
    tokenizer puts around a text."""

    language: str
    documents: int
    relevant_documents: int
    tokens: int
    median_tokens: float
    longest: int
    cut_off: tuple[CutOff, ...]


@dataclass(frozen=True, kw_only=True)
class TokenizerEvaluation:
    """One tokenizer on a collection: all documents in `total`, then language by language."""

    tokenizer: str
    special_tokens: int
    total: LanguageTokens
    languages: tuple[LanguageTokens, ...]

    def as_json(self) -> dict[str, Any]:
        """What `embedsearch evaluate tokenizer --json` prints for one tokenizer."""
        total = asdict(self.total)
        del total["language"]
        return {
            "tokenizer": self.tokenizer,
            "special_tokens": self.special_tokens,
            **total,
            "languages": [asdict(each) for each in self.languages],
        }


def evaluate_tokenizers(
    folder: str | Path,
    tokenizers: Tokenizers | None = None,
    config: TokenizerEvaluationConfig | None = None,
    *,
    progress: Progress = SILENT,
) -> list[TokenizerEvaluation]:
    """How many tokens of how many documents lie beyond each limit.

    A document is its title on a line of its own, then its text, as it is embedded. Its language is
    what its metadata calls `language` or `lang`.

    Args:
        folder: in the layout of BEIR: `corpus.jsonl[.gz]` or `corpus/`; `qrels/`, where there are
            any, say which documents are relevant.

    Raises:
        NotFoundError: there is no corpus.
        InputError: a damaged one, or one without documents.
    """
    config, folder = config or TokenizerEvaluationConfig(), typed_path(folder)
    chosen = named_tokenizers(tokenizers)
    relevant = _relevant(folder)
    counts: dict[str, dict[str, array[int]]] = {name: {} for name in chosen}
    found: dict[str, array[int]] = {}
    corpus = read_corpus(folder, lambda place, why: progress.note(f"skipped {place}: {why}"))
    progress.start("Tokenizing", None, "documents")
    for batch in batches(corpus, _BATCH):
        texts = [embedding_input(document.title, document.text) for document in batch]
        languages = [language_of(document.metadata) or NO_LANGUAGE for document in batch]
        for document, language in zip(batch, languages, strict=True):
            found.setdefault(language, array("q")).append(document.id in relevant)
        for name, tokenizer in chosen.items():
            for language, count in zip(languages, tokenizer.count(texts), strict=True):
                counts[name].setdefault(language, array("q")).append(count)
        progress.advance(len(batch))
    if not found:
        raise InputError(f"the corpus of {folder} has no documents")
    return [
        _evaluation(name, tokenizer, counts[name], found, config)
        for name, tokenizer in chosen.items()
    ]


def _relevant(folder: Path) -> frozenset[str]:
    """Documents that answer a query of any split."""
    judged = (read_qrels(folder, split) for split in split_names(folder))
    return frozenset(
        document
        for qrels in judged
        for grades in qrels.values()
        for document, grade in grades.items()
        if grade > 0
    )


def _evaluation(
    name: str,
    tokenizer: Tokenizer,
    counts: Mapping[str, array[int]],
    relevant: Mapping[str, array[int]],
    config: TokenizerEvaluationConfig,
) -> TokenizerEvaluation:
    special = tokenizer.special_token_count
    every = [count for language in counts for count in counts[language]]
    flags = [flag for language in counts for flag in relevant[language]]
    return TokenizerEvaluation(
        tokenizer=name,
        special_tokens=special,
        total=_language(NO_LANGUAGE, every, flags, special, config),
        languages=tuple(
            _language(language, list(counts[language]), list(relevant[language]), special, config)
            for language in sorted(counts)
        ),
    )


def _language(
    language: str,
    counts: list[int],
    relevant: list[int],
    special: int,
    config: TokenizerEvaluationConfig,
) -> LanguageTokens:
    return LanguageTokens(
        language=language,
        documents=len(counts),
        relevant_documents=sum(relevant),
        tokens=sum(counts),
        median_tokens=median(counts),
        longest=max(counts),
        cut_off=tuple(_cut_off(counts, relevant, limit, special) for limit in config.limits),
    )


def _cut_off(counts: list[int], relevant: list[int], limit: int, special: int) -> CutOff:
    room = max(0, limit - special)
    beyond = [(max(0, count - room), flag) for count, flag in zip(counts, relevant, strict=True)]
    cut = [(lost, flag) for lost, flag in beyond if lost]
    lost = sum(lost for lost, _ in cut)
    return CutOff(
        limit=limit,
        documents_cut=len(cut),
        documents_cut_share=len(cut) / len(beyond),
        tokens_cut=lost,
        tokens_cut_share=lost / max(1, sum(counts)),
        relevant_documents_cut=sum(flag for _, flag in cut),
    )
