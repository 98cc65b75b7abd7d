"""A model on trial: compared on the same questions, promoted or dropped, and taken back."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from embedsearch.collection.collection import Collection
from embedsearch.encoder import SentenceEncoder
from embedsearch.errors import FingerprintError, InputError, LockedError, NotFoundError
from embedsearch.evaluation.significance import compare_paired
from embedsearch.finetuning.promotion import PromotionConfig, judge, try_model
from embedsearch.store.database import open_database
from embedsearch.store.shadow import LOCK_NAME, new_shadow
from embedsearch.types import Document
from tests.encoder.tiny import make_tiny_model
from tests.fake_encoder import FakeEncoder
from tests.support import CountingEncoder, write

TOPICS = 40


class Deaf(CountingEncoder):
    """Gives texts vectors that have nothing to do with their words."""

    def __init__(self):
        super().__init__(seed=9)
        self.name = "deaf"
        self.fingerprint = hashlib.sha256(b"deaf").hexdigest()

    def _encode(self, text):
        return super()._encode(hashlib.sha256(text.encode()).hexdigest())

    def encode_query(self, texts):
        return np.stack([self._encode(text) for text in texts])

    def encode_document(self, texts):
        self.documents += texts
        return self.encode_query(texts)


def documents():
    return [
        Document(id=f"d{i}", text=f"topic{i} word{i} and thing{i % 7} or other") for i in range(120)
    ]


@pytest.fixture
def judged(tmp_path):
    folder = tmp_path / "judged"
    queries = [{"_id": f"q{i}", "text": f"topic{i} word{i}"} for i in range(TOPICS)]
    write(folder / "queries.jsonl", "\n".join(map(json.dumps, queries)))
    write(folder / "qrels/test.tsv", "\n".join(f"q{i}\td{i}\t1" for i in range(TOPICS)))
    return folder


def opened(tmp_path, encoder):
    collection = Collection.open(tmp_path / "c", model=encoder)
    collection.upsert(documents())
    return collection


SEMANTIC = {"mode": "semantic"}


def test_a_better_model_is_promoted_and_taken_back(tmp_path, judged):
    better = CountingEncoder()
    with opened(tmp_path, Deaf()) as collection:
        before = collection.status()
        config = PromotionConfig(promote="if-better", **SEMANTIC)
        trial = try_model(collection, better, judged, config)
        assert trial.promoted
        assert trial.measures["ndcg@10"].after == 1.0
        assert trial.measures["ndcg@10"].before < 0.5
        assert (trial.questions, trial.before, trial.after) == (TOPICS, "deaf", better.name)
        assert collection.status().fingerprint == better.fingerprint
        assert len(better.documents) == 120  # in the shadow; the switch embeds nothing again
        assert collection.search("topic3 word3", 1, mode="semantic")[0].document_id == "d3"
        assert not (tmp_path / "c.shadow").exists()

        deaf = Deaf()
        collection.upsert([Document(id="new", text="something new")])
        again = collection_with(tmp_path, collection, deaf)
        again.rollback()
        assert again.status().fingerprint == before.fingerprint
        assert deaf.documents == ["something new"]
        again.close()


def collection_with(tmp_path, collection, encoder):
    """The collection as another process would open it, with a rollback's encoder at hand."""
    collection.close()
    reopened = Collection.open(tmp_path / "c", model=CountingEncoder())
    import embedsearch.collection.writer as module

    original = module.load_encoder
    module.load_encoder = lambda model, compute=None: (
        encoder if model == encoder.name else original(model, compute)
    )
    return reopened


@pytest.fixture(autouse=True)
def restore_loader():
    import embedsearch.collection.writer as module

    original = module.load_encoder
    yield
    module.load_encoder = original


def test_a_worse_model_leaves_everything_as_it_was(tmp_path, judged):
    with opened(tmp_path, CountingEncoder()) as collection:
        before, hits = collection.status(), collection.search("topic3", 5)
        trial = try_model(collection, Deaf(), judged, PromotionConfig(promote="if-better"))
        assert not trial.promoted
        assert trial.reason.startswith("it is no better: nDCG@10 1.0000 →")
        assert collection.status() == before
        assert collection.search("topic3", 5) == hits
        assert vectors(tmp_path) == {before.fingerprint: 120}
        with pytest.raises(NotFoundError, match="no model to go back to"):
            collection.rollback()


def vectors(tmp_path):
    db = open_database(tmp_path / "c", read_only=True)
    rows = db.execute(
        "SELECT m.fingerprint, count(*) FROM vectors v JOIN models m ON m.id = v.model GROUP BY 1"
    ).fetchall()
    db.close()
    return dict(rows)


def test_a_search_goes_on_when_a_model_is_promoted_under_it(tmp_path, monkeypatch):
    old, new = (make_tiny_model(tmp_path / name, seed=seed) for seed, name in enumerate("ab"))
    with Collection.open(tmp_path / "c", model=str(old)) as collection:
        collection.upsert(documents())
        with Collection.open(tmp_path / "c", read_only=True) as reader:
            assert reader.search("topic3", 1, **SEMANTIC)

            def encode_query(encoder, texts):
                vectors = original(encoder, texts)
                monkeypatch.setattr(SentenceEncoder, "encode_query", original)
                collection.reindex(model=str(new))
                return vectors

            original = SentenceEncoder.encode_query
            monkeypatch.setattr(SentenceEncoder, "encode_query", encode_query)
            found = reader.search_batch(["topic3 word3", "topic5"], 5, **SEMANTIC)
        assert found == collection.search_batch(["topic3 word3", "topic5"], 5, **SEMANTIC)


def test_never_promotes_only_compares(tmp_path, judged):
    with opened(tmp_path, Deaf()) as collection:
        trial = try_model(collection, CountingEncoder(), judged, PromotionConfig(**SEMANTIC))
        assert not trial.promoted
        assert trial.reason.startswith("it is better, and was not to be promoted")
        assert collection.status().model == "deaf"


def test_the_vectors_before_are_kept_while_their_content_is(tmp_path, judged):
    better = CountingEncoder()
    with opened(tmp_path, Deaf()) as collection:
        deaf = collection.status().fingerprint
        config = PromotionConfig(promote="if-better", **SEMANTIC)
        try_model(collection, better, judged, config)
        assert vectors(tmp_path) == {deaf: 120, better.fingerprint: 120}
        collection.delete(["d1", "d2"])
        collection.vacuum()
        assert vectors(tmp_path) == {deaf: 118, better.fingerprint: 118}
        collection.reindex(model=FakeEncoder(seed=3))  # not a promotion: nothing to go back to
        assert set(vectors(tmp_path)) == {FakeEncoder(seed=3).fingerprint}
        with pytest.raises(NotFoundError):
            collection.rollback()


def test_a_rollback_embeds_again_what_the_models_cut_differently(tmp_path, judged):
    better, deaf = CountingEncoder(), Deaf()
    better.max_tokens = 16
    with opened(tmp_path, Deaf()) as collection:
        long = "A sentence of some words here, and of more. " * 3
        collection.upsert([Document(id="long", text=long)])
        config = PromotionConfig(promote="if-better", **SEMANTIC)
        assert try_model(collection, better, judged, config).promoted
        again = collection_with(tmp_path, collection, deaf)
        again.rollback()
        assert deaf.documents == [long.strip()]
        again.close()


def test_a_rollback_to_a_folder_that_holds_another_model_is_refused(tmp_path, judged):
    with opened(tmp_path, Deaf()) as collection:
        config = PromotionConfig(promote="if-better", **SEMANTIC)
        try_model(collection, CountingEncoder(), judged, config)
        other = CountingEncoder(seed=4)
        other.name = "deaf"
        again = collection_with(tmp_path, collection, other)
        with pytest.raises(FingerprintError):
            again.rollback()
        again.close()


def test_the_verdict():
    def compared(before, after, n=40):
        jitter = np.linspace(0, 0.1, n)
        return compare_paired(np.full(n, before) + jitter, np.full(n, after) + jitter[::-1])

    if_better = PromotionConfig(promote="if-better")
    same = compared(0.5, 0.5)
    assert judge({"ndcg@10": compared(0.5, 0.6), "recall@100": same}, if_better)[0]
    assert "luck" in judge({"ndcg@10": compared(0.5, 0.505), "recall@100": same}, if_better)[1]
    lost = {"ndcg@10": compared(0.5, 0.6), "recall@100": compared(0.9, 0.7)}
    assert judge(lost, if_better) == (False, judge(lost, if_better)[1])
    assert "Recall@100 fell" in judge(lost, if_better)[1]


def test_questions_about_other_documents_are_refused(tmp_path, judged):
    with Collection.open(tmp_path / "c", model=FakeEncoder()) as collection:
        with pytest.raises(InputError, match=r"none of the 40 relevant documents .* is empty$"):
            try_model(collection, FakeEncoder(seed=1), judged)
        collection.upsert([Document(id="foreign", text="text")])
        told = r"judgements have ids such as 'd0', .* has ids such as 'foreign'$"
        with pytest.raises(InputError, match=told):
            try_model(collection, FakeEncoder(seed=1), judged)
    with pytest.raises(InputError, match="promote"):
        PromotionConfig(promote="always")


def test_the_collection_is_searched_and_written_to_during_a_trial(tmp_path, judged):
    better = CountingEncoder()
    with opened(tmp_path, Deaf()) as collection:
        found = []

        class Meanwhile:
            def start(self, description, total, unit):
                if description == "Reindexing" and not found:
                    assert (tmp_path / "c.shadow").is_dir()
                    found.append(collection.search("topic3 word3", 5))
                    collection.upsert([Document(id="late", text="topic99 comes late")])

            def advance(self, amount):
                pass

            def note(self, message):
                pass

        config = PromotionConfig(promote="if-better", **SEMANTIC)
        assert try_model(collection, better, judged, config, progress=Meanwhile()).promoted
        assert len(found[0]) == 5
        assert better.documents[-1] == "topic99 comes late"
        assert len(better.documents) == 121
        assert collection.search("comes late", 1, mode="semantic")[0].document_id == "late"


def test_a_trial_that_fails_leaves_no_shadow(tmp_path, judged):
    class Broken(CountingEncoder):
        def encode_document(self, texts):
            raise ZeroDivisionError

    with opened(tmp_path, Deaf()) as collection:
        before = collection.status()
        with pytest.raises(ZeroDivisionError):
            try_model(collection, Broken(), judged)
        assert collection.status() == before
    assert not (tmp_path / "c.shadow").exists()


def test_one_trial_at_a_time_and_a_leftover_is_replaced(tmp_path, judged):
    left = tmp_path / "c.shadow"
    (left / "index").mkdir(parents=True)
    (left / "index.db").write_text("what a kill left")
    with opened(tmp_path, Deaf()) as collection:
        with new_shadow(collection.folder) as shadow:
            assert [path.name for path in shadow.iterdir()] == [LOCK_NAME]
            with pytest.raises(LockedError, match="another model is on trial"):
                try_model(collection, FakeEncoder(seed=1), judged)
        assert not left.exists()
        assert not try_model(collection, FakeEncoder(seed=1), judged).promoted
    assert not left.exists()
