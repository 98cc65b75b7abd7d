"""What texts cost with one tokenizer and another, language by language."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from statistics import median

from embedsearch.errors import InputError
from embedsearch.text.anatomy import Anatomy
from embedsearch.text.groups import TextGroup
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.tokenizers.costs import (
    UNREADABLE_SHARE,
    Basis,
    ComparisonConfig,
    GroupCost,
    TokenCost,
    TokenizerComparison,
    TokenizerReport,
)
from embedsearch.tokenizers.names import Tokenizers, named_tokenizers
from embedsearch.types import SILENT, Progress

COMPLETE_SHARE = 0.8
"""A version of a text with fewer lines than this share of the median is taken as a fragment."""


def compare_tokenizers(
    tokenizers: Tokenizers,
    texts: Sequence[str] | Mapping[str, Sequence[str]] | Sequence[TextGroup],
    config: ComparisonConfig | None = None,
    *,
    progress: Progress = SILENT,
) -> TokenizerComparison:
    """Tokens, unknowns, losses, speed and price of texts with each tokenizer, by group.

    Args:
        tokenizers: tokenizers or their names; a mapping says what to call each.
        texts: texts, or texts by language (or whatever they are grouped by). Where every language
            has equally many, they are taken as the same texts, translated.

    Raises:
        InputError: no texts, or what is no text; a reference that is no group.
    """
    config = config or ComparisonConfig()
    groups = _as_groups(texts)
    names = [group.name for group in groups]
    if config.reference is not None and config.reference not in names:
        raise InputError(
            f"the reference {config.reference!r} is no group; the groups are "
            f"{', '.join(names[:10])}{', …' if len(names) > 10 else ''}"
        )
    basis = _basis(groups)
    fragments = _fragments(groups) if basis == "same texts" else frozenset[str]()
    fragments -= {config.reference}
    reports = tuple(
        _report(name, tokenizer, groups, basis, fragments, config, progress)
        for name, tokenizer in named_tokenizers(tokenizers).items()
    )
    return TokenizerComparison(
        tokenizers=reports,
        basis=basis,
        fragments=tuple(name for name in names if name in fragments),
        config=config,
    )


def _as_groups(
    texts: Sequence[str] | Mapping[str, Sequence[str]] | Sequence[TextGroup],
) -> list[TextGroup]:
    if isinstance(texts, str):
        raise InputError("a list of texts is needed, not one string: put it in a list")
    if isinstance(texts, Mapping):
        groups = [
            TextGroup(name=name, texts=[each] if isinstance(each, str) else list(each))
            for name, each in texts.items()
        ]
    else:
        groups = [each for each in texts if isinstance(each, TextGroup)]
        alone = [each for each in texts if not isinstance(each, TextGroup)]
        groups += [TextGroup(name="all", texts=alone)] if alone else []
    if not any(text for group in groups for text in group.texts):
        raise InputError("there is no text to compare tokenizers on")
    names = [group.name for group in groups]
    if len(set(names)) < len(names):
        raise InputError(f"two groups have the same name: {', '.join(sorted(names)[:10])}")
    return groups


def _basis(groups: Sequence[TextGroup]) -> Basis:
    if all(group.parallel for group in groups):
        return "parallel texts"
    equal = len({len(group.texts) for group in groups}) == 1
    return "same texts" if equal else "characters"


def _fragments(groups: Sequence[TextGroup]) -> frozenset[str]:
    """Groups that hold only a part of what the others hold, told by their lines."""
    lines = {
        group.name: sum(len(text.split("\n")) for text in group.texts if text) for group in groups
    }
    least = COMPLETE_SHARE * median(lines.values())
    return frozenset(name for name, count in lines.items() if count < least)


class _Tally:
    """The counts of one group, filled text by text."""

    def __init__(self) -> None:
        self.texts = self.characters = self.bytes = self.words = 0
        self.tokens = self.unknown = self.lost = 0
        self.used: set[int] = set()

    def add(self, text: str, ids: Sequence[int], unknown_id: int | None, decoded: str) -> None:
        self.texts += 1
        self.characters += len(text)
        self.bytes += len(text.encode())
        self.words += len(text.split())
        self.tokens += len(ids)
        self.unknown += 0 if unknown_id is None else ids.count(unknown_id)
        self.lost += decoded != text
        self.used.update(ids)

    def merge(self, other: _Tally) -> None:
        for name in ("texts", "characters", "bytes", "words", "tokens", "unknown", "lost"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.used |= other.used

    def cost(self, vocab_size: int, config: ComparisonConfig) -> TokenCost:
        return TokenCost(
            texts=self.texts,
            characters=self.characters,
            bytes=self.bytes,
            words=self.words,
            tokens=self.tokens,
            unknown=self.unknown,
            lost=self.lost,
            ids_used=len(self.used),
            tokens_per_word=self.tokens / self.words if self.words else None,
            tokens_per_character=self.tokens / self.characters if self.characters else None,
            unknown_share=self.unknown / self.tokens if self.tokens else 0.0,
            vocabulary_use=len(self.used) / vocab_size,
            context_share=self.tokens / config.context_window,
            cost=None if config.price is None else self.tokens * config.price / 1e6,
        )


def _report(
    name: str,
    tokenizer: Tokenizer,
    groups: Sequence[TextGroup],
    basis: Basis,
    fragments: frozenset[str],
    config: ComparisonConfig,
    progress: Progress,
) -> TokenizerReport:
    anatomy = Anatomy(tokenizer)
    tallies, seconds = _tally(name, anatomy, groups, progress)
    costs = {name: tally.cost(tokenizer.vocab_size, config) for name, tally in tallies.items()}
    units: dict[str, float] = {}
    for group in groups:
        weight = _weight(group, costs[group.name], basis, tokenizer)
        if weight and costs[group.name].tokens and group.name not in fragments:
            units[group.name] = costs[group.name].tokens / weight
    reference = config.reference or _cheapest(units, costs)
    base = units.get(reference) if reference is not None and len(groups) > 1 else None
    total = _Tally()
    for tally in tallies.values():
        total.merge(tally)
    return TokenizerReport(
        tokenizer=name,
        kind=anatomy.kind,
        vocab_size=tokenizer.vocab_size,
        total=total.cost(tokenizer.vocab_size, config),
        seconds=seconds,
        reference=reference if base else None,
        groups=tuple(
            GroupCost(
                group=group,
                cost=cost,
                ratio=units[group] / base if base and group in units else None,
            )
            for group, cost in costs.items()
        ),
    )


def _cheapest(units: Mapping[str, float], costs: Mapping[str, TokenCost]) -> str | None:
    """The group of the lowest cost among those that are read, else among all."""
    read = [group for group in units if costs[group].unknown_share <= UNREADABLE_SHARE]
    return min(read or units, key=units.__getitem__, default=None)


def _tally(
    name: str, anatomy: Anatomy, groups: Sequence[TextGroup], progress: Progress
) -> tuple[dict[str, _Tally], float]:
    """The counts of each group, and how long encoding alone took."""
    texts = [(group.name, text) for group in groups for text in group.texts]
    progress.start(f"Tokenizing with {name}", sum(len(text) for _, text in texts), "characters")
    tallies = {group.name: _Tally() for group in groups}
    batches = anatomy.encode_batches([text for _, text in texts])
    seconds, place = 0.0, 0
    while True:
        began = time.perf_counter()
        batch = next(batches, None)
        seconds += time.perf_counter() - began
        if batch is None:
            return tallies, seconds
        decoded = anatomy.decode_many(batch)
        covered = texts[place : place + len(batch)]
        for (group, text), ids, back in zip(covered, batch, decoded, strict=True):
            tallies[group].add(text, ids, anatomy.unknown_id, back)
        progress.advance(sum(len(text) for _, text in covered))
        place += len(batch)


def _weight(group: TextGroup, cost: TokenCost, basis: Basis, tokenizer: Tokenizer) -> float:
    """What the tokens of a group are divided by to be compared with those of another."""
    if basis == "parallel texts":
        return float(sum(tokenizer.count(group.parallel)))
    return 1.0 if basis == "same texts" else float(cost.characters)
