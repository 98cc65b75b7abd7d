"""The kernel against the plain reference, and its parts against their definitions."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from embedsearch.word2vec import kernel
from embedsearch.word2vec.vocabulary import keep_thresholds, noise_tables
from tests.word2vec import reference

COUNTS = np.array([60, 40, 30, 20, 10, 8, 5, 5, 3, 2], np.int64)


def run(ids, *, vector_size=20, window=3, negative=4, sample=0.0, seed=7):
    """Matrices, loss and pairs of the kernel and of the reference, from the same start."""
    random = np.random.default_rng(seed)
    padded = -(-vector_size // 16) * 16
    start = np.zeros((2, len(COUNTS), padded), np.float32)
    start[:, :, :vector_size] = random.normal(size=(2, len(COUNTS), vector_size)) / 2
    keep, noise = keep_thresholds(COUNTS, sample), noise_tables(COUNTS, 0.75)
    ours, theirs = start.copy(), start.astype(np.float64)
    settings = {"window": window, "negative": negative, "alpha": 0.1, "alpha_end": 0.05}
    found = kernel.train_block(
        np.array(ids, np.int32),
        ours[0].reshape(-1),
        ours[1].reshape(-1),
        padded,
        keep,
        *noise,
        *settings.values(),
        seed,
        np.zeros(1, np.uint8),
    )
    expected = reference.train_block(
        ids, theirs[0], theirs[1], keep=keep, noise=noise, seed=seed, **settings
    )
    return ours, theirs, found, expected


def text(length: int, seed: int = 0) -> list[int]:
    random = np.random.default_rng(seed)
    drawn = random.choice(len(COUNTS), length, p=COUNTS / COUNTS.sum())
    drawn[random.random(length) < 0.1] = -1
    return [int(i) for i in drawn]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"vector_size": 1, "window": 1, "negative": 1},
        {"vector_size": 16, "negative": 2},
        {"vector_size": 100, "window": 10, "negative": 5},
        {"negative": 13, "window": 2},
        {"sample": 0.02},
    ],
    ids=str,
)
def test_a_block_is_what_the_reference_makes_of_it(settings):
    ours, theirs, (loss, pairs), (expected_loss, expected_pairs) = run(text(200), **settings)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert pairs == expected_pairs > 0
    assert loss == pytest.approx(expected_loss, rel=1e-5)


@pytest.mark.parametrize("ids", [[], [-1], [3], [-1, -1, 3, -1, 4]], ids=str)
def test_nothing_to_learn_changes_nothing(ids):
    ours, theirs, found, _ = run(ids)
    assert found == (0.0, 0)
    np.testing.assert_array_equal(ours, theirs.astype(np.float32))


def test_a_huge_logit_gives_a_finite_step():
    start = np.full(16, 1e4, np.float32)
    syn0, syn1 = np.tile(start, 2), np.tile(-start, 2)
    keep, noise = keep_thresholds(np.array([5, 5]), 0), noise_tables(np.array([5, 5]), 0.75)
    ids = np.array([0, 1, 0, 1], np.int32)
    settings = (2, 2, 0.025, 0.025, 1, np.zeros(1, np.uint8))
    loss, pairs = kernel.train_block(ids, syn0, syn1, 16, keep, *noise, *settings)
    assert np.isfinite(syn0).all()
    assert np.isfinite(syn1).all()
    assert math.isfinite(loss)
    assert pairs > 0


def test_another_thread_can_end_a_block():
    """Here of minutes of work, within a window of it."""
    ids = np.array(text(1 << 16), np.int32)
    ids[ids < 0] = 0
    matrices = np.random.default_rng(1).normal(size=(2, len(COUNTS) * 512)).astype(np.float32)
    before, stop = matrices.copy(), np.zeros(1, np.uint8)
    keep, noise = keep_thresholds(COUNTS, 0), noise_tables(COUNTS, 0.75)
    block = (ids, *matrices, 512, keep, *noise, 1000, 20, 1e-4, 1e-4, 1, stop)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(kernel.train_block, *block)
        while np.array_equal(matrices, before):
            assert not running.done()
        stop[0] = True
        _, pairs = running.result()
    assert 0 < pairs < len(ids) * 100  # of some 1,000 for each centre


def test_random_bits_are_splitmix64():
    random, state = reference.Random(42), np.uint64(42)
    for _ in range(100):
        state, bits = kernel.random_bits(np.uint64(state))
        assert int(bits) == random.bits()


def test_logistic_loss_and_steps():
    logits = np.linspace(-80, 80, 4001).astype(np.float32)
    for sign in (1.0, -1.0):
        steps = logits.copy()
        signs = np.full(len(logits), sign, np.float32)
        weight = np.full(len(logits), 0.5, np.float32)
        loss = kernel.logistic(steps, signs, weight, np.float32(0.25), len(logits))
        margin = sign * logits.astype(np.float64)
        expected = sign * 0.5 * 0.25 / (1 + np.exp(margin))
        np.testing.assert_allclose(steps, expected, rtol=2e-5, atol=1e-12)
        assert loss == pytest.approx(0.5 * np.log1p(np.exp(-margin)).sum(), rel=1e-5)


def test_a_weight_of_zero_is_no_step_and_no_loss():
    steps = np.array([3.0, -2.0], np.float32)
    sign, weight = np.ones(2, np.float32), np.zeros(2, np.float32)
    assert kernel.logistic(steps, sign, weight, np.float32(1), 2) == 0
    assert steps.tolist() == [0, 0]


def test_noise_follows_its_distribution():
    noise = noise_tables(COUNTS, 0.75)
    outputs = np.zeros(200_001, np.int32)
    kernel.draw_noise(*noise, np.uint64(5), outputs)
    found = np.bincount(outputs[1:], minlength=len(COUNTS)) / (len(outputs) - 1)
    expected = COUNTS**0.75 / (COUNTS**0.75).sum()
    np.testing.assert_allclose(found, expected, atol=0.004)


def test_subsampling_keeps_what_its_formula_says():
    counts = np.array([900, 90, 10], np.int64)
    keep = keep_thresholds(counts, 0.01)
    ids = np.repeat(np.array([0, 1, 2], np.int32), 50_000)
    kept = np.empty(len(ids) + 1, np.int32)
    count, _ = kernel.subsample(ids, keep, np.uint64(3), kept)
    found = np.bincount(kept[:count], minlength=3) / 50_000
    share = counts / counts.sum()
    expected = np.minimum(np.sqrt(0.01 / share) + 0.01 / share, 1)
    np.testing.assert_allclose(found, expected, atol=0.01)
