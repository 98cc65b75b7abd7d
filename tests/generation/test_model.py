"""Generation against transformers' own, on the same weights."""

from __future__ import annotations

import itertools
import json
import shutil

import pytest

from embedsearch.errors import DeviceError, InputError, ModelError, NotFoundError
from embedsearch.generation import CausalLM, GenerationConfig
from tests.encoder.tiny import edit_json, make_tiny_model
from tests.generation.tiny import CHAT, CONTEXT, END, make_tiny_lm

PROMPTS = ["the cat", "in", "a longer prompt than the others, by far", "é日本"]
SHORT = GenerationConfig(max_new_tokens=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_lm(tmp_path_factory.mktemp("lm") / "tiny")


@pytest.fixture(scope="module")
def lm(folder):
    return CausalLM.load(folder, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def reference(folder):
    """transformers' ids for a prompt, by its own tokenizer and its own `generate`."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def generate(prompt, **settings):
        given = tokenizer(prompt, return_tensors="pt")
        found = model.generate(
            **given, pad_token_id=tokenizer.eos_token_id, max_new_tokens=16, **settings
        )
        rows = [row[given["input_ids"].shape[1] :].tolist() for row in found]
        end = tokenizer.eos_token_id
        return [row[: row.index(end) + 1] if end in row else row for row in rows], tokenizer

    return generate


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("penalty", [1.0, 1.5])
def test_greedy_is_that_of_transformers(lm, reference, prompt, penalty):
    [expected], tokenizer = reference(prompt, do_sample=False, repetition_penalty=penalty)
    config = GenerationConfig(max_new_tokens=16, repetition_penalty=penalty)
    [found] = lm.generate([prompt], config)
    assert list(found.token_ids) == expected
    assert found.text == str(found) == tokenizer.decode(expected, skip_special_tokens=True)
    assert found.prompt_tokens == len(tokenizer(prompt)["input_ids"])


@pytest.mark.parametrize("prompt", PROMPTS)
def test_beams_are_those_of_transformers(lm, reference, prompt):
    expected, _ = reference(prompt, do_sample=False, num_beams=4, num_return_sequences=3)
    config = GenerationConfig(max_new_tokens=16, num_beams=4, num_return_sequences=3)
    assert [list(found.token_ids) for found in lm.generate([prompt], config)] == expected


@pytest.mark.parametrize(
    "config",
    [
        SHORT,
        GenerationConfig(max_new_tokens=16, temperature=1.5, top_k=50, seed=3),
        GenerationConfig(max_new_tokens=16, temperature=2.0, num_return_sequences=2),
        GenerationConfig(max_new_tokens=8, num_beams=3),
        GenerationConfig(max_new_tokens=16, repetition_penalty=2.0),
    ],
)
def test_a_batch_gives_what_each_prompt_gives_alone(lm, config):
    together = lm.generate(PROMPTS, config)
    alone = [found for prompt in PROMPTS for found in lm.generate([prompt], config)]
    assert together == alone


def test_what_is_drawn_depends_on_the_seed_alone(lm):
    def drawn(**settings):
        config = GenerationConfig(max_new_tokens=16, temperature=1.0, **settings)
        return [found.token_ids for found in lm.generate(["the cat"], config)]

    assert drawn() == drawn()
    assert drawn() != drawn(seed=1)
    one, other = drawn(num_return_sequences=2)
    assert [one] == drawn()
    assert [other] == drawn(seed=1)
    assert drawn(top_k=1) == [lm.generate(["the cat"], SHORT)[0].token_ids]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_stream_is_the_text_in_pieces(lm, prompt):
    for temperature in (0.0, 2.0):
        config = GenerationConfig(max_new_tokens=20, temperature=temperature)
        pieces = list(lm.stream(prompt, config))
        assert all(pieces)
        assert "".join(pieces) == lm.generate([prompt], config)[0].text


def test_a_stream_comes_as_it_is_made(lm, monkeypatch):
    calls = itertools.count()
    forward = lm._model.forward
    monkeypatch.setattr(lm._model, "forward", lambda **k: (next(calls), forward(**k))[1])
    stream = lm.stream("the cat", SHORT)
    next(stream)
    assert 1 <= next(calls) < 8
    stream.close()


def test_stop_strings_across_tokens(lm):
    whole = lm.generate(["the cat"], SHORT)[0].text
    for start in range(len(whole) - 3):
        stop = whole[start : start + 3]
        config = GenerationConfig(max_new_tokens=16, stop=("never", stop))
        [found] = lm.generate(["the cat"], config)
        assert found.text == whole[: whole.index(stop)]
        assert found.finish == "stop"
        assert "".join(lm.stream("the cat", config)) == found.text


def test_how_it_ends(lm, tmp_path, folder):
    assert lm.generate(["in"], GenerationConfig(max_new_tokens=3))[0].finish == "length"
    shutil.copytree(folder, tmp_path / "ends")
    first = lm.generate(["in"], SHORT)[0].token_ids[0]
    edit_json(tmp_path / "ends" / "generation_config.json", eos_token_id=[first])
    ending = CausalLM.load(tmp_path / "ends", device="cpu", dtype="float32")
    [found] = ending.generate(["in"], SHORT)
    assert (found.text, found.token_ids, found.finish) == ("", (first,), "end")


def test_the_context_is_checked_before(lm, monkeypatch):
    assert lm.max_tokens == CONTEXT
    room = CONTEXT - lm.count("the cat")
    lm.generate(["the cat"], GenerationConfig(max_new_tokens=room))
    monkeypatch.setattr(lm, "_model", None)
    monkeypatch.setattr(type(lm), "max_tokens", CONTEXT)
    with pytest.raises(InputError, match=f"{CONTEXT} tokens"):
        lm.generate(["in", "the cat"], GenerationConfig(max_new_tokens=room + 1))
    with pytest.raises(InputError, match=f"{CONTEXT} tokens"):
        lm.stream("the cat", GenerationConfig(max_new_tokens=room + 1))


def test_messages(tmp_path, lm):
    messages = [{"role": "system", "content": "the"}, {"role": "user", "content": "cat"}]
    with_template = CausalLM.load(
        make_tiny_lm(tmp_path / "chat", chat=True), device="cpu", dtype="float32"
    )
    written = "<system>the<user>cat<assistant>"
    assert "assistant" in CHAT
    assert with_template.generate([messages], SHORT) == with_template.generate([written], SHORT)
    assert lm.generate([messages], SHORT) == lm.generate(["the\n\ncat\n\n"], SHORT)


def test_nothing_to_do(lm):
    assert lm.generate([]) == []
    for wrong in ([""], [[]]):
        with pytest.raises(InputError, match="empty"):
            lm.generate(wrong)
    for prompts in ("the cat", {"role": "user", "content": "the cat"}):
        with pytest.raises(InputError, match="list"):
            lm.generate(prompts)
    with pytest.raises(InputError, match="num_beams"):
        lm.stream("the cat", GenerationConfig(num_beams=2))


@pytest.mark.parametrize(
    "prompt",
    [None, 3, b"the", {"role": "user", "content": "the"}, ["the"], [{"role": "user"}],
     [{"role": "user", "content": None}], [{"role": 1, "content": "the"}]],
)  # fmt: skip
def test_prompts_that_are_none(lm, prompt):
    with pytest.raises(InputError, match="a prompt is a text or a list of messages"):
        lm.generate([prompt])
    with pytest.raises(InputError, match="a prompt is a text or a list of messages"):
        lm.stream(prompt)


def test_prompts_with_half_a_character(lm):
    for prompt in ("the \ud800", [{"role": "user", "content": "the \ud800"}]):
        with pytest.raises(InputError, match="lone surrogate at character 4"):
            lm.generate([prompt])


def test_folders_that_hold_no_language_model(tmp_path, folder):
    with pytest.raises(NotFoundError, match="nowhere"):
        CausalLM.load(tmp_path / "nowhere")
    for name in ("", "not/a/hub/id"):
        with pytest.raises(NotFoundError, match="no folder of a language model"):
            CausalLM.load(name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"config\.json"):
        CausalLM.load(tmp_path / "empty")
    with pytest.raises(ModelError, match="BertModel"):
        CausalLM.load(make_tiny_model(tmp_path / "bert"))
    with pytest.raises(InputError, match="int4"):
        CausalLM.load(folder, dtype="int4")


def damaged(folder, tmp_path, name):
    return shutil.copytree(folder, tmp_path / name)


def test_damaged_folders(tmp_path, folder):
    copy = damaged(folder, tmp_path, "cut")
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        CausalLM.load(copy)
    weights.unlink()
    with pytest.raises(ModelError, match="safetensors"):
        CausalLM.load(copy)
    copy = damaged(folder, tmp_path, "json")
    (copy / "config.json").write_text("[]")
    with pytest.raises(ModelError, match="damaged"):
        CausalLM.load(copy)
    (copy / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no folder of a language model: it has no config\.json"):
        CausalLM.load(copy)


def test_missing_weights(tmp_path, folder):
    copy = damaged(folder, tmp_path, "more")
    edit_json(copy / "config.json", num_hidden_layers=3)
    with pytest.raises(ModelError, match="lacks weights"):
        CausalLM.load(copy, device="cpu")


def test_rows_beyond_the_vocabulary(tmp_path, folder):
    """Many models have more rows than tokens, to a round number; what they stand for is nothing."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    copy = damaged(folder, tmp_path, "wide")
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(2000, mean_resizing=False)
    torch.manual_seed(0)
    with torch.no_grad():
        model.lm_head.weight.normal_(0, 0.3)
    model.save_pretrained(copy)
    lm = CausalLM.load(copy, device="cpu", dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(copy)
    for config in (SHORT, GenerationConfig(max_new_tokens=16, num_beams=2)):
        trace = lm.trace("the cat", config)
        [found] = trace.generations
        assert any(token >= lm.tokenizer.vocab_size for token in found.token_ids)
        assert found.text == tokenizer.decode(found.token_ids, skip_special_tokens=True)
        assert lm.generate(["the cat"], config) == [found]
    assert any(step.chosen.text.startswith("<") for step in lm.trace("the cat", SHORT).steps)


def test_weights_that_are_no_numbers(tmp_path, folder):
    from safetensors.torch import load_file, save_file

    copy = damaged(folder, tmp_path, "nan")
    weights = load_file(copy / "model.safetensors")
    weights["model.norm.weight"][:] = float("nan")
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    lm = CausalLM.load(copy, device="cpu", dtype="float32")
    for config in (SHORT, GenerationConfig(temperature=1, max_new_tokens=2)):
        with pytest.raises(ModelError, match="gives no numbers"):
            lm.generate(["the cat"], config)


def test_a_device_that_is_too_small(lm, monkeypatch):
    import torch

    def fail(**_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(lm._model, "forward", fail)
    for config in (SHORT, GenerationConfig(max_new_tokens=2, num_beams=2)):
        with pytest.raises(DeviceError, match="not enough memory"):
            lm.generate(["the cat"], config)


@pytest.mark.parametrize("kind", ["Mamba", "RecurrentGemma"])
def test_models_that_are_no_transformers(tmp_path, folder, kind):
    import transformers

    copy = damaged(folder, tmp_path, kind)
    (copy / "model.safetensors").unlink()
    sizes = {"vocab_size": 264, "hidden_size": 32, "num_hidden_layers": 3, "eos_token_id": 263}
    more = {"num_attention_heads": 4, "intermediate_size": 96, "lru_width": 32}
    config = getattr(transformers, f"{kind}Config")(
        **sizes, **(more if kind == "RecurrentGemma" else {"state_size": 4})
    )
    getattr(transformers, f"{kind}ForCausalLM")(config).save_pretrained(copy)
    with pytest.raises(ModelError, match="keeps no keys and values"):
        CausalLM.load(copy, device="cpu").generate(["the cat"], SHORT)


def test_tokenizer_and_model_that_disagree(tmp_path, folder):
    copy = damaged(folder, tmp_path, "tokens")
    tokenizer = json.loads((copy / "tokenizer.json").read_text(encoding="utf-8"))
    more = tokenizer["added_tokens"][0] | {"id": tokenizer["added_tokens"][0]["id"] + 1}
    tokenizer["added_tokens"].append(more | {"content": END + "2"})
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(ModelError, match="disagree"):
        CausalLM.load(copy, device="cpu")


def test_a_download_that_was_interrupted_is_not_a_model(tmp_path, folder, monkeypatch):
    """It is fetched again, which goes on from there."""
    from embedsearch.generation.folder import at_hand

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    home = tmp_path / "models--some--model"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("abc")
    copy = shutil.copytree(folder, home / "snapshots" / "abc")
    assert at_hand("some/model")
    for name in ("tokenizer.json", "config.json", "model.safetensors"):
        (copy / name).rename(tmp_path / "apart")
        assert not at_hand("some/model")
        (tmp_path / "apart").rename(copy / name)
    first, second = (copy / f"model-0000{n}-of-00002.safetensors" for n in (1, 2))
    (copy / "model.safetensors").rename(first)
    assert not at_hand("some/model")
    weights = {"a": first.name, "b": second.name}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))
    assert not at_hand("some/model")
    shutil.copy(first, second)
    assert at_hand("some/model")
