"""The closed loop: what is refused before it begins, and how it goes on."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import embedsearch.encoder.training.run as run_module
import embedsearch.finetuning.closed_loop as module
from embedsearch.collection.collection import Collection
from embedsearch.encoder.training import EncoderTrainingConfig, ScoredPair, TrainingPair
from embedsearch.errors import InputError, NotFoundError, StorageError
from embedsearch.finetuning.closed_loop import LoopConfig, improve_encoder
from embedsearch.finetuning.promotion import PromotionConfig
from embedsearch.finetuning.training import train_encoder
from embedsearch.types import Document
from tests.encoder.test_training import PAIRS, WORDS
from tests.encoder.tiny import make_tiny_model
from tests.support import write

CONFIG = LoopConfig(
    training=EncoderTrainingConfig(
        epochs=1, batch_size=8, held_out=0.2, learning_rate=2e-3, precision="float32"
    ),
    promotion=PromotionConfig(p_value=1.0),
)


@pytest.fixture
def base(tmp_path):
    return make_tiny_model(tmp_path / "tiny")


@pytest.fixture
def collection(tmp_path, base):
    with Collection.open(tmp_path / "c.es", model=str(base)) as opened:
        opened.upsert(Document(id=word, text=f"About the {word}.") for word in WORDS)
        yield opened


@pytest.fixture
def judged(tmp_path):
    return judged_folder(tmp_path / "judged", WORDS[:12])


def judged_folder(folder, ids):
    queries = [{"_id": word, "text": f"what is a {word}"} for word in ids]
    write(folder / "queries.jsonl", "\n".join(map(json.dumps, queries)))
    write(folder / "qrels/test.tsv", "\n".join(f"{word}\t{word}\t1" for word in ids))
    return folder


@pytest.fixture
def nothing_is_done(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("it began before all was checked")

    for name in ("mine_hard_negatives", "train_encoder", "try_model"):
        monkeypatch.setattr(module, name, fail)


@pytest.mark.usefixtures("nothing_is_done")
def test_what_can_be_refused_is_refused_first(tmp_path, collection, judged):
    def refused(
        error, message, output=tmp_path / "out", data=PAIRS, folder=judged, training=None, **more
    ):
        config = replace(CONFIG, training=replace(CONFIG.training, **(training or {})))
        with pytest.raises(error, match=message):
            improve_encoder(collection, output, config, data=data, judged=folder, **more)

    foreign = judged_folder(tmp_path / "foreign", ["no", "none"])
    refused(InputError, "none of the 2 relevant documents", folder=foreign)
    refused(StorageError, "cannot be written", output=foreign / "queries.jsonl" / "out")
    refused(InputError, "is there already", output=judged)
    asked = [*PAIRS, TrainingPair(anchor="What is a CAT", positive="it has fur")]
    refused(InputError, "kept for measuring", data=asked)
    refused(InputError, "kept for measuring", held_out=[PAIRS[3]])
    refused(InputError, "a text is empty", data=[*PAIRS, TrainingPair(anchor=" ", positive="x")])
    refused(InputError, "cannot fill one batch", training={"batch_size": len(PAIRS)})
    refused(InputError, "'cosent' is not for pairs", training={"loss": "cosent"})
    refused(InputError, "the model has 32", training={"matryoshka_dims": (64,)})
    refused(NotFoundError, "no model", base=tmp_path / "nothing")
    wrong = TrainingPair(anchor=" ", positive="x")
    refused(InputError, "held-out examples cannot be used", held_out=[wrong])
    same = [TrainingPair(anchor=f"{n}?", positive="the same") for n in range(3)]
    refused(InputError, "cannot be measured", held_out=same)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.es", "foreign", "judged", "tiny"]


def test_pairs_made_of_documents_leave_out_what_is_held_out(tmp_path, base):
    with Collection.open(tmp_path / "c.es", model=str(base)) as collection:
        collection.upsert(
            Document(
                id=word,
                title=f"How do I find the {word}",
                text=f"The {word} is in the garden here. Nobody saw the {word} last week.",
            )
            for word in WORDS
        )
        titles = [f"how do I find the  {word}" for word in WORDS[:4]]
        kept = [TrainingPair(anchor=title, positive=f"in the {title}") for title in titles]
        scored = [
            ScoredPair(first=f"How do I find the {word}", second="there", score=score)
            for word, score in zip(WORDS[:4], (0, 0.2, 0.4, 1), strict=True)
        ]
        config = replace(CONFIG, mining=None)
        for number, held_out in enumerate((kept, scored)):
            report = improve_encoder(collection, tmp_path / str(number), config, held_out=held_out)
            assert report.pairs is not None
            assert report.pairs.found["title"] == len(WORDS) - 4
            assert report.training.held_out == 4


def improve(collection, output, judged, **promotion):
    config = replace(CONFIG, promotion=replace(CONFIG.promotion, **promotion))
    return improve_encoder(collection, output, config, data=PAIRS, judged=judged)


def test_what_is_trained_is_not_trained_again(tmp_path, collection, judged, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "try_model", interrupted)
        with pytest.raises(KeyboardInterrupt):
            improve(collection, tmp_path / "out", judged)
    card = (tmp_path / "out/training.json").read_bytes()

    monkeypatch.setattr(run_module, "_prepare", interrupted)  # what every training begins with
    compared = improve(collection, tmp_path / "out", judged)
    assert compared.trial.questions == 12
    assert not compared.trial.promoted
    assert compared.training.steps == json.loads(card)["result"]["steps"] == 3
    again = improve(collection, tmp_path / "out", judged, promote="if-better")
    assert again.training == compared.training
    assert again.trial.measures == compared.trial.measures
    assert again.trial.promoted == (again.trial.measures["ndcg@10"].difference > 0)
    assert (tmp_path / "out/training.json").read_bytes() == card


def test_a_folder_from_another_training_is_left_alone(tmp_path, base):
    output = tmp_path / "out"
    first = train_encoder(PAIRS, CONFIG.training, base=base, output=output)
    assert train_encoder(PAIRS, CONFIG.training, base=base, output=output) == first
    other = make_tiny_model(tmp_path / "other", seed=1)
    for data, settings, model in (
        (PAIRS[:-1], CONFIG.training, base),
        (PAIRS, replace(CONFIG.training, seed=1), base),
        (PAIRS, CONFIG.training, other),
    ):
        with pytest.raises(InputError, match="is there already, and not from this very training"):
            train_encoder(data, settings, base=model, output=output)
    (output / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(InputError, match="is there already"):
        train_encoder(PAIRS, CONFIG.training, base=base, output=output)
    for card in ("{", "[]", '{"run": 1, "base": 7}'):
        write(output / "training.json", card)
        with pytest.raises(InputError, match="is there already"):
            train_encoder(PAIRS, CONFIG.training, base=base, output=output)
