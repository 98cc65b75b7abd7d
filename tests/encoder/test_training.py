"""Training an encoder: the losses against sentence-transformers, exact resuming, bad input."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import embedsearch.encoder.training.held_out as held_out_module
from embedsearch.encoder import SentenceEncoder
from embedsearch.encoder.folder import ModelFolder
from embedsearch.encoder.training import (
    EncoderTrainingConfig,
    LabelledText,
    ScoredPair,
    TrainingPair,
    train,
)
from embedsearch.encoder.training.checkpoint import Checkpoints
from embedsearch.encoder.training.dataset import Dataset, Row, make_dataset
from embedsearch.encoder.training.examples import check_examples, check_leakage
from embedsearch.encoder.training.freezing import prepare_mode
from embedsearch.encoder.training.guides import by_vectors
from embedsearch.encoder.training.held_out import make_held_out, split
from embedsearch.encoder.training.losses import batch_loss, choose_loss, texts_of
from embedsearch.encoder.training.scratch import NewEncoderConfig, new_encoder
from embedsearch.errors import InputError, ModelError, StorageError
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.types import SILENT
from tests.encoder.tiny import TINY_DIM, make_tiny_model

WORDS = (
    "cat mat dog ball garden stock market bank rate shares log account password email oven bread "
    "flour water salt rocket space planet moon music song guitar river forest"
).split()
PAIRS = [
    TrainingPair(
        anchor=f"how do i {word} the {WORDS[(7 * i) % len(WORDS)]}",
        positive=f"{WORDS[(3 * i + 1) % len(WORDS)]} is in the {word}",
        negatives=(f"{WORDS[(i + 5) % len(WORDS)]} with the", f"not {WORDS[(i + 9) % len(WORDS)]}"),
    )
    for i, word in enumerate(WORDS)
]
CONFIG = EncoderTrainingConfig(
    batch_size=8, epochs=2, learning_rate=2e-3, held_out=0.0, precision="float32"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def unit(rows, seed=0):
    import torch

    found = torch.randn(rows, 16, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(found, dim=1)


def in_columns(rows):
    """A batch of pairs with negatives, each text new: texts in the order of rows."""
    width = 2 + rows[1]
    numbers = np.arange(rows[0] * width).reshape(rows[0], width)
    batch = [
        Row(anchor=int(n[0]), positive=int(n[1]), negatives=tuple(map(int, n[2:]))) for n in numbers
    ]
    return batch, [list(map(int, column)) for column in numbers.T]


# Losses


def test_ranking_is_multiple_negatives_ranking():
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    batch, columns = in_columns((6, 3))
    vectors = unit(30)
    expected = MultipleNegativesRankingLoss(None, scale=20.0).compute_loss_from_embeddings(
        [vectors[column] for column in columns], None
    )
    found = batch_loss(batch, "ranking", CONFIG, None)(vectors)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_ranking_does_not_push_an_anchor_from_its_other_answers():
    import torch

    answers = frozenset({1, 3})
    batch = [
        Row(anchor=0, positive=1, answers=answers),
        Row(anchor=2, positive=3, answers=frozenset({3})),
    ]
    vectors = unit(4)
    scores = 20 * vectors[[0, 2]] @ vectors[[1, 3]].T
    scores[0, 1] = -torch.inf
    expected = torch.nn.functional.cross_entropy(scores, torch.tensor([0, 1]))
    found = batch_loss(batch, "ranking", CONFIG, None)(vectors)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_ranking_does_not_push_a_text_from_itself():
    import torch

    data = make_dataset(
        [
            TrainingPair(anchor="one", positive="two", negatives=("six",)),
            TrainingPair(anchor="two", positive=" ONE"),
            TrainingPair(anchor="three", positive="four", negatives=("one",)),
        ]
    )
    batch = list(data.rows)
    places = {data.texts[number]: place for place, number in enumerate(texts_of(batch))}
    vectors = unit(len(places))
    document = [places["document", text] for text in ("two", " ONE", "four", "six", "one")]
    query = [places["query", text] for text in ("one", "two", "three")]
    scores = 20 * vectors[query] @ vectors[document].T
    scores[0, [1, 4]] = scores[1, [0, 4]] = -torch.inf  # "one" says what " ONE" does
    expected = torch.nn.functional.cross_entropy(scores, torch.arange(3))
    found = batch_loss(batch, "ranking", CONFIG, None)(vectors)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_gist_leaves_out_what_the_guide_holds_nearer():
    import torch

    batch, columns = in_columns((5, 1))
    vectors, guide = unit(15), unit(15, seed=1)
    scores = 20 * vectors[columns[0]] @ vectors[columns[1] + columns[2]].T
    near = guide[columns[0]] @ guide[columns[1] + columns[2]].T
    mask = near > near.diagonal()[:, None] - 0.1
    mask[range(5), range(5)] = False
    assert 0 < int(mask.sum()) < mask.numel()
    expected = torch.nn.functional.cross_entropy(
        scores.masked_fill(mask, -torch.inf), torch.arange(5)
    )
    config = replace(CONFIG, gist_margin=0.1)
    found = batch_loss(batch, "gist", config, by_vectors(guide.numpy()))(vectors)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_matryoshka_adds_the_loss_of_cut_vectors():
    import torch

    batch, _ = in_columns((4, 1))
    vectors = unit(12)
    cut = torch.nn.functional.normalize(vectors[:, :5], dim=1)
    plain = batch_loss(batch, "ranking", CONFIG, None)
    found = batch_loss(batch, "ranking", replace(CONFIG, matryoshka_dims=(5,)), None)(vectors)
    assert float(found) == pytest.approx(float(plain(vectors) + plain(cut)), rel=1e-5)


def test_cosent_and_triplet_have_the_values_of_their_papers():
    vectors = unit(8)
    rows = [Row(anchor=2 * i, positive=2 * i + 1, score=i / 4) for i in range(4)]
    cosines = [float(vectors[2 * i] @ vectors[2 * i + 1]) for i in range(4)]
    terms = sum(np.exp(20 * (cosines[i] - cosines[j])) for j in range(4) for i in range(j))
    found = batch_loss(rows, "cosent", CONFIG, None)(vectors)
    assert float(found) == pytest.approx(np.log1p(terms), rel=1e-4)

    triplets = [
        Row(anchor=0, positive=1, negatives=(2,)),
        Row(anchor=3, positive=4, negatives=(5,)),
    ]
    vectors = unit(6)
    gaps = [float(vectors[a] @ vectors[a + 2] - vectors[a] @ vectors[a + 1]) + 0.2 for a in (0, 3)]
    found = batch_loss(triplets, "triplet", CONFIG, None)(vectors)
    assert float(found) == pytest.approx(np.mean([max(0.0, gap) for gap in gaps]), rel=1e-4)


def test_the_shape_of_the_data_chooses_the_loss():
    rows = make_dataset(PAIRS).rows
    assert choose_loss(CONFIG, "pairs", rows) == "ranking"
    assert choose_loss(CONFIG, "scored", rows) == "cosent"
    assert choose_loss(CONFIG, "labelled", rows) == "ranking"
    with pytest.raises(InputError, match="'cosent' is not for pairs"):
        choose_loss(replace(CONFIG, loss="cosent"), "pairs", rows)
    with pytest.raises(InputError, match="set negatives to 1 or more"):
        choose_loss(replace(CONFIG, loss="triplet", negatives=0), "pairs", rows)
    with pytest.raises(InputError, match="needs a negative"):
        choose_loss(replace(CONFIG, loss="triplet"), "pairs", [Row(anchor=0, positive=1)])


# Batches


@given(
    pairs=st.lists(st.tuples(st.integers(0, 8), st.integers(10, 18)), min_size=2, max_size=40),
    size=st.integers(2, 6),
)
def test_no_anchor_and_no_answer_comes_twice_in_a_batch(pairs, size):
    data = make_dataset([TrainingPair(anchor=f"q{a}", positive=f"d{b}") for a, b in pairs])
    batches = data.epoch(0, 0, size, 0)
    for batch in batches:
        assert 2 <= len(batch) <= size
        for side in ("anchor", "positive"):
            assert len({getattr(row, side) for row in batch}) == len(batch)
    seen = [(row.anchor, row.positive) for batch in batches for row in batch]
    assert len(seen) == len(set(seen)) <= len(set(pairs))
    # only rows that nothing is left to be told from are dropped
    left = {(row.anchor, row.positive) for row in data.rows} - set(seen)
    assert len({a for a, _ in left}) <= 1 or len({b for _, b in left}) <= 1


class Counted(int):
    """A text's number that counts how often it is looked up."""

    looked_up = 0

    def __hash__(self):
        Counted.looked_up += 1
        return int(self)


@pytest.mark.parametrize("shared", [1, 20])
def test_batches_of_few_answers_are_made_in_one_pass(shared):
    def looked_up(count):
        rows = [
            Row(anchor=Counted(number), positive=Counted(-1 - number % shared))
            for number in range(count)
        ]
        before = Counted.looked_up
        epoch = Dataset(texts=[], rows=rows, classes={}).epoch(0, 0, 8, 0)
        assert sum(map(len, epoch)) in range(*((1,) if shared == 1 else (count - 20, count + 1)))
        return Counted.looked_up - before

    assert looked_up(4000) < 3 * looked_up(2000)


def test_an_epoch_is_drawn_by_seed_and_number():
    data = make_dataset(PAIRS)
    first, again = data.epoch(1, 0, 8, 1), data.epoch(1, 0, 8, 1)
    assert first == again
    assert first != data.epoch(1, 1, 8, 1) != data.epoch(2, 0, 8, 1)
    assert all(len(row.negatives) == 1 for batch in first for row in batch)


def test_labelled_texts_are_paired_within_their_class():
    texts = [LabelledText(text=f"{label} {i}", label=label) for label in "ab" for i in range(6)]
    data = make_dataset(texts)
    label = {number: text[0] for number, (_, text) in enumerate(data.texts)}
    for batch in data.epoch(0, 0, 4, 0):
        for row in batch:
            assert row.anchor != row.positive
            assert label[row.anchor] == label[row.positive]
            assert {label[each] for each in row.answers} == {label[row.anchor]}


def test_a_text_of_two_classes_belongs_to_both():
    labelled = [("a", "x"), ("b", "x"), ("c", "y"), ("a", "y"), ("d", "z"), ("e", "z")]
    data = make_dataset([LabelledText(text=text, label=label) for text, label in labelled])
    numbers = {text: number for number, (_, text) in enumerate(data.texts)}
    answers = {data.texts[row.anchor][1]: row.answers for row in data.rows}
    assert len(data.rows) == 5
    assert answers["a"] == {numbers[text] for text in "abc"}
    assert answers["b"] == {numbers[text] for text in "ab"}
    for seed in range(20):
        for batch in data.epoch(seed, 0, 4, 0):
            assert all(row.positive in row.answers - {row.anchor} for row in batch)


def test_questions_and_answers_that_differ_in_case_alone_are_not_told_apart():
    pairs = [
        TrainingPair(anchor="How do I log in?", positive="By badge."),
        TrainingPair(anchor="how do i  log in?", positive="Ask me", negatives=("by BADGE.", "no")),
        TrainingPair(anchor="Who?", positive="by badge.", negatives=("x",)),
    ]
    data = make_dataset(pairs)
    first, second, third = ({data.texts[text][1] for text in row.answers} for row in data.rows)
    assert first == second == {"By badge.", "by BADGE.", "by badge.", "Ask me"}
    assert third == first - {"Ask me"}
    assert [data.texts[text][1] for text in data.rows[1].negatives] == ["no"]
    vectors = np.eye(len(data.texts), dtype=np.float32)
    for row in data.rows:
        vectors[row.anchor] = vectors[list(row.answers)].sum(axis=0)
    assert make_held_out(pairs).measure(vectors) == 1.0


def test_an_answer_is_never_a_negative_of_its_question():
    data = make_dataset(
        [
            TrainingPair(anchor="q", positive="one", negatives=("two", "three")),
            TrainingPair(anchor="q", positive="two"),
        ]
    )
    texts = [text for _, text in data.texts]
    assert [texts[each] for each in data.rows[0].negatives] == ["three"]


# Through the model


@pytest.fixture(scope="module")
def embedder(base):
    from embedsearch.encoder.torch_engine import load_model
    from embedsearch.encoder.training.forward import TextEmbedder, tokenize

    data = make_dataset(PAIRS)
    model = load_model(base, "cpu")
    return data, TextEmbedder(
        model=model,
        ids=tokenize(model, data.texts, None),
        pad_id=0,
        batch_tokens=40,
        precision="float32",
        device="cpu",
    )


def test_texts_are_embedded_as_the_encoder_does(base, embedder):
    data, found = embedder
    chosen = [5, 0, 17, 3]
    expected = SentenceEncoder.load(base).encode_document([data.texts[n][1] for n in chosen])
    vectors = found.embed(chosen).detach().numpy()
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_cached_gradients_are_those_of_the_whole_batch(embedder):
    data, found = embedder
    batch = data.epoch(0, 0, 8, 2)[0]
    texts, loss_of = texts_of(batch), batch_loss(batch, "ranking", CONFIG, None)
    weights = [w for w in found.model.parameters() if w.requires_grad]
    loss = loss_of(found.embed(texts))
    loss.backward()
    whole = [None if w.grad is None else w.grad.clone() for w in weights]
    found.model.zero_grad()
    assert found.backward(texts, loss_of, 1.0) == pytest.approx(float(loss.detach()), rel=1e-5)
    for weight, expected in zip(weights, whole, strict=True):
        if expected is not None:
            np.testing.assert_allclose(weight.grad, expected, atol=2e-5)
    found.model.zero_grad()


def test_attention_in_steps_has_the_gradients_of_the_fused(tmp_path, base, embedder):
    from embedsearch.encoder.torch_engine import load_model

    data, fused = embedder
    texts = list(range(len(data.texts)))
    stepwise = replace(fused, model=load_model(base, "cpu"))
    prepare_mode(stepwise.model, CONFIG, "cpu")
    found = []
    for each in (fused, stepwise):
        each.embed(texts)[:, 0].sum().backward()
        found.append({name: w.grad for name, w in each.model.named_parameters()})
        each.model.zero_grad()
    assert any("attention" in name for name in found[0])
    for name, expected in found[0].items():
        if expected is not None:
            np.testing.assert_allclose(found[1][name], expected, atol=2e-5, err_msg=name)
    configs = [each.model[0].auto_model.config for each in (fused, stepwise)]
    assert [each._attn_implementation for each in configs] == ["sdpa", "eager"]
    stepwise.model.save_pretrained(str(tmp_path), create_model_card=False)
    assert "attn" not in (tmp_path / "config.json").read_text(encoding="utf-8")


def weights(folder):
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


class Stops:
    """Interrupts the training at a step."""

    def __init__(self, step):
        self.left = step
        self.stage = ""

    def start(self, description, total, unit):
        self.stage = description

    def advance(self, amount):
        if self.stage == "Training" and amount:
            self.left -= amount
            if self.left == 0:
                raise KeyboardInterrupt

    def note(self, message):
        pass


@pytest.mark.parametrize("dropout", [False, True])
def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path, base, dropout):
    config = replace(CONFIG, held_out=0.2, evaluations=2, dropout=dropout)
    whole = train(PAIRS, config, base=base, output=tmp_path / "whole")
    assert whole.steps == 6
    with pytest.raises(KeyboardInterrupt):
        train(PAIRS, config, base=base, output=tmp_path / "parts", progress=Stops(4))
    assert not (tmp_path / "parts").exists()
    parts = train(PAIRS, config, base=base, output=tmp_path / "parts")
    assert not (tmp_path / "parts.training").exists()
    assert (parts.after, parts.best_step) == (whole.after, whole.best_step)
    assert parts.fingerprint == whole.fingerprint
    other = weights(tmp_path / "parts")
    for name, tensor in weights(tmp_path / "whole").items():
        np.testing.assert_array_equal(other[name], tensor)


def test_a_model_is_published_with_its_card(tmp_path, base, monkeypatch):
    """A process that dies before the card is written leaves what the same call goes on from."""
    config = replace(CONFIG, held_out=0.2, evaluations=2)
    whole = train(PAIRS, config, base=base, output=tmp_path / "whole")

    def dies(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("embedsearch.encoder.training.run.write_card", dies)
        with pytest.raises(KeyboardInterrupt):
            train(PAIRS, config, base=base, output=tmp_path / "parts")
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "parts.training"}
    parts = train(PAIRS, config, base=base, output=tmp_path / "parts")
    assert parts.fingerprint == whole.fingerprint
    assert parts.output == tmp_path / "parts"
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "parts"}


@pytest.fixture
def small_files():
    """The kernel refuses files of more than 10,000 bytes, as a full disk does."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("settings", [{}, {"new_terms": 4}, {"held_out": 0.2}])
def test_a_full_disk_is_told(tmp_path, base, small_files, settings):
    with pytest.raises(StorageError, match=r"cannot be written.*File too large"):
        train(PAIRS, replace(CONFIG, **settings), base=base, output=tmp_path / "made")
    assert not (tmp_path / "made").exists()
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_new_encoder_on_a_full_disk(tmp_path, base, small_files):
    tokenizer = Tokenizer.load(ModelFolder.read(base).tokenizer_file)
    with pytest.raises(StorageError, match=r"cannot be written.*File too large"):
        new_encoder(tokenizer, tmp_path / "made", NewEncoderConfig(hidden=32, heads=2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("measured", [False, True])
def test_other_labels_are_another_run(tmp_path, base, measured):
    def labelled(text, labels):
        return [LabelledText(text=f"{text} {i}", label=label) for i, label in enumerate(labels)]

    def run(labels, progress):
        other, changing = labelled("a cat", "AAABBB"), labelled("the dog", labels)
        examples, held_out = (other, changing) if measured else (changing, other)
        config = replace(CONFIG, batch_size=2)
        train(
            examples,
            config,
            base=base,
            output=tmp_path / "out",
            held_out=held_out,
            progress=progress,
        )

    with pytest.raises(KeyboardInterrupt):
        run("AABBB", Stops(2))
    with pytest.raises(InputError, match="unfinished training of other data"):
        run("AAABB", SILENT)
    run("AABBB", SILENT)


def test_another_run_does_not_go_on_from_a_foreign_state(tmp_path, base):
    with pytest.raises(KeyboardInterrupt):
        train(PAIRS, CONFIG, base=base, output=tmp_path / "out", progress=Stops(2))
    with pytest.raises(InputError, match="unfinished training of other data"):
        train(PAIRS, replace(CONFIG, seed=1), base=base, output=tmp_path / "out")
    (state,) = (tmp_path / "out.training").glob("step-*/state.json")
    state.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="damaged training state"):
        train(PAIRS, CONFIG, base=base, output=tmp_path / "out")


def test_training_helps_and_the_result_is_an_ordinary_model(tmp_path, base):
    from sentence_transformers import SentenceTransformer

    config = replace(CONFIG, epochs=6, held_out=0.2)
    report = train(PAIRS, config, base=base, output=tmp_path / "out", source="a test")
    assert (report.metric, report.loss, report.examples, report.held_out) == (
        "ndcg@10",
        "ranking",
        22,
        6,
    )
    assert report.after > report.before + 0.1
    encoder = SentenceEncoder.load(tmp_path / "out")
    assert encoder.fingerprint == report.fingerprint != SentenceEncoder.load(base).fingerprint
    texts = [pair.anchor for pair in PAIRS]
    loaded = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    np.testing.assert_allclose(
        encoder.encode_query(texts), loaded.encode(texts, normalize_embeddings=True), atol=1e-5
    )
    card = json.loads((tmp_path / "out" / "training.json").read_text(encoding="utf-8"))
    assert card["data"] == {"source": "a test", "examples": 22, "held_out": 6}
    assert card["settings"]["epochs"] == 6
    assert card["result"]["after"] == max(each["metric"] for each in card["measured"])
    readme = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert f"{report.before:.4f}" in readme


def test_what_nothing_bettered_stays_the_base(tmp_path, base):
    config = replace(CONFIG, learning_rate=1e-12, held_out=0.3)
    report = train(PAIRS, config, base=base, output=tmp_path / "out")
    assert (report.best_step, report.after) == (0, report.before)
    assert report.fingerprint == SentenceEncoder.load(base).fingerprint


@pytest.mark.parametrize("held_out", [0.0, 0.3])
def test_a_share_of_the_base_stays(tmp_path, base, held_out):
    config = replace(CONFIG, held_out=held_out)
    train(PAIRS, config, base=base, output=tmp_path / "tuned")
    mixed = replace(config, base_share=0.25)
    report = train(PAIRS, mixed, base=base, output=tmp_path / "mixed")
    tuned = weights(tmp_path / "tuned")
    assert report.best_step == report.steps
    for name, tensor in weights(tmp_path / "mixed").items():
        expected = 0.75 * tuned[name] + 0.25 * weights(base)[name]
        np.testing.assert_allclose(tensor, expected, atol=1e-6)


@pytest.mark.parametrize("stop", [4, 5])  # the model is measured after step 5
def test_an_interrupted_training_keeps_the_same_share_of_the_base(tmp_path, base, stop):
    config = replace(CONFIG, held_out=0.2, evaluations=2, base_share=0.5)
    whole = train(PAIRS, config, base=base, output=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(PAIRS, config, base=base, output=tmp_path / "parts", progress=Stops(stop))
    parts = train(PAIRS, config, base=base, output=tmp_path / "parts")
    assert (parts.after, parts.fingerprint) == (whole.after, whole.fingerprint)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interruption_while_weights_are_mixed_leaves_the_trained(base, monkeypatch, when):
    from embedsearch.encoder.torch_engine import load_model
    from embedsearch.encoder.training import mixing
    from embedsearch.encoder.training.loop import weights_of

    model = load_model(base, "cpu")
    trained = weights_of(model)
    other = {name: value + 1 for name, value in trained.items()}
    mix_in = mixing.mix_in

    def interrupted(*arguments):
        if when == "after":
            mix_in(*arguments)
            assert any(not value.equal(trained[name]) for name, value in weights_of(model).items())
        raise KeyboardInterrupt

    monkeypatch.setattr(mixing, "mix_in", interrupted)
    with pytest.raises(KeyboardInterrupt), mixing.mixed(model, other, 0.5):
        pass
    assert all(value.equal(trained[name]) for name, value in weights_of(model).items())


@pytest.mark.parametrize("truncation", [None, 48])
def test_a_limit_of_tokens_in_training_is_not_the_models(tmp_path, base, truncation):
    import shutil

    from tokenizers import Tokenizer

    given = shutil.copytree(base, tmp_path / "given")
    tokenizer = Tokenizer.from_file(str(given / "tokenizer.json"))
    if truncation:
        tokenizer.enable_truncation(max_length=truncation)
        tokenizer.save(str(given / "tokenizer.json"))
    config = replace(CONFIG, max_tokens=8, held_out=0.2)
    train(PAIRS, config, base=given, output=tmp_path / "out")
    made = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    assert (made.truncation or {}).get("max_length") == truncation
    assert made.padding == tokenizer.padding
    assert ModelFolder.read(tmp_path / "out").max_seq_length == 64


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_all_files_can_be_read_by_the_same(tmp_path, base, mask):
    before = os.umask(mask)
    try:
        train(PAIRS, replace(CONFIG, epochs=1), base=base, output=tmp_path / "out")
    finally:
        os.umask(before)
    assert (tmp_path / "out" / "model.safetensors").is_file()
    for path in (tmp_path / "out", *(tmp_path / "out").rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o777 if path.is_dir() else 0o666) & ~mask, path


def test_the_card_names_the_base_as_it_was_asked(tmp_path, base):
    report = train(
        PAIRS,
        replace(CONFIG, epochs=1),
        base=base,
        output=tmp_path / "out",
        base_name="a new encoder",
    )
    assert report.base == "a new encoder"
    card = json.loads((tmp_path / "out" / "training.json").read_text(encoding="utf-8"))
    assert card["base"]["name"] == "a new encoder"
    assert "from a new encoder (" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_training_stops_when_it_gets_no_better(tmp_path, base):
    config = replace(CONFIG, epochs=50, learning_rate=1e-12, held_out=0.2, patience=2)
    report = train(PAIRS, config, base=base, output=tmp_path / "out")
    assert report.ended == "no better for 2 measurements"
    assert report.steps == 2 * 3
    assert report.best_step == 0


def test_a_loss_that_is_no_number_leaves_the_last_good_state(tmp_path, base, monkeypatch):
    from embedsearch.encoder.training import loop

    calls = []

    def breaks(*arguments):
        loss_of = batch_loss(*arguments)
        calls.append(1)
        return (lambda vectors: loss_of(vectors) * float("nan")) if len(calls) == 4 else loss_of

    monkeypatch.setattr(loop, "batch_loss", breaks)
    with pytest.raises(ModelError, match=r"no number any more at step 4 of 8.*of step 3"):
        train(PAIRS, CONFIG, base=base, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (home,) = (tmp_path / "out.training").glob("step-*")
    assert home.name == "step-00000003"
    from safetensors.numpy import load_file

    kept = load_file(home / "weights.safetensors")
    assert all(np.isfinite(tensor).all() for tensor in kept.values())


@pytest.mark.parametrize("rate", [3e38, 1e30])  # weights that are no numbers, or vectors
@pytest.mark.parametrize("settings", [{"held_out": 0.0, "epochs": 1}, {"held_out": 0.2}])
def test_a_model_that_an_update_destroyed_is_not_written(tmp_path, base, rate, settings):
    config = replace(CONFIG, batch_size=len(PAIRS), learning_rate=rate, warmup=0.0, **settings)
    if settings["held_out"]:
        config = replace(config, batch_size=22, base_share=0.5)
    with pytest.raises(ModelError, match=r"no number any more at step 1 of .*no state was saved"):
        train(PAIRS, config, base=base, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "out.training").glob("step-*"))


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_destroyed_model_does_not_take_the_place_of_a_good_state(
    tmp_path, base, monkeypatch, interrupted
):
    import torch
    from safetensors.numpy import load_file

    from embedsearch.encoder.training.loop import Fit

    update = Fit._update

    def destroys(fit, step):
        update(fit, step)
        if step == 5:
            weight = next(fit.embedder.model.parameters())
            with torch.no_grad():
                weight[0, 0] = torch.nan

    monkeypatch.setattr(Fit, "_update", destroys)
    config = replace(CONFIG, checkpoint_seconds=1000.0 if interrupted else 0.0)
    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            train(PAIRS, config, base=base, output=tmp_path / "out", progress=Stops(4))
    with pytest.raises(ModelError, match=r"no number any more at step 5 of 8.*of step 4, is kept"):
        train(PAIRS, config, base=base, output=tmp_path / "out", progress=Stops(5))
    (home,) = (tmp_path / "out.training").glob("step-*")
    assert home.name == "step-00000004"
    kept = load_file(home / "weights.safetensors")
    assert all(np.isfinite(tensor).all() for tensor in kept.values())


def test_all_of_a_model_cannot_be_frozen(tmp_path, base):
    with pytest.raises(InputError, match="all of the model is frozen"):
        train(PAIRS, replace(CONFIG, freeze_layers=2), base=base, output=tmp_path / "out")


def test_frozen_layers_stay(tmp_path, base):
    train(PAIRS, replace(CONFIG, freeze_layers=1), base=base, output=tmp_path / "out")
    before, after = weights(base), weights(tmp_path / "out")
    for name, tensor in after.items():
        moved = not np.array_equal(before[name], tensor)
        assert moved == ("layer.1" in name), name


@pytest.mark.parametrize(
    "changes",
    [
        {"cached": True, "batch_tokens": 32},
        {"loss": "gist"},
        {"loss": "late"},
        {"loss": "late", "cached": True, "batch_tokens": 32},
        {"loss": "late", "new_terms": 2, "frozen_share": 0.5},
        {"loss": "triplet"},
        {"matryoshka_dims": (8, 16)},
        {"gradient_checkpointing": True},
        {"precision": "bfloat16"},
        {"freeze_embeddings": True},
        {"max_tokens": 8},
    ],
)
def test_every_setting_trains(tmp_path, base, changes):
    config = replace(CONFIG, held_out=0.2, **changes)
    report = train(PAIRS, config, base=base, output=tmp_path / "out")
    assert report.steps == 6
    assert np.isfinite(report.final_loss)


def test_scored_pairs_and_labelled_texts_train(tmp_path, base):
    scored = [
        ScoredPair(first=f"the {w}", second=f"a {WORDS[i % 7]}", score=(i % 5) / 4)
        for i, w in enumerate(WORDS)
    ]
    report = train(scored, replace(CONFIG, held_out=0.3), base=base, output=tmp_path / "scored")
    assert (report.loss, report.metric) == ("cosent", "spearman")
    labelled = [LabelledText(text=f"{w} {i}", label=str(i % 3)) for i, w in enumerate(WORDS)]
    report = train(labelled, replace(CONFIG, held_out=0.3), base=base, output=tmp_path / "labelled")
    assert (report.loss, report.metric) == ("ranking", "accuracy")


# Held-out examples


def test_questions_are_held_out_with_all_their_answers():
    pairs = [TrainingPair(anchor=f"q{i // 2}", positive=f"d{i}") for i in range(40)]
    kept, out = split(pairs, 0.25, seed=3)
    assert len(out) == 10
    assert not {pair.anchor for pair in kept} & {pair.anchor for pair in out}
    assert split(pairs, 0.25, seed=3) == (kept, out)
    assert split(pairs, 0.01, seed=3) == (pairs, [])
    assert split(pairs, 0.99, seed=3) == (pairs, [])  # something has to be left


@given(
    labels=st.lists(st.sampled_from("abcdefgh"), min_size=8, max_size=60),
    share=st.floats(0.05, 0.6),
    seed=st.integers(0, 9),
)
def test_labelled_texts_are_held_out_two_of_a_class(labels, share, seed):
    texts = [LabelledText(text=f"t{i}", label=label) for i, label in enumerate(labels)]
    kept, out = split(texts, share, seed)
    assert sorted(map(repr, kept + out)) == sorted(map(repr, texts))
    assert split(texts, share, seed) == (kept, out)
    if out:
        counts = Counter(text.label for text in out)
        assert len(out) <= round(share * len(texts))
        assert len(counts) > 1
        assert max(counts.values()) > 1
        assert sum(count == 1 for count in counts.values()) <= 1
        check_examples(kept, 1)


def test_a_share_of_few_texts_of_many_classes_can_be_measured():
    texts = [LabelledText(text=f"t{i}", label=str(i % 20)) for i in range(40)]
    for seed in range(5):
        _, out = split(texts, 0.1, seed)
        assert sorted(Counter(text.label for text in out).values()) == [2, 2]
        held = make_held_out(out)
        classes = [int(text[1:]) % 20 for _, text in held.data.texts]
        places = [sorted(set(classes)).index(each) for each in classes]
        assert held.measure(np.eye(2, dtype=np.float32)[places]) == 1.0
        apart = [place if place not in places[:i] else 1 - place for i, place in enumerate(places)]
        assert held.measure(np.eye(2, dtype=np.float32)[apart]) == 0.0


@given(
    scores=st.lists(st.sampled_from([0.0, 1.0]), min_size=4, max_size=40), seed=st.integers(0, 9)
)
def test_pairs_of_several_scores_are_held_out(scores, seed):
    pairs = [ScoredPair(first=f"a{i}", second=f"b{i}", score=s) for i, s in enumerate(scores)]
    kept, out = split(pairs, 0.2, seed)
    least = min(Counter(scores).values()) if len(set(scores)) > 1 else 0
    for part in (kept, out) if least > 1 and round(0.2 * len(scores)) > 1 else (kept,):
        assert len({pair.score for pair in part}) == len(set(scores))


def test_what_cannot_be_measured_is_not_held_out(tmp_path, base):
    class Notes(Stops):
        def note(self, message):
            notes.append(message)

    notes = list[str]()
    texts = [LabelledText(text=f"the {w}", label=str(i // 2)) for i, w in enumerate(WORDS[:20])]
    report = train(
        texts, replace(CONFIG, held_out=0.1), base=base, output=tmp_path / "a", progress=Notes(0)
    )
    assert (report.held_out, report.examples, report.best_step) == (0, 20, report.steps)
    assert notes[0].startswith("nothing is held out: 0.1 of 20 examples is too little")
    notes.clear()
    train(texts, CONFIG, base=base, output=tmp_path / "b", progress=Notes(0))
    assert not any("held out" in note for note in notes)


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        ([LabelledText(text=t, label=t) for t in "ab"], "held-out examples .* no class has two"),
        (
            [LabelledText(text=t, label=label) for t, label in ("ax", "ax", "by")],
            "cannot be measured",
        ),
        ([ScoredPair(first="a", second=c, score=0.5) for c in "bc"], "held-out .* the same score"),
        ([TrainingPair(anchor=q, positive="answer") for q in "ab"], "2 held-out .* be measured"),
    ],
)
def test_held_out_examples_that_cannot_be_measured(tmp_path, base, held_out, message):
    with pytest.raises(InputError, match=message):
        train(PAIRS, CONFIG, base=base, output=tmp_path / "out", held_out=held_out)


def test_texts_whose_class_has_no_other_are_wrong_answers():
    texts = [LabelledText(text=t, label=label) for t, label in ("ax", "bx", "cy")]
    held = make_held_out(texts)
    vectors = np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
    assert [text for _, text in held.data.texts] == ["a", "b", "c"]
    assert held.measure(vectors) == 1.0
    assert held.measure(vectors[[0, 2, 1]]) == 0.0


def test_the_held_out_metrics():
    pairs = [TrainingPair(anchor=f"q{i}", positive=f"d{i}") for i in range(3)]
    held = make_held_out(pairs)
    vectors = np.eye(6, dtype=np.float32)
    places = {text: number for number, (_, text) in enumerate(held.data.texts)}
    for number in range(2):
        vectors[places[f"q{number}"]] = vectors[places[f"d{number}"]]
    vectors[places["q2"]] = vectors[places["d0"]] * 0.8 + vectors[places["d2"]] * 0.6
    assert held.measure(vectors) == pytest.approx((1 + 1 + 1 / np.log2(3)) / 3)


def test_the_held_out_metrics_of_many_texts_take_little_memory(monkeypatch):
    import tracemalloc

    random = np.random.default_rng(0)
    pairs = [
        TrainingPair(anchor=f"q{i // 2}", positive=f"d{i}", negatives=(f"q{i % 7}",))
        for i in range(1200)
    ]
    texts = [LabelledText(text=f"t{i}", label=str(i % 40)) for i in range(1200)]
    for examples, expected in ((pairs, expected_ndcg), (texts, expected_accuracy)):
        held = make_held_out(examples)
        vectors = random.standard_normal((len(held.data.texts), 8)).astype(np.float32)
        monkeypatch.setattr(held_out_module, "MEASURED_CELLS", 1 << 24)
        whole = held.measure(vectors)
        assert whole == pytest.approx(expected(held.data, vectors))
        monkeypatch.setattr(held_out_module, "MEASURED_CELLS", 1 << 12)
        tracemalloc.start()
        assert held.measure(vectors) == pytest.approx(whole)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 * 600 * 1200  # the scores of all questions


def expected_ndcg(data, vectors):
    pool = sorted({text for row in data.rows for text in (row.positive, *row.negatives)})
    gained = {}
    for row in data.rows:
        others = [text for text in pool if text not in row.echoes]
        best = sorted(others, key=lambda text: -float(vectors[row.anchor] @ vectors[text]))[:10]
        ideal = sum(1 / np.log2(rank + 2) for rank in range(min(10, len(row.answers))))
        gained[row.anchor] = (
            sum(1 / np.log2(rank + 2) for rank, text in enumerate(best) if text in row.answers)
            / ideal
        )
    return sum(gained.values()) / len(gained)


def expected_accuracy(data, vectors):
    right = []
    for row in data.rows:
        others = [text for text in range(len(vectors)) if text != row.anchor]
        best = max(others, key=lambda text: float(vectors[row.anchor] @ vectors[text]))
        right.append(best in row.answers)
    return np.mean(right)


def test_a_question_is_no_wrong_answer_to_itself():
    pairs = [TrainingPair(anchor="a", positive="b"), TrainingPair(anchor="b", positive="a")]
    held = make_held_out(pairs)
    near = {"a": [1.0, 0.0], "b": [0.8, 0.6]}
    vectors = np.array([near[text] for _, text in held.data.texts], dtype=np.float32)
    assert held.measure(vectors) == 1.0


# Bad input


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([], "no examples"),
        ([PAIRS[0], ScoredPair(first="a", second="b", score=1)], "one shape at a time"),
        ([TrainingPair(anchor=" ", positive="b", place="f:3")], "f:3: a text is empty"),
        ([TrainingPair(anchor="A  b", positive="a B")], "both sides of the pair are equal"),
        ([TrainingPair(anchor="a", positive="b", negatives=("B",))], "a negative equals"),
        ([TrainingPair(anchor="a", positive="\ud800")], "lone surrogate"),
        ([ScoredPair(first="a", second="b", score=1.5)], "not between 0 and 1"),
        ([ScoredPair(first="a", second="b", score=float("nan"))], "not between 0 and 1"),
        ([ScoredPair(first="a", second=c, score=0.5) for c in "bc"], "the same score"),
        ([LabelledText(text=t, label="x") for t in "ab"], "two classes"),
        ([LabelledText(text=t, label=t) for t in "ab"], "no class has two"),
        (PAIRS[:1], "1 example cannot fill one batch of 2"),
        ([TrainingPair(anchor="a", positive="b", negatives="cd")], "one text, not a list"),
        ([ScoredPair(first="a", second="b", score="0.5")], "'0.5' is not between"),
        ([LabelledText(text="a", label=3)], "the label is no text, or empty: 3"),
    ],
)
def test_examples_that_cannot_be_used(examples, message):
    with pytest.raises(InputError, match=message):
        check_examples(examples, 2)


def test_held_out_questions_in_the_training_data_are_refused():
    question = PAIRS[3].anchor.upper()
    with pytest.raises(InputError, match="1 of 28 training examples are kept for measuring"):
        check_leakage(PAIRS, [], [question])
    scored = [
        ScoredPair(first="a", second="b", score=1),
        ScoredPair(first="a", second="c", score=0),
    ]
    with pytest.raises(InputError, match="example 1"):
        check_leakage(scored, [ScoredPair(first="B", second="a", score=0.5)], [])
    check_leakage(scored, [ScoredPair(first="c", second="b", score=0.5)], ["another"])


@pytest.mark.parametrize(
    ("kept", "learned"),
    [
        ("cafe\u0301 au lait", "Caf\u00e9 au lait"),
        ("\uff28\uff4f\uff57 do I\uff1f", "how do i?"),
        ("no\u200bspace", "nospace"),
        ("\ufeffhow", "how"),
        ("soft\u00adware", "Software"),
        ("how\u00a0now", "how now"),
        ("STRASSE", "stra\u00dfe"),
    ],
)
def test_a_kept_question_is_known_in_another_form_of_unicode(kept, learned):
    for one, other in ((kept, learned), (learned, kept)):
        with pytest.raises(InputError, match="1 of 1 training examples"):
            check_leakage([pair(one, "x")], [], [other])


def pair(anchor, positive, *negatives):
    return TrainingPair(anchor=anchor, positive=positive, negatives=negatives)


def scored(first, second):
    return ScoredPair(first=first, second=second, score=1)


@pytest.mark.parametrize(
    "example",
    [pair("What  IS it", "x"), pair("x", "what is it"), scored("what is it", "x"),
     scored("x", "What is it"), LabelledText(text="what is it", label="y")],
)  # fmt: skip
def test_a_kept_question_is_refused_wherever_it_is_drawn_to_something(example):
    labelled = LabelledText(text="what is it", label="z")
    for held_out, questions in (
        ([], ["what is it"]), ([pair("what is it", "d")], []), ([labelled], [])
    ):  # fmt: skip
        with pytest.raises(InputError, match="example 2: "):
            check_leakage([pair("x", "y"), example], held_out, questions)
        check_leakage([pair("x", "y", "what is it")], held_out, questions)


def test_a_held_out_scored_pair_may_not_be_trained_on_in_any_shape():
    kept = [scored("a", "b")]
    for example in (scored("B", "a"), pair("a", "b"), pair("b", "a", "x")):
        with pytest.raises(InputError, match="1 of 1 training examples"):
            check_leakage([example], kept, [])
    for example in (scored("a", "c"), pair("b", "c", "a"), LabelledText(text="a", label="x")):
        check_leakage([example], kept, [])


def test_an_output_that_is_there_is_left_alone(tmp_path, base):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="is there already"):
        train(PAIRS, CONFIG, base=base, output=tmp_path / "out")


def test_more_dimensions_than_there_are(tmp_path, base):
    config = replace(CONFIG, matryoshka_dims=(TINY_DIM + 1,))
    with pytest.raises(InputError, match="the model has 32"):
        train(PAIRS, config, base=base, output=tmp_path / "out")
    with pytest.raises(InputError, match="2 layers"):
        train(PAIRS, replace(CONFIG, freeze_layers=3), base=base, output=tmp_path / "out")
    with pytest.raises(ModelError, match="float16"):
        train(PAIRS, replace(CONFIG, precision="float16"), base=base, output=tmp_path / "out")


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 1},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"loss": "softmax"},
        {"precision": "int8"},
        {"held_out": 1.0},
        {"base_share": 1.0},
        {"matryoshka_dims": (0,)},
        {"max_tokens": 2},
        {"max_tokens": 16.5},
        {"learning_rate": "3e-5"},
        {"held_out": None},
        {"warmup": "0.1"},
        {"seed": -1},
        {"seed": 1 << 32},
    ],
)
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        EncoderTrainingConfig(**wrong)


def test_the_highest_seed_trains(tmp_path, base):
    config = replace(CONFIG, seed=(1 << 32) - 1, epochs=1)
    assert train(PAIRS, config, base=base, output=tmp_path / "out").steps == 4


def test_nothing_is_restored_where_nothing_was_saved(tmp_path):
    assert Checkpoints(output=tmp_path / "out", run="x").restore() is None


# New terms, new models


def test_new_terms_get_rows_that_learn_first(tmp_path, base):
    pairs = [
        TrainingPair(anchor=f"the zyxwabc in {w}", positive=f"qjkvpqz and {WORDS[i - 3]}")
        for i, w in enumerate(WORDS)
    ]
    config = replace(CONFIG, new_terms=5, frozen_share=0.5)
    report = train(pairs, config, base=base, output=tmp_path / "out")
    encoder = SentenceEncoder.load(tmp_path / "out")
    old = SentenceEncoder.load(base)
    assert encoder.tokens.vocab_size == old.tokens.vocab_size + 2
    assert old.tokens.count(["zyxwabc"]) == [7]
    assert encoder.tokens.count(["zyxwabc", "qjkvpqz"]) == [1, 1]
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    texts = [pair.anchor for pair in pairs]
    np.testing.assert_allclose(
        encoder.encode_query(texts), loaded.encode(texts, normalize_embeddings=True), atol=1e-5
    )
    assert report.steps == 8
    with pytest.raises(KeyboardInterrupt):
        train(pairs, config, base=base, output=tmp_path / "parts", progress=Stops(2))
    parts = train(pairs, config, base=base, output=tmp_path / "parts")
    assert parts.fingerprint == report.fingerprint


@pytest.mark.parametrize("stop", [3, 4, 5, 7])  # after step 4 all weights learn
def test_new_terms_are_resumed_before_and_after_the_thaw(tmp_path, base, stop):
    pairs = [replace(pair, anchor=f"{pair.anchor} zyxwabc") for pair in PAIRS]
    config = replace(CONFIG, new_terms=5, frozen_share=0.5, weight_decay=0.5)
    whole = train(pairs, config, base=base, output=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(pairs, config, base=base, output=tmp_path / "parts", progress=Stops(stop))
    train(pairs, config, base=base, output=tmp_path / "parts")
    assert whole.steps == 8
    other = weights(tmp_path / "parts")
    for name, tensor in weights(tmp_path / "whole").items():
        np.testing.assert_array_equal(other[name], tensor, err_msg=name)


def test_new_terms_leave_the_limit_of_tokens(tmp_path, base):
    pairs = [replace(pair, anchor=f"{pair.anchor} zyxwabc") for pair in PAIRS]
    train(pairs, replace(CONFIG, new_terms=5), base=base, output=tmp_path / "out")
    made, before = ModelFolder.read(tmp_path / "out"), ModelFolder.read(base)
    assert made.max_seq_length == before.max_seq_length == 64
    assert made.architecture["max_position_embeddings"] == 128
    encoder = SentenceEncoder.load(tmp_path / "out")
    assert encoder.tokens.vocab_size == SentenceEncoder.load(base).tokens.vocab_size + 1


def test_texts_without_new_terms_train_as_they_are(tmp_path, base):
    report = train(PAIRS, replace(CONFIG, new_terms=5), base=base, output=tmp_path / "out")
    plain = train(PAIRS, CONFIG, base=base, output=tmp_path / "plain")
    assert report.fingerprint == plain.fingerprint
    with pytest.raises(InputError, match="new_terms have to learn"):
        replace(CONFIG, new_terms=5, freeze_layers=1)


def test_a_model_from_nothing(tmp_path):
    from embedsearch.encoder.training.scratch import NewEncoderConfig, new_encoder
    from embedsearch.text.tokenizer import Tokenizer
    from embedsearch.text.training import TokenizerConfig

    texts = [text for pair in PAIRS for text in pair.texts]
    tokenizer = Tokenizer.train(texts, kind="wordpiece", vocab_size=200)
    config = NewEncoderConfig(hidden=32, layers=1)
    base = new_encoder(tokenizer, tmp_path / "new", config)
    encoder = SentenceEncoder.load(base)
    assert encoder.dim == 32
    assert encoder.tokens.vocabulary() == tokenizer.vocabulary()
    modes = {path.stat().st_mode for path in base.rglob("*") if path.is_file()}
    assert len(modes) == 1
    again = new_encoder(tokenizer, tmp_path / "again", config)
    assert SentenceEncoder.load(again).fingerprint == encoder.fingerprint
    config = replace(CONFIG, epochs=12, held_out=0.2)
    report = train(PAIRS, config, base=base, output=tmp_path / "out")
    assert report.after > report.before
    with pytest.raises(InputError, match="is there already"):
        new_encoder(tokenizer, base)
    bare = Tokenizer.train(texts, TokenizerConfig(kind="char", special_tokens=("<unk>",)))
    with pytest.raises(InputError, match="no padding token"):
        new_encoder(bare, tmp_path / "bare")
    with pytest.raises(InputError, match="multiple of heads"):
        NewEncoderConfig(hidden=33)
    for wrong in ({"seed": 1 << 32}, {"seed": -1}, {"max_tokens": 16.5}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            NewEncoderConfig(**wrong)


@pytest.mark.parametrize(("fused", "place"), [(True, "meta"), (False, "cpu")])
def test_a_restored_optimizer_counts_its_steps_where_it_looks_for_them(fused, place):
    import torch

    from embedsearch.encoder.training.loop import optimizer_state, restore_optimizer

    here = torch.nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(here.parameters(), fused=fused)
    here(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    kept = optimizer_state(optimizer, here)
    there = torch.nn.Linear(2, 1, device="meta")  # stands for a GPU
    optimizer.state.clear()
    restore_optimizer(optimizer, there, kept)
    devices = {key: value.device.type for key, value in optimizer.state[there.weight].items()}
    assert devices == {"step": place, "exp_avg": "meta", "exp_avg_sq": "meta"}
