"""What `trace` shows is what decoding does."""

from __future__ import annotations

import math

import pytest
import torch

from embedsearch.errors import InputError
from embedsearch.generation import CausalLM, GenerationConfig
from embedsearch.generation.tracing import stages, trace_json
from tests.generation.tiny import make_tiny_lm

PROMPT = "the cat"
SAMPLED = GenerationConfig(
    max_new_tokens=8, temperature=1.5, top_k=20, top_p=0.9, min_p=0.02, repetition_penalty=1.2
)


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    folder = make_tiny_lm(tmp_path_factory.mktemp("lm") / "tiny")
    return CausalLM.load(folder, device="cpu", dtype="float32")


def chances(lm, ids):
    """The model's distribution after some tokens, without a cache."""
    with torch.no_grad():
        return lm._model(torch.tensor([ids])).logits[0, -1].softmax(-1)


@pytest.mark.parametrize("config", [GenerationConfig(max_new_tokens=8), SAMPLED])
def test_each_step_is_shown(lm, config):
    trace = lm.trace(PROMPT, config, candidates=300)
    [generation] = trace.generations
    assert [generation] == lm.generate([PROMPT], config)
    assert [step.chosen.token_id for step in trace.steps] == list(generation.token_ids)
    ids = lm.tokenizer.encode(PROMPT).ids
    for step in trace.steps:
        model = chances(lm, ids)
        for candidate in step.candidates:
            expected = pytest.approx(float(model[candidate.token_id]), rel=1e-4, abs=1e-8)
            assert candidate.probabilities["model"] == expected
        for stage in step.kept:
            total = math.fsum(one.probabilities[stage] for one in step.candidates)
            assert total == pytest.approx(1, abs=1e-4)
            possible = sum(one.probabilities[stage] > 0 for one in step.candidates)
            assert possible == step.kept[stage]
        last = [list(one.probabilities.values())[-1] for one in step.candidates]
        assert last == sorted(last, reverse=True)
        assert step.chosen.probabilities in [one.probabilities for one in step.candidates]
        ids.append(step.chosen.token_id)


def test_what_each_setting_does(lm):
    for step in lm.trace(PROMPT, SAMPLED, candidates=300).steps:
        assert list(step.kept) == [
            "model", "repetition_penalty", "temperature", "top_k", "top_p", "min_p",
        ]  # fmt: skip
        kept = list(step.kept.values())
        assert kept == sorted(kept, reverse=True)
        assert step.kept["top_k"] == 20
        first = step.candidates[0].probabilities
        assert first["temperature"] < first["repetition_penalty"]  # above 1 it flattens
        top_k = [
            one.probabilities["top_k"] for one in step.candidates if one.probabilities["top_k"]
        ]
        least = next(n for n in range(1, 21) if sum(sorted(top_k, reverse=True)[:n]) >= 0.9 - 1e-6)
        assert step.kept["top_p"] == least
    assert list(stages(GenerationConfig())) == ["model"]


def test_few_candidates(lm):
    trace = lm.trace(PROMPT, GenerationConfig(max_new_tokens=3), candidates=2)
    for step in trace.steps:
        assert len(step.candidates) == 2
        assert step.candidates[0] == step.chosen


def test_beams_as_they_branch(lm):
    config = GenerationConfig(max_new_tokens=6, num_beams=3, num_return_sequences=3)
    trace = lm.trace(PROMPT, config)
    assert list(trace.generations) == lm.generate([PROMPT], config)
    assert not trace.steps
    prompt = lm.tokenizer.encode(PROMPT).ids
    assert len(trace.beams) == 5  # the last tokens are those of the texts
    for number, beams in enumerate(trace.beams):
        assert 1 <= len(beams) <= 3
        before = trace.beams[number - 1] if number else None
        for beam in beams:
            ids = lm.tokenizer.encode(beam.text).ids
            if before is not None and "\ufffd" not in beam.text:
                assert beam.text.startswith(before[beam.parent].text.rstrip("\ufffd"))
            if len(ids) == number + 1:
                total = sum(
                    math.log(chances(lm, prompt + ids[:place])[token])
                    for place, token in enumerate(ids)
                )
                assert beam.log_probability == pytest.approx(total, rel=1e-3)
        scores = [beam.log_probability for beam in beams]
        assert scores == sorted(scores, reverse=True)
    final = {beam.text.rstrip("\ufffd") for beam in trace.beams[-1]}
    assert any(generation.text.startswith(tuple(final)) for generation in trace.generations)


def test_as_json(lm):
    told = trace_json(lm.trace(PROMPT, GenerationConfig(max_new_tokens=2), candidates=3))
    assert [len(step["candidates"]) for step in told["steps"]] == [3, 3]
    assert told["steps"][0].keys() == {"chosen", "candidates", "kept"}
    assert told["beams"] == []
    told = trace_json(lm.trace(PROMPT, GenerationConfig(max_new_tokens=3, num_beams=2)))
    assert told["beams"][0][0].keys() == {"text", "token", "parent", "log_probability"}


def test_what_cannot_be_traced(lm):
    with pytest.raises(InputError, match="num_return_sequences"):
        lm.trace(PROMPT, GenerationConfig(temperature=1, num_return_sequences=2))
    with pytest.raises(InputError, match="candidates"):
        lm.trace(PROMPT, candidates=0)
    with pytest.raises(InputError, match="empty"):
        lm.trace("")
