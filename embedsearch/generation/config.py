"""How text is generated."""

from __future__ import annotations

import math
from dataclasses import dataclass

from embedsearch.errors import InputError

LARGEST_SEED = (1 << 63) - 1
"""That random generators take."""


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """How a prompt is continued; the names are those of transformers.

    `temperature` 0 always takes the likeliest token (greedy); above 0, tokens are drawn, from the
    `top_k` likeliest (0: all), of them the likeliest whose probabilities reach `top_p`, of them
    those at least `min_p` times as likely as the likeliest. `seed` decides what is drawn, for each
    prompt as if it came alone. `repetition_penalty` above 1 makes tokens that stand in the text
    already less likely. `num_beams` above 1 searches for the likeliest text as a whole.
    `num_return_sequences` are returned for each prompt. The text ends before the first of `stop`.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    num_beams: int = 1
    num_return_sequences: int = 1
    stop: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (
            ("max_new_tokens", 1),
            ("top_k", 0),
            ("num_beams", 1),
            ("num_return_sequences", 1),
        ):
            check_whole(name, getattr(self, name), least)
        check_whole("seed", self.seed, 0, LARGEST_SEED)
        self._check_range("temperature", 0, math.inf)
        self._check_range("top_p", 0, 1, above=True)
        self._check_range("min_p", 0, 1)
        self._check_range("repetition_penalty", 0, math.inf, above=True)
        if isinstance(self.stop, str) or not all(isinstance(s, str) and s for s in self.stop):
            raise InputError(f"stop must be strings that are not empty, not {self.stop!r}")
        self._check_together()

    @property
    def sampling(self) -> bool:
        return self.temperature > 0

    def _check_range(self, name: str, low: float, high: float, *, above: bool = False) -> None:
        value = getattr(self, name)
        sound = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not sound or not low <= value <= high or value == math.inf or (above and value == low):
            bound = f"above {low}" if above else f"at least {low}"
            top = f" and at most {high:g}" if high < math.inf else ""
            raise InputError(f"{name} must be a number {bound}{top}, not {value!r}")

    def _check_together(self) -> None:
        if self.sampling and self.num_beams > 1:
            raise InputError(
                f"num_beams {self.num_beams} searches and temperature {self.temperature:g} draws: "
                "choose one of them"
            )
        off = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}
        for name, value in off.items():
            if not self.sampling and getattr(self, name) != value:
                raise InputError(
                    f"{name} {getattr(self, name):g} has no effect without a temperature above 0"
                )
        if not self.sampling and self.num_return_sequences > self.num_beams:
            raise InputError(
                f"num_return_sequences {self.num_return_sequences} needs as many num_beams, not "
                f"{self.num_beams}, or a temperature above 0"
            )


def check_whole(name: str, value: object, least: int = 1, most: int | None = None) -> None:
    """InputError unless the value of a setting is a whole number from `least` to `most`."""
    if type(value) is not int or value < least or (most is not None and value > most):
        top = "" if most is None else f" and at most {most}"
        raise InputError(f"{name} must be a whole number of at least {least}{top}, not {value!r}")
