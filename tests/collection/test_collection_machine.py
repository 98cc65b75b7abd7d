"""A collection through random changes, compared step by step with a model of plain dicts."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from embedsearch.collection.collection import Collection
from embedsearch.text.chunking import ChunkingConfig
from embedsearch.types import Document
from tests.store.bm25 import PLAIN, bm25
from tests.support import (
    CountingEncoder,
    assert_hits,
    chunk_rows,
    cosines,
    counts,
    ranked,
    without_times,
    write,
)

TEXTS = st.lists(
    st.sampled_from([*PLAIN, "running", "the", "\n\n", "🐈", "éü", "."]), min_size=1, max_size=120
).map(" ".join)
PAGES = st.sampled_from(["a.md", "b.txt", "deep/c.md", "deep/d.rst"])
TABLES = st.sampled_from(["x.jsonl", "deep/y.jsonl"])
IDS = st.sampled_from([f"r{n}" for n in range(6)])
OWN_IDS = st.sampled_from(["mine 1", "mine 2", "mine 3"])
QUERIES = st.sampled_from(["lynx", "running emu", "the zebu log"])


class CollectionMachine(RuleBasedStateMachine):
    """`files` is what is on the disk, `synced` and `own` what the collection has to hold."""

    @initialize()
    def start(self):
        self.home = Path(tempfile.mkdtemp(prefix="embedsearch-machine-"))
        self.docs = self.home / "docs"
        self.docs.mkdir()
        self.files: dict[str, dict[str, str]] = {}
        self.synced: dict[str, str] = {}
        self.own: dict[str, str] = {}
        self.encoder = CountingEncoder()
        self.open()

    def open(self):
        self.collection = Collection.open(self.home / "c", model=self.encoder)

    def teardown(self):
        if hasattr(self, "home"):
            self.collection.close()
            shutil.rmtree(self.home)

    # Files

    @rule(name=PAGES, text=TEXTS)
    def write_page(self, name, text):
        write(self.docs / name, text)
        self.files[name] = {f"docs/{name}": text} if text.strip() else {}

    @rule(name=TABLES, rows=st.dictionaries(IDS, TEXTS, max_size=4))
    def write_table(self, name, rows):
        """An id stands in one file at most: what happens else is tested in test_sync."""
        elsewhere = {id_ for other in self.files if other != name for id_ in self.files[other]}
        rows = {id_: text for id_, text in rows.items() if id_ not in elsewhere}
        write(
            self.docs / name,
            "".join(json.dumps({"_id": id_, "text": text}) + "\n" for id_, text in rows.items()),
        )
        self.files[name] = {id_: text for id_, text in rows.items() if text.strip()}

    @rule(data=st.data())
    def remove_file(self, data):
        if self.files:
            name = data.draw(st.sampled_from(sorted(self.files)))
            (self.docs / name).unlink()
            del self.files[name]

    # The collection

    @rule()
    def sync(self):
        on_disk = {id_: text for rows in self.files.values() for id_, text in rows.items()}
        before, embedded = dict(self.synced), len(self.encoder.documents)
        rehearsed = self.collection.sync([self.docs], dry_run=True)
        assert len(self.encoder.documents) == embedded
        report = self.collection.sync([self.docs])
        assert without_times(rehearsed) == without_times(report)
        expected = {
            "added": len(on_disk.keys() - before.keys()),
            "removed": len(before.keys() - on_disk.keys()),
            "changed": sum(before.get(i, text) != text for i, text in on_disk.items()),
            "unchanged": sum(before.get(i) == text for i, text in on_disk.items()),
        }
        assert counts(report) == {name: n for name, n in expected.items() if n}
        assert len(self.encoder.documents) - embedded == report.embedded
        self.synced = on_disk
        again = self.collection.sync([self.docs])
        assert counts(again) == ({"unchanged": len(on_disk)} if on_disk else {})

    @rule(documents=st.dictionaries(OWN_IDS, TEXTS, max_size=3))
    def upsert(self, documents):
        report = self.collection.upsert(Document(id=i, text=t) for i, t in documents.items())
        taken = {i: text for i, text in documents.items() if text.strip()}
        assert len(report.skipped) == len(documents) - len(taken)
        assert report.added == len(taken.keys() - self.own.keys())
        assert report.unchanged == sum(self.own.get(i) == text for i, text in taken.items())
        self.own.update(taken)

    @rule(data=st.data())
    def delete(self, data):
        there = sorted({*self.synced, *self.own})
        ids = data.draw(st.lists(st.sampled_from([*there, "nowhere"]), max_size=3))
        assert self.collection.delete(ids) == len(set(ids) - {"nowhere"})
        for id_ in ids:
            self.synced.pop(id_, None)
            self.own.pop(id_, None)

    @rule(seed=st.integers(0, 1), max_tokens=st.sampled_from([None, 16, 40]))
    def reindex(self, seed, max_tokens):
        self.encoder = CountingEncoder(seed=seed)
        chunking = ChunkingConfig(max_tokens=max_tokens, overlap_tokens=4)
        report = self.collection.reindex(model=self.encoder, chunking=chunking)
        assert counts(report) == ({"changed": len(self.collection)} if len(self.collection) else {})

    @rule()
    def vacuum(self):
        self.collection.vacuum()

    @rule()
    def reopen(self):
        self.collection.close()
        self.open()

    @rule(query=QUERIES, k=st.integers(1, 20), by=st.sampled_from(["document", "chunk"]))
    def search(self, query, k, by):
        chunks = chunk_rows(self.collection)
        meaning = cosines(self.encoder, chunks, query)
        words = bm25({c.row: f"{c.context} {c.text}" for c in chunks}, terms_of(query))
        for mode, scores in (("semantic", meaning), ("keyword", words)):
            wanted = ranked(scores, chunks, by=by)[:k]
            hits = self.collection.search(query, k, mode=mode, by=by)
            assert_hits(hits, wanted, tolerance=1e-5)

    # What always holds

    @invariant()
    def it_holds_these_documents(self):
        held = {document.id: document.text for document in self.collection}
        assert held == self.synced | self.own
        assert len(self.collection) == len(held)

    @invariant()
    def chunks_are_slices_that_cover_their_documents(self):
        covered = {id_: np.zeros(len(text), dtype=bool) for id_, text in self.texts().items()}
        for chunk in chunk_rows(self.collection):
            text = self.texts()[chunk.document_id]
            assert text[chunk.start : chunk.end] == chunk.text
            covered[chunk.document_id][chunk.start : chunk.end] = True
        for id_, text in self.texts().items():
            blank = np.array([character.isspace() for character in text], dtype=bool)
            assert (covered[id_] | blank).all()

    def texts(self) -> dict[str, str]:
        return self.synced | self.own


def terms_of(query: str) -> list[str]:
    return [word for word in query.split() if word != "the"]


TestCollection = CollectionMachine.TestCase
TestCollection.settings = settings(max_examples=12, stateful_step_count=18)
