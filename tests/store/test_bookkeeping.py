"""Settings, models, files and generations: the store's small tables."""

from __future__ import annotations

import numpy as np
import pytest

from embedsearch.store.documents import delete_documents
from embedsearch.store.generations import (
    Generation,
    adopt_generation,
    current_generation,
    current_state,
    deletions_after,
    next_generation,
)
from embedsearch.store.settings import (
    Model,
    activate_model,
    active_model,
    delete_setting,
    get_setting,
    put_setting,
    register_model,
)
from embedsearch.store.sources import (
    all_sources,
    drop_empty_sources,
    drop_source,
    forget_documents,
    source_id,
    stamp_source,
)
from embedsearch.types import Document
from tests.store.rows import make_database, make_model, put


@pytest.fixture
def db(tmp_path):
    database = make_database(tmp_path / "c")
    yield database
    database.close()


# Settings and models


@pytest.mark.parametrize("value", [0, 1.5, "text", None, True, [1, "ü"], {"a": {"b": None}}])
def test_settings_hold_json(db, value):
    put_setting(db, "key", "before")
    put_setting(db, "key", value)
    assert get_setting(db, "key") == value
    assert type(get_setting(db, "key")) is type(value)
    delete_setting(db, "key")
    assert get_setting(db, "key") is None


def test_a_new_collection_has_no_model(db):
    assert active_model(db) is None
    assert current_state(db).model is None


def test_a_model_is_its_fingerprint_not_its_name(db):
    one = register_model(db, name="one", fingerprint="f1", dim=3)
    again = register_model(db, name="renamed", fingerprint="f1", dim=3)
    other = register_model(db, name="one", fingerprint="f2", dim=3)
    assert again == one
    assert other.id != one.id
    assert active_model(db) is None  # known, not in force


def test_the_active_model_is_called_what_the_user_calls_it(db):
    model = register_model(db, name="old", fingerprint="f", dim=7)
    activate_model(db, model, "new")
    assert active_model(db) == Model(id=model.id, name="new", fingerprint="f", dim=7)
    other = register_model(db, name="other", fingerprint="g", dim=9)
    activate_model(db, other, "other")
    assert active_model(db) == other
    assert current_state(db).model == other.id


# Files


def test_a_file_is_known_without_a_stamp_until_it_was_read(db):
    id_ = source_id(db, "a.md")
    assert source_id(db, "a.md") == id_
    assert source_id(db, "b.md") != id_
    source = all_sources(db)["a.md"]
    assert (source.size, source.mtime_ns, source.problem, source.documents) == (None, None, None, 0)
    stamp_source(db, id_, size=3, mtime_ns=2**62, problem="binary")
    source = all_sources(db)["a.md"]
    assert (source.size, source.mtime_ns, source.problem) == (3, 2**62, "binary")
    stamp_source(db, id_, size=4, mtime_ns=5)
    assert all_sources(db)["a.md"].problem is None


def test_files_count_their_documents(db):
    model = make_model(db)
    for id_ in "abc":
        put(db, model, Document(id=id_, text=id_), path="f.jsonl" if id_ != "c" else "g.md")
    put(db, model, Document(id="d", text="d"))
    assert {path: s.documents for path, s in all_sources(db).items()} == {"f.jsonl": 2, "g.md": 1}


def test_a_file_of_a_forgotten_document_is_to_be_read_again(db):
    model = make_model(db)
    for id_, path in (("a", "f.jsonl"), ("b", "f.jsonl"), ("c", "g.md"), ("d", None)):
        put(db, model, Document(id=id_, text=id_), path=path)
    for path in ("f.jsonl", "g.md"):
        stamp_source(db, source_id(db, path), size=1, mtime_ns=1)
    forget_documents(db, ["a", "d", "nowhere"])
    sizes = {path: source.size for path, source in all_sources(db).items()}
    assert sizes == {"f.jsonl": None, "g.md": 1}


def test_names_of_files_without_documents_go(db):
    model = make_model(db)
    put(db, model, Document(id="a", text="a"), path="with.md")
    empty, stamped = source_id(db, "empty.md"), source_id(db, "stamped.md")
    stamp_source(db, stamped, size=0, mtime_ns=1, problem="empty")
    drop_empty_sources(db)
    assert set(all_sources(db)) == {"with.md", "stamped.md"}
    assert empty not in {source.id for source in all_sources(db).values()}
    drop_source(db, stamped)
    assert set(all_sources(db)) == {"with.md"}


# Generations


def generation(number, watermark, model=1):
    return Generation(
        id=number,
        model=model,
        kind="numpy-exact",
        file=f"{number:06d}.index",
        size=10,
        mtime_ns=11,
        watermark=watermark,
        vectors=watermark,
    )


def test_generations_are_numbered_on_and_on(db):
    model = make_model(db)
    assert next_generation(db) == 1
    assert current_generation(db) is None
    for number in (1, 2, 3):
        adopt_generation(db, generation(number, watermark=0, model=model.id))
        assert next_generation(db) == number + 1
        assert current_generation(db) == generation(number, watermark=0, model=model.id)
    assert db.execute("SELECT count(*) FROM generations").fetchone() == (1,)


def test_state_tells_of_every_change(db):
    states = [current_state(db)]
    assert (states[0].last_chunk, states[0].last_deletion, states[0].generation) == (0, 0, None)
    model = make_model(db)
    states.append(current_state(db))
    rows = put(db, model, Document(id="a", text="one two"), pieces=["one", "two"])
    states.append(current_state(db))
    assert states[-1].last_chunk == rows[-1]
    put(db, model, Document(id="a", text="three"))
    states.append(current_state(db))
    assert deletions_after(db, states[-2].last_deletion).tolist() == rows
    delete_documents(db, ["a"])
    states.append(current_state(db))
    assert states[-1].last_chunk == rows[-1] + 1  # not max(id): the rows are gone
    assert deletions_after(db, states[-2].last_deletion).tolist() == [rows[-1] + 1]
    adopt_generation(db, generation(1, watermark=rows[-1] + 1, model=model.id))
    states.append(current_state(db))
    assert len({repr(state) for state in states}) == len(states)


def test_adopting_forgets_deletions_but_not_their_numbers(db):
    """A reader that saw deletion 2 must not take the next one for one that it knows."""
    model = make_model(db)
    put(db, model, Document(id="a", text="one two"), pieces=["one", "two"])
    delete_documents(db, ["a"])
    assert deletions_after(db, 0).tolist() == [1, 2]
    seen = current_state(db).last_deletion
    adopt_generation(db, generation(1, watermark=2, model=model.id))
    assert deletions_after(db, 0).tolist() == []
    put(db, model, Document(id="a", text="three"))
    delete_documents(db, ["a"])
    assert deletions_after(db, seen).tolist() == [3]
    assert deletions_after(db, 0).dtype == np.int64
