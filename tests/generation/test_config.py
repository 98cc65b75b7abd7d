"""Settings that cannot be, and the distributions that settings make."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from embedsearch.errors import InputError
from embedsearch.generation import GenerationConfig
from embedsearch.generation.sampling import choose, reshape


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_new_tokens": 0},
        {"max_new_tokens": 1.5},
        {"temperature": -1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"temperature": "hot"},
        {"temperature": 1, "top_k": -1},
        {"temperature": 1, "top_p": 0},
        {"temperature": 1, "top_p": 1.5},
        {"temperature": 1, "min_p": -0.5},
        {"repetition_penalty": 0},
        {"num_beams": 0},
        {"num_beams": True},
        {"temperature": 1, "num_beams": 2},
        {"num_return_sequences": 2},
        {"num_beams": 2, "num_return_sequences": 3},
        {"top_k": 3},
        {"top_p": 0.5},
        {"min_p": 0.5},
        {"stop": ("",)},
        {"stop": "word"},
        {"seed": -1},
        {"seed": 1 << 63},
    ],
)
def test_settings_that_cannot_be(wrong):
    with pytest.raises(InputError, match=list(wrong)[-1]):
        GenerationConfig(**wrong)


settings = st.builds(
    GenerationConfig,
    temperature=st.floats(0.1, 3),
    top_k=st.integers(0, 12),
    top_p=st.floats(0.05, 1),
    min_p=st.floats(0, 1),
    repetition_penalty=st.floats(0.5, 2),
)


@given(settings, st.integers(0, 1000), st.lists(st.integers(0, 9), max_size=5))
def test_the_distribution_is_that_of_transformers(config, seed, ids):
    logits = 3 * torch.randn(10, generator=torch.Generator().manual_seed(seed))
    processors = LogitsProcessorList()
    if ids:
        processors.append(RepetitionPenaltyLogitsProcessor(config.repetition_penalty))
    processors.append(TemperatureLogitsWarper(config.temperature))
    if config.top_k:
        processors.append(TopKLogitsWarper(config.top_k))
    processors.append(TopPLogitsWarper(config.top_p))
    processors.append(MinPLogitsWarper(config.min_p))
    expected = processors(torch.tensor([ids], dtype=torch.int64), logits[None].clone())[0]
    torch.testing.assert_close(reshape(logits, ids, config), expected)


def test_what_is_drawn_has_that_distribution():
    logits = torch.log(torch.tensor([0.5, 0.3, 0.2]))
    generator = torch.Generator().manual_seed(0)
    drawn = torch.tensor([choose(logits, generator) for _ in range(4000)])
    parts = torch.bincount(drawn, minlength=3) / len(drawn)
    torch.testing.assert_close(parts, logits.exp(), atol=0.03, rtol=0)


@pytest.mark.parametrize("temperature", [1e-300, 1e-40, 1e-5])
def test_next_to_no_temperature_takes_the_likeliest(temperature):
    logits = torch.tensor([0.0, 2.0, 1.0, -80.0, 0.0])
    found = reshape(logits, [], GenerationConfig(temperature=temperature))
    assert found.softmax(-1).tolist() == [0, 1, 0, 0, 0]


@pytest.mark.parametrize("penalty", [1e-300, 1e300])
@pytest.mark.parametrize("temperature", [1e-300, 1, 1e300])
def test_extremes_are_no_accidents(temperature, penalty):
    logits = torch.tensor([0.0, 2.0, 1.0, -80.0, 0.0])
    config = GenerationConfig(temperature=temperature, repetition_penalty=penalty)
    chances = reshape(logits, [1, 3], config).softmax(-1)
    assert float(chances.sum()) == pytest.approx(1)
