"""What a comparison of tokenizers says: counts, shares, prices and ratios."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from embedsearch.errors import InputError

Basis = Literal["same texts", "parallel texts", "characters"]
"""What makes languages comparable: each has the same texts, or its texts once more in a language
that all share; else, a weaker measure, tokens per character."""

UNREADABLE_SHARE = 0.05
"""Where more of the tokens are unknown, a language is cheap because it is not read."""


@dataclass(frozen=True, kw_only=True)
class ComparisonConfig:
    """`context_window` counts tokens, `price` is that of a million tokens in whatever currency.

    `reference` names the group that the others are compared with; None stands for the cheapest that
    the tokenizer can read.
    """

    context_window: int = 8192
    price: float | None = None
    reference: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.context_window, bool) or not isinstance(self.context_window, int):
            raise InputError(f"context_window must be a whole number, not {self.context_window!r}")
        if self.context_window < 1:
            raise InputError(f"context_window must be at least 1, not {self.context_window}")
        price = 0.0 if self.price is None else self.price
        if not isinstance(price, int | float) or not 0 <= price < float("inf"):
            raise InputError(f"price must be a number of at least 0, not {self.price!r}")


@dataclass(frozen=True, kw_only=True)
class TokenCost:
    """What some texts cost. Special tokens put around a text are not counted.

    `words` are parts between blanks, so languages that write none have few. `lost` counts the texts
    that their tokens do not give back exactly, `ids_used` different ids, `context_share` is the
    share of the window that all texts together take.
    """

    texts: int
    characters: int
    bytes: int
    words: int
    tokens: int
    unknown: int
    lost: int
    ids_used: int
    tokens_per_word: float | None
    tokens_per_character: float | None
    unknown_share: float
    vocabulary_use: float
    context_share: float
    cost: float | None


@dataclass(frozen=True, kw_only=True)
class GroupCost:
    """What one group costs; `ratio` is how many times what the reference group costs.

    It is None for a fragment, and where there is nothing to compare with.
    """

    group: str
    cost: TokenCost
    ratio: float | None

    @property
    def readable(self) -> bool:
        """Whether the tokenizer knows enough of it for the ratio to mean something."""
        return self.cost.unknown_share <= UNREADABLE_SHARE


@dataclass(frozen=True, kw_only=True)
class TokenizerReport:
    """One tokenizer: all texts together in `total`, then group by group. `seconds` is what encoding
    all texts took, `reference` the group whose ratio is 1."""

    tokenizer: str
    kind: str
    vocab_size: int
    total: TokenCost
    seconds: float
    reference: str | None
    groups: tuple[GroupCost, ...]

    @property
    def megabytes_per_second(self) -> float:
        return self.total.bytes / 1e6 / max(self.seconds, 1e-9)


@dataclass(frozen=True, kw_only=True)
class TokenizerComparison:
    """Reports in the order of the tokenizers; `fragments` are groups left out of the ratios."""

    tokenizers: tuple[TokenizerReport, ...]
    basis: Basis
    fragments: tuple[str, ...]
    config: ComparisonConfig

    def as_json(self) -> dict[str, Any]:
        """What `embedsearch tokenizers compare --json` prints."""
        return {
            "basis": self.basis,
            "fragments": list(self.fragments),
            **asdict(self.config),
            "tokenizers": [
                {
                    "tokenizer": report.tokenizer,
                    "kind": report.kind,
                    "vocab_size": report.vocab_size,
                    **asdict(report.total),
                    "seconds": report.seconds,
                    "megabytes_per_second": report.megabytes_per_second,
                    "reference": report.reference,
                    "groups": [
                        {"group": each.group, **asdict(each.cost), "ratio": each.ratio}
                        for each in report.groups
                    ],
                }
                for report in self.tokenizers
            ],
        }
