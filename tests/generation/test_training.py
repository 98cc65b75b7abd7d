"""Language models that learn: rows, loss, freezing, LoRA, interruption, what is written."""

from __future__ import annotations

import gzip
import json
import random
import resource
import signal
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from embedsearch.errors import InputError, ModelError, NotFoundError, StorageError
from embedsearch.generation import CausalLM, GenerationConfig
from embedsearch.generation.prompts import PromptEncoder
from embedsearch.generation.training import (
    ArchitectureConfig,
    LMTrainingConfig,
    Pair,
    read_pairs,
    start_anew,
    start_from,
    train_lm,
)
from embedsearch.generation.training.recall import (
    FEW_TOKENS,
    LONGEST,
    recall_rows,
    records_again,
    segment_again,
)
from embedsearch.generation.training.rows import (
    Example,
    encode_pairs,
    pack_rows,
    side_by_side,
)
from embedsearch.generation.training.trainer import group_loss
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.types import SILENT
from tests.generation.tiny import END, make_tiny_lm
from tests.support import Notes

PAIRS = [
    Pair(prompt=f"the colour of {thing} is", response=colour, place=f"p:{number}")
    for number, (thing, colour) in enumerate(
        [("grass", " green"), ("snow", " white"), ("coal", " black"), ("blood", " red")], start=1
    )
]
QUICK = LMTrainingConfig(
    epochs=30, max_tokens=64, rows_per_step=1, learning_rate=5e-3, warmup_steps=2
)
ASKED = [pair.prompt for pair in PAIRS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_lm(tmp_path_factory.mktemp("lm") / "tiny")


def say(folder, prompts=ASKED):
    lm = CausalLM.load(folder, device="cpu", dtype="float32")
    return lm.generate(prompts, GenerationConfig(max_new_tokens=16))


def test_it_learns_and_is_loaded(folder, tmp_path):
    report = train_lm(PAIRS, QUICK, start=start_from(folder), output=tmp_path / "out", device="cpu")
    said = say(tmp_path / "out")
    assert [one.text for one in said] == [pair.response for pair in PAIRS]
    assert {one.finish for one in said} == {"end"}
    assert report.losses[-1] < 0.1 < report.losses[0]
    assert (report.examples, report.steps) == (4, 30 * 2)
    assert report.parameters == report.trained_parameters
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        "config.json", "model.safetensors", "tokenizer.json", "training.json",
    }  # fmt: skip
    assert not (tmp_path / "out" / "checkpoint").exists()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").config.eos_token_id is not None
    assert len(AutoTokenizer.from_pretrained(tmp_path / "out")) > 256


def test_the_loss_is_that_of_the_responses(folder):
    """A group gives what transformers gives for each example, prompts masked."""
    model = start_from(folder).model
    examples = [
        Example(ids=tuple(range(10, 10 + length)), answer=answer)
        for length, answer in ((6, 4), (9, 1), (5, 3))
    ]
    expected = 0.0
    for example in examples:
        labels = [-100] * example.answer + list(example.ids[example.answer :])
        ids = torch.tensor([example.ids])
        with torch.no_grad():
            out = model(input_ids=ids, labels=torch.tensor([labels]))
        expected += float(out.loss) * example.learned
    with torch.no_grad():
        loss = group_loss(model, examples)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=60), st.integers(20, 40), st.integers(0, 9)
)
def test_rows_hold_every_example_once(sizes, most, seed):
    examples = [Example(ids=(number,) * size, answer=0) for number, size in enumerate(sizes)]
    rows = pack_rows(examples, most, seed)
    held = [example for row in rows for example in row]
    assert sorted(held, key=lambda each: each.ids) == sorted(examples, key=lambda each: each.ids)
    assert all(0 < sum(len(example.ids) for example in row) <= most for row in rows)
    assert pack_rows(examples, most, seed) == rows
    assert len(rows) <= 2 * -(-sum(sizes) // most) + 1


@given(st.lists(st.integers(1, 20), min_size=1, max_size=60), st.integers(20, 90))
def test_groups_hold_every_example_once(sizes, most):
    examples = [Example(ids=(number,) * size, answer=0) for number, size in enumerate(sizes)]
    groups = side_by_side(examples, most)
    held = [example for group in groups for example in group]
    assert sorted(held, key=lambda each: each.ids) == sorted(examples, key=lambda each: each.ids)
    assert all(len(group) * max(len(one.ids) for one in group) <= most for group in groups)
    lengths = [len(example.ids) for example in held]
    assert lengths == sorted(lengths, reverse=True)


@given(st.integers(0, 999))
def test_a_segment_is_repeated_and_its_repeats_are_learned(seed):
    example = segment_again(random.Random(seed), range(100))
    size = example.answer - 1
    times, rest = divmod(len(example.ids), size)
    assert 4 <= size <= 16
    assert times in (2, 3)
    assert not rest
    assert example.ids == example.ids[:size] * times


@given(st.integers(0, 999), st.integers(1, 6))
def test_records_are_recalled_with_their_marks_behind(seed, most):
    """What is learned is every record that was shown, and its mark behind it."""
    example = records_again(random.Random(seed), range(1_000_000), most)
    shown, again = example.ids[: example.answer], example.ids[example.answer :]
    assert len(example.ids) <= LONGEST * most
    closing, distances, recalled = shown[-1], set(), 0
    while again:
        end = again.index(closing) + 1
        record, mark, again = again[:end], again[end], again[end + 1 :]
        [place] = [n for n in range(len(shown)) if shown[n : n + end] == record]
        distances.add(place - shown.index(mark))
        recalled += 1
    assert len(distances) == 1
    assert distances <= {1, 2, 3}
    assert recalled == shown.count(closing) <= most


def test_rows_of_recall_widen():
    seed = 3
    steps = recall_rows(1000, steps=20, rows=2, max_tokens=100, seed=seed)
    assert steps == recall_rows(1000, steps=20, rows=2, max_tokens=100, seed=seed)
    assert steps != recall_rows(1000, steps=20, rows=2, max_tokens=100, seed=seed + 1)
    assert len(steps) == 20
    assert all(len(rows) == 2 for rows in steps)
    sizes = [sum(len(example.ids) for example in row) for rows in steps for row in rows]
    assert max(sizes) <= 100
    assert min(sizes) > 100 - LONGEST
    seen = [{t for row in rows for example in row for t in example.ids} for rows in steps]
    assert len(set().union(*seen[:7])) <= FEW_TOKENS < len(set().union(*seen))
    assert recall_rows(10**6, steps=0, rows=1, max_tokens=100, seed=0) == []


def test_pairs_as_tokens(folder):
    tokenizer = Tokenizer.load(folder)
    prompts = PromptEncoder(tokenizer, templated=False)
    [example], [skipped] = encode_pairs(
        [Pair(prompt="the cat", response=" in"), Pair(prompt="x" * 50, response="y", place="f:2")],
        prompts,
        end=tokenizer.token_to_id(END),
        max_tokens=20,
    )
    assert tokenizer.decode(example.ids, skip_special_tokens=False) == f"the cat in{END}"
    assert tokenizer.decode(example.ids[example.answer :]) == " in"
    assert (skipped.path, skipped.reason) == ("f:2", "52 tokens, over max_tokens 20")
    with pytest.raises(InputError, match=r"no pair to learn from; the first, : .*max_tokens 20"):
        encode_pairs([Pair(prompt="x" * 50, response="y")], prompts, end=None, max_tokens=20)
    with pytest.raises(InputError, match="no pair to learn from"):
        encode_pairs([], prompts, end=None, max_tokens=20)


def test_pairs_that_cannot_be_tokens_are_passed_over(folder):
    """A template may refuse messages, and a response may be nothing: the others are learned."""
    template = "{% if messages[0].role == 'robot' %}{{ raise_exception('no robots') }}{% endif %}hi"
    prompts = PromptEncoder(Tokenizer.load(folder).with_chat_template(template), templated=True)
    pairs = [
        Pair(prompt=[{"role": "robot", "content": "x"}], response="y", place="f:1"),
        Pair(prompt=[{"role": "user", "content": "x"}], response="y", place="f:2"),
        Pair(prompt="x", response="", place="f:3"),
        Pair(prompt="", response="y", place="f:4"),
        Pair(prompt=None, response="y", place="f:5"),
    ]
    [example], skipped = encode_pairs(pairs, prompts, end=None, max_tokens=20)
    assert prompts.tokenizer.decode(example.ids) == "hiy"
    assert [each.path for each in skipped] == ["f:1", "f:3", "f:4", "f:5"]
    assert "no robots" in skipped[0].reason


class Interrupts:
    """A progress that is interrupted after so many steps."""

    def __init__(self, steps):
        self.left = steps

    def start(self, description, total, unit):
        pass

    def note(self, message):
        pass

    def advance(self, amount):
        self.left -= 1 if amount else 0
        if amount and self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("settings", [{}, {"method": "lora"}, {"recall_steps": 5}])
def test_an_interrupted_training_goes_on(folder, tmp_path, settings):
    """And gives what it would have given, whatever was drawn before in this process."""
    config = LMTrainingConfig(epochs=6, max_tokens=48, rows_per_step=1, warmup_steps=2, **settings)
    base = forgetful(tmp_path / "base")

    def weights(name):
        from safetensors.torch import load_file

        return load_file(tmp_path / name / "model.safetensors")

    def train(name, progress=SILENT):
        torch.rand(len(name))
        return train_lm(
            PAIRS, config, start=start_from(base), output=tmp_path / name, device="cpu",
            progress=progress,
        )  # fmt: skip

    whole = train("whole")
    for steps in (3, 4):
        with pytest.raises(KeyboardInterrupt):
            train("parts", Interrupts(steps))
    state = json.loads((tmp_path / "parts/checkpoint/state.json").read_text(encoding="utf-8"))
    assert 0 < state["step"] < whole.steps
    parts = train("parts")
    assert parts.losses == pytest.approx(whole.losses)
    assert len(parts.losses) == 6
    assert parts.recall_loss == pytest.approx(whole.recall_loss)
    assert (parts.recall_loss is None) == ("recall_steps" not in settings)
    for name, expected in weights("whole").items():
        torch.testing.assert_close(weights("parts")[name], expected)
    assert not (tmp_path / "parts" / "checkpoint").exists()


def forgetful(folder):
    """A tiny GPT-2, which has dropout."""
    from transformers import GPT2Config, GPT2LMHeadModel

    make_tiny_lm(folder)
    torch.manual_seed(0)
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": 264}
    config = GPT2Config(**sizes, bos_token_id=None, eos_token_id=263, initializer_range=0.3)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


SHORT = LMTrainingConfig(epochs=2, max_tokens=64, rows_per_step=1, warmup_steps=0)


def train_short(base, output, *, pairs=PAIRS, config=SHORT, progress=SILENT):
    start = start_from(base)
    return train_lm(
        pairs, config, start=start, output=output, device="cpu", progress=progress
    ).losses


@pytest.fixture
def interruptible():
    """Tests that run in the background of a shell hand down that SIGINT is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interruption_does_not_cut_an_update_in_two(folder, tmp_path, monkeypatch):
    """Python raises it anywhere: before the weights are changed, or just after."""
    whole = train_short(folder, tmp_path / "whole")
    update = torch.optim.AdamW.step
    for when in ("before", "after"):

        def interrupted(optimizer, when=when):
            if when == "before":
                signal.raise_signal(signal.SIGINT)
            update(optimizer)
            if when == "after":
                signal.raise_signal(signal.SIGINT)

        for _ in range(2):
            with monkeypatch.context() as patched:
                patched.setattr(torch.optim.AdamW, "step", interrupted)
                with pytest.raises(KeyboardInterrupt):
                    train_short(folder, tmp_path / when)
        state = json.loads((tmp_path / when / "checkpoint/state.json").read_text(encoding="utf-8"))
        assert state["step"] == 2
        assert train_short(folder, tmp_path / when) == pytest.approx(whole)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("other", ["pairs", "weights", "settings", "damage"])
def test_the_work_of_another_run_is_not_lost(folder, tmp_path, other):
    """Of other pairs, other settings, or of a base that is the same but for its weights."""
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        train_short(folder, out, progress=Interrupts(2))
    changed = {
        "pairs": {"pairs": PAIRS[:2]},
        "settings": {"config": LMTrainingConfig(epochs=3, max_tokens=64, rows_per_step=1)},
    }
    base = make_tiny_lm(tmp_path / "base", seed=1) if other == "weights" else folder
    [tensors] = (out / "checkpoint").glob("*.safetensors")
    content = tensors.read_bytes()
    if other == "damage":
        tensors.write_bytes(content[:99])
    with pytest.raises(InputError, match="delete it to start anew"):
        train_short(base, out, **changed.get(other, {}))
    tensors.write_bytes(content)
    alone = train_short(folder, tmp_path / "alone")
    assert train_short(folder, out) == pytest.approx(alone)


def test_a_training_that_was_killed_while_it_wrote_its_model(folder, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        train_short(folder, out, progress=Interrupts(2))
    (out / "checkpoint/unfinished").mkdir()
    (out / "checkpoint/unfinished/model.safetensors").write_bytes(b"half")
    (out / "config.json").write_text("{}")  # what was in its place already
    assert train_short(folder, out) == pytest.approx(train_short(folder, tmp_path / "alone"))
    assert {path.name for path in out.iterdir()} == {
        path.name for path in (tmp_path / "alone").iterdir()
    }
    assert CausalLM.load(out, device="cpu").max_tokens == 64


@pytest.mark.parametrize("every", [1, 100])
def test_a_disk_that_is_full(folder, tmp_path, every):
    """While a state or the model is written. What was saved is kept, and it goes on afterwards."""
    config = LMTrainingConfig(
        epochs=2, max_tokens=64, rows_per_step=1, warmup_steps=0, checkpoint_steps=every
    )
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        train_short(folder, out, config=config, progress=Interrupts(1))
    kept = {path.name for path in (out / "checkpoint").iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # the kernel refuses more bytes
    try:
        with pytest.raises(StorageError, match="cannot write to"):
            train_short(folder, out, config=config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name for path in (out / "checkpoint").iterdir()} == kept
    whole = train_short(folder, tmp_path / "alone", config=config)
    assert train_short(folder, out, config=config) == pytest.approx(whole)


def test_a_place_that_cannot_be_written_is_found_out_before_the_work(folder, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="cannot write to"):
        train_short(folder, tmp_path / "file" / "out", progress=Interrupts(1))


def test_a_model_without_a_limit(tmp_path):
    from transformers import BloomConfig, BloomForCausalLM

    base = make_tiny_lm(tmp_path / "base")
    sizes = {"hidden_size": 32, "n_layer": 1, "n_head": 4, "vocab_size": 264}
    BloomForCausalLM(BloomConfig(**sizes, bos_token_id=None, eos_token_id=263)).save_pretrained(
        base
    )
    assert train_short(base, tmp_path / "out")
    assert CausalLM.load(tmp_path / "out", device="cpu").max_tokens is None


def test_lora_leaves_a_model_of_the_same_form(folder, tmp_path):
    config = LMTrainingConfig(
        epochs=60, max_tokens=64, rows_per_step=2, learning_rate=2e-2, method="lora", lora_rank=4
    )
    report = train_lm(
        PAIRS, config, start=start_from(folder), output=tmp_path / "out", device="cpu"
    )
    before, after = start_from(folder).model, start_from(tmp_path / "out").model
    assert report.trained_parameters < report.parameters
    assert [n for n, _ in before.named_parameters()] == [n for n, _ in after.named_parameters()]
    assert torch.equal(before.get_input_embeddings().weight, after.get_input_embeddings().weight)
    assert [one.text for one in say(tmp_path / "out")] == [pair.response for pair in PAIRS]


def test_a_run_that_ends_before_the_learning_rate_is_up_is_told(folder, tmp_path):
    told = {}
    for epochs in (2, 3):
        told[epochs] = Notes()
        train_lm(
            PAIRS,
            replace(QUICK, epochs=epochs, warmup_steps=4),
            start=start_from(folder),
            output=tmp_path / str(epochs),
            device="cpu",
            progress=told[epochs],
        )
    assert any("4 steps in all" in line and "more epochs" in line for line in told[2].lines)
    assert not any("in all" in line for line in told[3].lines)


def test_embeddings_that_are_frozen(folder, tmp_path):
    config = LMTrainingConfig(epochs=2, max_tokens=64, freeze_embeddings=True)
    train_lm(PAIRS, config, start=start_from(folder), output=tmp_path / "out", device="cpu")
    before, after = start_from(folder).model, start_from(tmp_path / "out").model
    assert torch.equal(before.get_input_embeddings().weight, after.get_input_embeddings().weight)
    assert not torch.equal(
        before.get_output_embeddings().weight, after.get_output_embeddings().weight
    )


def test_new_tokens_learn_alone_at_first(folder, tmp_path):
    config = LMTrainingConfig(
        epochs=3, max_tokens=64, rows_per_step=1, frozen_steps=9, warmup_steps=0
    )
    old = start_from(folder)
    start = start_from(folder, ["grass"])
    assert len(start.new_ids) == 2  # with and without the blank before it
    assert start.tokenizer.token_to_id("grass") == start.new_ids[0] == old.tokenizer.vocab_size
    with pytest.raises(InputError, match="frozen_steps"):
        train_lm(PAIRS, config, start=start, output=tmp_path / "all", device="cpu")
    start = start_from(folder, ["grass"])
    config = LMTrainingConfig(
        epochs=4, max_tokens=64, rows_per_step=4, frozen_steps=3, warmup_steps=0
    )
    train_lm(PAIRS, config, start=start, output=tmp_path / "out", device="cpu")
    lm = CausalLM.load(tmp_path / "out", device="cpu", dtype="float32")
    assert lm.tokenizer.encode(" grass").ids == [start.new_ids[1]]


@pytest.mark.parametrize("stop", [1, 3, 4, 5])  # after step 4 all weights learn
def test_new_tokens_are_resumed_before_and_after_the_thaw(folder, tmp_path, stop):
    from safetensors.torch import load_file

    config = LMTrainingConfig(
        epochs=8,
        max_tokens=64,
        rows_per_step=4,
        frozen_steps=4,
        warmup_steps=0,
        weight_decay=0.5,
        learning_rate=1e-2,
    )

    def train(name, progress=SILENT):
        start = start_from(folder, ["grass"])
        train_lm(
            PAIRS, config, start=start, output=tmp_path / name, device="cpu", progress=progress
        )
        return load_file(tmp_path / name / "model.safetensors")

    with pytest.raises(KeyboardInterrupt):
        train("parts", Interrupts(stop))
    parts, whole = train("parts"), train("whole")
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "whole").iterdir()}
    assert modes["model.safetensors"] == modes["config.json"]  # not for the owner alone
    for name, value in whole.items():
        assert torch.equal(parts[name], value), name


def test_a_new_model(tmp_path):
    texts = [f"{pair.prompt}{pair.response}" for pair in PAIRS] * 3
    tokenizer = Tokenizer.train(texts, kind="byte-bpe", vocab_size=300)
    architecture = ArchitectureConfig(hidden_size=32, layers=1, heads=2, context=64)
    start = start_anew(tokenizer, architecture, seed=1)
    pairs = [
        Pair(prompt=[{"role": "user", "content": pair.prompt}], response=pair.response)
        for pair in PAIRS
    ]
    config = LMTrainingConfig(epochs=150, max_tokens=64, rows_per_step=4, learning_rate=2e-2)
    report = train_lm(pairs, config, start=start, output=tmp_path / "new", device="cpu")
    assert report.losses[-1] < 0.05
    lm = CausalLM.load(tmp_path / "new", device="cpu", dtype="float32")
    assert lm.max_tokens == 64
    said = lm.generate([pair.prompt for pair in pairs], GenerationConfig(max_new_tokens=9))
    assert [one.text for one in said] == [pair.response for pair in pairs]


def test_heads_of_a_new_model():
    tokenizer = Tokenizer.train(["abc"] * 3, kind="byte-bpe", vocab_size=260)

    def widths(**settings):
        model = start_anew(tokenizer, ArchitectureConfig(layers=1, context=64, **settings)).model
        return model.config.head_dim, tuple(model.model.layers[0].self_attn.q_proj.weight.shape)

    assert widths(hidden_size=32, heads=2) == (16, (32, 32))
    assert widths(hidden_size=30, heads=4, head_dim=8) == (8, (32, 30))


def test_attention_of_a_new_model_passes_on_what_it_looks_at():
    tokenizer = Tokenizer.train(["abc"] * 3, kind="byte-bpe", vocab_size=260)
    model = start_anew(tokenizer, ArchitectureConfig(layers=1, hidden_size=64, heads=2)).model
    attention = model.model.layers[0].self_attn
    passed = attention.o_proj.weight @ attention.v_proj.weight
    others = passed[~torch.eye(64, dtype=torch.bool)]
    assert passed.diagonal().mean() > 0.1 > 10 * abs(others.mean())


def test_what_a_new_model_hands_on_is_the_token():
    tokenizer = Tokenizer.train(["abc"] * 3, kind="byte-bpe", vocab_size=260)
    model = start_anew(tokenizer, ArchitectureConfig(layers=3, hidden_size=128, heads=2)).model
    with torch.no_grad():
        embedded, *_, handed_on = model(
            input_ids=torch.arange(64)[None], output_hidden_states=True
        ).hidden_states
    likeness = torch.nn.functional.cosine_similarity(embedded[0], handed_on[0])
    assert likeness.mean() > 0.5


def test_what_cannot_be_trained(folder, tmp_path):
    start = start_from(folder)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    (tmp_path / "other" / "checkpoint").mkdir(parents=True)
    (tmp_path / "other" / "checkpoint" / "notes.txt").write_text("mine")
    for name in ("full", "other", "full/notes.txt"):
        with pytest.raises(InputError, match="is there already"):
            train_lm(PAIRS, QUICK, start=start, output=tmp_path / name)
    with pytest.raises(InputError, match="more than the model's 64"):
        train_lm(PAIRS, LMTrainingConfig(max_tokens=65), start=start, output=tmp_path / "new")
    wild = LMTrainingConfig(max_tokens=64, learning_rate=1e30, warmup_steps=0, epochs=9)
    with pytest.raises(ModelError, match=r"the loss became nan.*try a smaller one"):
        train_lm(PAIRS, wild, start=start, output=tmp_path / "new", device="cpu")
    endless = Tokenizer.train(["abc"] * 3, kind="char", vocab_size=300)
    with pytest.raises(InputError, match="ends a text"):
        start_anew(endless, ArchitectureConfig())


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"max_tokens": 1.5},
        {"learning_rate": 0},
        {"learning_rate": float("nan")},
        {"weight_decay": -1},
        {"method": "magic"},
        {"method": "lora", "freeze_embeddings": True},
        {"freeze_embeddings": True, "frozen_steps": 3},
        {"lora_rank": 0},
        {"recall_steps": -1},
        {"method": "lora", "recall_steps": 3},
        {"recall_steps": 3, "max_tokens": 40},
        {"seed": 1 << 63},
    ],
)
def test_settings_that_cannot_be(wrong):
    with pytest.raises(InputError, match=list(wrong)[-1]):
        LMTrainingConfig(**wrong)
    with pytest.raises(InputError, match="heads"):
        ArchitectureConfig(hidden_size=30, heads=4)
    with pytest.raises(InputError, match="head_dim must be even, not 7"):
        ArchitectureConfig(head_dim=7)


def lines(path, *texts):
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


def test_pairs_are_cleaned(tmp_path):
    file = lines(
        tmp_path / "pairs.jsonl",
        '{"prompt": " a\\r\\nb ", "response": "c\\r"}',
        "",
        '{"prompt": "a\\nb", "response": "c"}',
        "{broken",
        "[1]",
        '{"prompt": "a"}',
        '{"prompt": "  ", "response": "c"}',
        '{"prompt": "a", "response": "\\ud800"}',
        '{"prompt": [{"role": "user", "content": "hi "}], "response": "there"}',
        '{"prompt": [{"content": "hi"}], "response": "there"}',
        '{"prompt": [], "response": "there"}',
        '{"prompt": [{"role": "\\ud800", "content": "hi"}], "response": "there"}',
    )
    found = read_pairs([file])
    assert [(pair.prompt, pair.response) for pair in found.pairs] == [
        ("a\nb", "c"),
        ([{"role": "user", "content": "hi"}], "there"),
    ]
    assert [pair.place for pair in found.pairs] == [f"{file}:1", f"{file}:9"]
    assert [(s.path.rsplit(":", 1)[1], s.reason.split(":")[0]) for s in found.skipped] == [
        ("3", "was there already"),
        ("4", "is not JSON"),
        ("5", "is no object with `prompt` and `response`"),
        ("6", "has no text `response`"),
        ("7", "has an empty `prompt`"),
        ("8", "has a lone surrogate in `response`"),
        ("10", "has a message without `role` and `content`"),
        ("11", "has an empty `prompt`"),
        ("12", "has a lone surrogate in `role`"),
    ]
    packed = tmp_path / "pairs.jsonl.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert len(read_pairs([packed]).pairs) == 2


def test_files_without_pairs(tmp_path):
    with pytest.raises(NotFoundError, match="nowhere"):
        read_pairs([tmp_path / "nowhere"])
    with pytest.raises(InputError, match="no line with a prompt"):
        read_pairs([lines(tmp_path / "empty.jsonl", "")])
    with pytest.raises(InputError, match=r"bad\.jsonl:1 is not JSON"):
        read_pairs([lines(tmp_path / "bad.jsonl", "{")])
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"{}" * 1000)[:20])
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs([tmp_path / "cut.jsonl.gz"])
    damaged = bytearray(gzip.compress(b"\n".join(b'{"prompt": "%d"}' % i for i in range(2000))))
    for place in range(20, 60):
        (tmp_path / "odd.jsonl.gz").write_bytes(
            damaged[:place] + b"\xff" * 9 + damaged[place + 9 :]
        )
        with pytest.raises(InputError, match=r"cannot be read|no line with a prompt"):
            read_pairs([tmp_path / "odd.jsonl.gz"])
