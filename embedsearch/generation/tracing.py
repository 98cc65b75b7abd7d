"""Decoding made visible: the distribution at each step, what reshapes it, beams as they branch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from embedsearch.generation.config import GenerationConfig
from embedsearch.generation.interface import Generation
from embedsearch.generation.sampling import reshape
from embedsearch.generation.text import known_ids
from embedsearch.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch

CANDIDATES = 5
"""Tokens of each step that are told, unless asked otherwise."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A token that could come next. `probabilities` by stage: `model` is what the model says, then
    what each setting in force leaves, in the order in which they are applied; 0 is excluded."""

    token_id: int
    text: str
    probabilities: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Step:
    """The choice of one token. `kept` counts the tokens that each stage leaves possible."""

    chosen: Candidate
    candidates: tuple[Candidate, ...]
    kept: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Beam:
    """A text that is being followed. `parent` is the place, in the step before, of the beam that it
    goes on from; `log_probability` that of the whole text, natural."""

    text: str
    token: str
    parent: int
    log_probability: float


@dataclass(frozen=True, kw_only=True)
class Trace:
    """`steps` of greedy decoding or sampling, or `beams` step by step, and what came of it."""

    generations: tuple[Generation, ...]
    steps: tuple[Step, ...] = ()
    beams: tuple[tuple[Beam, ...], ...] = ()


def stages(config: GenerationConfig) -> dict[str, GenerationConfig]:
    """The settings in force one after another, each with those before it."""
    found = {"model": GenerationConfig()}
    if config.repetition_penalty != 1:
        found["repetition_penalty"] = GenerationConfig(repetition_penalty=config.repetition_penalty)
    if config.sampling:
        so_far = replace(next(reversed(found.values())), temperature=config.temperature)
        found["temperature"] = so_far
        for name in ("top_k", "top_p", "min_p"):
            if getattr(config, name) != getattr(found["model"], name):
                so_far = replace(so_far, **{name: getattr(config, name)})
                found[name] = so_far
    return found


class StepWatch:
    """Notes each step of `decode`, for a single prompt."""

    def __init__(self, tokenizer: Tokenizer, config: GenerationConfig, candidates: int) -> None:
        self._tokenizer = tokenizer
        self._stages = stages(config)
        self._most = candidates
        self.steps: list[Step] = []

    def __call__(self, logits: torch.Tensor, so_far: Sequence[int], chosen: int) -> None:
        """*Shape*: logits (vocab,), as the model gives them; `so_far` are the tokens before."""
        chances = {
            name: reshape(logits, so_far, config).softmax(-1)
            for name, config in self._stages.items()
        }
        last = next(reversed(chances.values()))
        # What is excluded in the end is still shown, in the order of the model's own distribution.
        order = (last + chances["model"] * 1e-9).topk(min(self._most, len(last))).indices.tolist()

        def candidate(token: int) -> Candidate:
            return Candidate(
                token_id=token,
                text=shown(self._tokenizer, token),
                probabilities={name: float(values[token]) for name, values in chances.items()},
            )

        self.steps.append(
            Step(
                chosen=candidate(chosen),
                candidates=tuple(map(candidate, order)),
                kept={name: int((values > 0).sum()) for name, values in chances.items()},
            )
        )


class BeamWatch:
    """Notes the beams of transformers' search, as a logits processor that changes nothing."""

    def __init__(self, tokenizer: Tokenizer, prompt_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._prompt = prompt_tokens
        self._totals: dict[tuple[int, ...], float] = {(): 0.0}
        self._scores: list[torch.Tensor] = []
        self._rows: list[tuple[int, ...]] = [()]
        self.steps: list[tuple[Beam, ...]] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """*Shape*: input_ids (beams, length), scores (beams, vocab), log-probabilities."""
        rows = [tuple(row) for row in input_ids[:, self._prompt :].tolist()]
        if self._scores:
            self._note(rows)
        self._rows, self._scores = list(dict.fromkeys(rows)), [scores]
        self._index = {row: rows.index(row) for row in self._rows}
        return scores

    def _note(self, rows: Sequence[tuple[int, ...]]) -> None:
        totals, beams = {}, []
        for row in dict.fromkeys(rows):
            *before, token = row
            parent = tuple(before)
            if parent not in self._index:
                continue  # filling of a search that is over
            score = float(self._scores[0][self._index[parent], token])
            totals[row] = self._totals[parent] + score
            beams.append(
                Beam(
                    text=self._tokenizer.decode(known_ids(self._tokenizer, row)),
                    token=shown(self._tokenizer, token),
                    parent=self._rows.index(parent),
                    log_probability=totals[row],
                )
            )
        self._totals = totals
        self.steps.append(tuple(beams))


def shown(tokenizer: Tokenizer, token: int) -> str:
    """A token as text, half a character as the tokenizer writes it, its number if it is none."""
    written = tokenizer.id_to_token(token)
    if written is None:
        return f"<{token}>"
    text = tokenizer.decode([token], skip_special_tokens=False)
    return written if "\ufffd" in text or not text else text


def trace_json(trace: Trace) -> dict[str, Any]:
    """A trace as JSON values."""

    def candidate(one: Candidate) -> dict[str, Any]:
        return {"id": one.token_id, "token": one.text, "probabilities": dict(one.probabilities)}

    return {
        "steps": [
            {
                "chosen": candidate(step.chosen),
                "candidates": [candidate(one) for one in step.candidates],
                "kept": dict(step.kept),
            }
            for step in trace.steps
        ],
        "beams": [
            [
                {
                    "text": beam.text,
                    "token": beam.token,
                    "parent": beam.parent,
                    "log_probability": beam.log_probability,
                }
                for beam in step
            ]
            for step in trace.beams
        ],
    }
