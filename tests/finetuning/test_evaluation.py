"""Measuring an encoder by itself, against scikit-learn and scipy."""

from __future__ import annotations

import json

import numpy as np
import pytest

from embedsearch.errors import InputError
from embedsearch.evaluation.search import EvaluationConfig, evaluate_search
from embedsearch.finetuning.evaluation import (
    EncoderEvaluationConfig,
    classified,
    correlated,
    evaluate_encoder,
)
from tests.fake_encoder import FakeEncoder
from tests.support import write


def test_the_measures_are_those_of_scipy_and_scikit_learn():
    from scipy.stats import pearsonr, spearmanr
    from sklearn.metrics import average_precision_score

    random = np.random.default_rng(0)
    found = np.round(random.random(200), 1)  # with ties
    wanted = np.round(found + random.normal(0, 0.3, 200), 1)
    measures = correlated(found, wanted)
    assert measures["spearman"] == pytest.approx(spearmanr(found, wanted).statistic)
    assert measures["pearson"] == pytest.approx(pearsonr(found, wanted).statistic)
    right = (wanted > 0.6).astype(float)
    measures = classified(found, right)
    assert measures["average_precision"] == pytest.approx(average_precision_score(right, found))
    best = max(float(np.mean((found >= t) == right)) for t in [*np.unique(found), 2.0])
    assert measures["accuracy"] == pytest.approx(best)


def test_pairs_with_whole_and_cut_vectors(tmp_path):
    rows = [("a b c", "a b c", 1), ("a b c", "a b d", 0.7), ("a b c", "x y z", 0.1)]
    path = write(tmp_path / "sts.csv", "".join(f"{a},{b},{s}\n" for a, b, s in rows))
    config = EncoderEvaluationConfig(dims=(8,))
    scores = evaluate_encoder([path], config, model=FakeEncoder(dim=64))
    assert [(s.task, s.dims, s.size) for s in scores] == [
        ("similarity", 64, 3),
        ("similarity", 8, 3),
    ]
    assert scores[0].measures["spearman"] == pytest.approx(1.0)
    path = write(tmp_path / "pairs.csv", "a b,a b,1\nc d,c d,1\na b,x y,0\n")
    (score,) = evaluate_encoder(str(path), model=FakeEncoder(dim=64))  # one path is a list of one
    assert [score] == evaluate_encoder([path], model=FakeEncoder(dim=64))
    assert score.task == "classification"
    assert score.measures == {"average_precision": 1.0, "accuracy": 1.0}


def test_retrieval_is_that_of_a_semantic_search_over_whole_documents(tmp_path):
    random = np.random.default_rng(0)
    texts = [" ".join(f"w{n}" for n in random.integers(0, 40, 12)) for _ in range(150)]
    corpus = [{"_id": str(i), "title": "", "text": text} for i, text in enumerate(texts)]
    write(tmp_path / "d/corpus.jsonl", "\n".join(map(json.dumps, corpus)))
    queries = [
        {"_id": f"q{i}", "text": " ".join(f"w{n}" for n in random.integers(0, 40, 3))}
        for i in range(20)
    ]
    write(tmp_path / "d/queries.jsonl", "\n".join(map(json.dumps, queries)))
    qrels = "".join(f"q{i}\t{n}\t1\n" for i in range(20) for n in random.choice(150, 4, False))
    write(tmp_path / "d/qrels/test.tsv", qrels)
    (score,) = evaluate_encoder([tmp_path / "d"], model=FakeEncoder())
    config = EvaluationConfig(mode="semantic", whole_documents=True)
    expected = evaluate_search(tmp_path / "d", config, model=FakeEncoder())
    assert score.measures == pytest.approx(dict(expected.measures))


def test_what_cannot_be_measured(tmp_path):
    path = write(tmp_path / "pairs.csv", "a,b\n")
    with pytest.raises(InputError, match="pairs without score"):
        evaluate_encoder([path], model=FakeEncoder())
    path = write(tmp_path / "same.csv", "a,b,1\nc,d,1\n")
    with pytest.raises(InputError, match="the same score"):
        evaluate_encoder([path], model=FakeEncoder())
    with pytest.raises(InputError, match="vectors of fake-32-0 have 32"):
        evaluate_encoder([path], EncoderEvaluationConfig(dims=(64,)), model=FakeEncoder())
