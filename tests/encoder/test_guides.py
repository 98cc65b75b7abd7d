"""Late interaction against the tokens of sentence-transformers, and what is learned from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from embedsearch.encoder import SentenceEncoder
from embedsearch.encoder.torch_engine import load_model
from embedsearch.encoder.training import EncoderTrainingConfig, TrainingPair, train
from embedsearch.encoder.training.dataset import Row, make_dataset
from embedsearch.encoder.training.forward import TextEmbedder, tokenize
from embedsearch.encoder.training.guides import Guide, by_late_interaction, by_vectors
from embedsearch.encoder.training.losses import batch_loss, texts_of
from tests.encoder.tiny import make_tiny_model

WORDS = "cat mat dog ball garden stock market bank rate shares log account oven bread".split()
PAIRS = [
    TrainingPair(
        anchor=f"{word} {WORDS[i - 3]} " * (1 + i % 3),
        positive=f"the {WORDS[i - 5]} is in the {word} with the {WORDS[i - 1]}",
        negatives=(f"{WORDS[i - 4]} not {WORDS[i - 3]}", f"a {word}"),
    )
    for i, word in enumerate(WORDS)
]
CONFIG = EncoderTrainingConfig(
    loss="late", batch_size=7, epochs=8, learning_rate=3e-3, held_out=0.0, precision="float32"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def guide_of(base, data, batch_tokens: int) -> Guide:
    model = load_model(base, "cpu").eval()
    embedder = TextEmbedder(
        model=model,
        ids=tokenize(model, data.texts, None),
        pad_id=0,
        batch_tokens=batch_tokens,
        precision="float32",
        device="cpu",
    )
    return by_late_interaction(embedder)


@pytest.mark.parametrize("batch_tokens", [8, 64, 4096])
def test_late_interaction_is_the_cosine_and_the_mean_of_the_best_tokens(base, batch_tokens):
    from sentence_transformers import SentenceTransformer

    data = make_dataset(PAIRS)
    anchors = [row.anchor for row in data.rows]
    candidates = [number for row in data.rows for number in (row.positive, *row.negatives)]
    found = guide_of(base, data, batch_tokens)(anchors, candidates).numpy()

    plain = SentenceTransformer(str(base), device="cpu")

    def embedded(numbers, kind):
        texts = [data.texts[number][1] for number in numbers]
        vectors = plain.encode(
            texts, output_value=kind, convert_to_numpy=kind != "token_embeddings"
        )
        return [
            each / np.linalg.norm(each, axis=-1, keepdims=True)
            for each in (np.asarray(vector) for vector in vectors)
        ]

    whole = (
        np.array(embedded(anchors, "sentence_embedding"))
        @ np.array(embedded(candidates, "sentence_embedding")).T
    )
    documents = embedded(candidates, "token_embeddings")
    for row, tokens in enumerate(embedded(anchors, "token_embeddings")):
        words = tokens[1:-1]  # without [CLS] and [SEP]
        best = [(words @ document.T).max(axis=1).mean() for document in documents]
        assert found[row] == pytest.approx(whole[row] + best, abs=1e-5)


def test_an_anchor_of_special_tokens_alone_is_compared_by_these(base):
    data = make_dataset([TrainingPair(anchor="\u200b", positive="the cat"), PAIRS[0]])
    found = guide_of(base, data, 64)([data.rows[0].anchor], [data.rows[0].positive])
    assert np.isfinite(found.numpy()).all()


def test_late_is_the_divergence_from_the_guides_order():
    import torch

    batch = [Row(anchor=0, positive=1, negatives=(4,)), Row(anchor=2, positive=3, negatives=(4, 1))]
    vectors, others = (
        torch.nn.functional.normalize(
            torch.randn(5, 6, generator=torch.Generator().manual_seed(seed)), dim=1
        )
        for seed in (0, 1)
    )

    def chances(each):
        scores = np.exp(20 * (each[[0, 2]] @ each[[1, 3, 4]].T).numpy().astype(np.float64))
        return scores / scores.sum(axis=1, keepdims=True)

    wanted, is_so = chances(others), chances(vectors)
    expected = (wanted * np.log(wanted / is_so)).sum(axis=1).mean()
    guide, order = by_vectors(others.numpy()), texts_of(batch)
    loss_of = batch_loss(batch, "late", CONFIG, guide)
    assert float(loss_of(vectors[order])) == pytest.approx(expected, rel=1e-4)
    assert float(loss_of(others[order])) == pytest.approx(0, abs=1e-6)


def test_an_encoder_learns_to_rank_as_its_tokens_do(tmp_path, base):
    data = make_dataset(PAIRS)
    guide = guide_of(base, data, 4096)
    batch = data.epoch(5, 0, 14, 2)[0]
    texts = [text for _, text in data.texts]

    def divergence(model) -> float:
        import torch

        vectors = torch.from_numpy(SentenceEncoder.load(model).encode_document(texts))
        return float(batch_loss(batch, "late", CONFIG, guide)(vectors[texts_of(batch)]))

    train(PAIRS, CONFIG, base=base, output=tmp_path / "out")
    assert divergence(tmp_path / "out") < 0.7 * divergence(base)


def test_what_is_called_an_answer_does_not_matter(tmp_path, base):
    """The same texts in the same batches, answers and negatives exchanged."""
    swapped = [
        replace(pair, positive=pair.negatives[0], negatives=(pair.positive,)) for pair in PAIRS
    ]
    config = replace(CONFIG, batch_size=len(PAIRS), epochs=2, negatives=1)
    pairs = [replace(pair, negatives=pair.negatives[:1]) for pair in PAIRS]
    train(pairs, config, base=base, output=tmp_path / "a")
    train(swapped, config, base=base, output=tmp_path / "b")
    texts = [pair.positive for pair in PAIRS]
    first, second = (SentenceEncoder.load(tmp_path / name).encode_document(texts) for name in "ab")
    assert np.abs(first - second).max() < 1e-3
    assert np.abs(first - SentenceEncoder.load(base).encode_document(texts)).max() > 1e-2
