"""The tables of a collection, as numbered migrations.

`documents` are what the user put in, `chunks` the slices that are searched, `vectors` what the
encoder made of them: one vector for each (model, content hash), shared by chunks of equal content.
`sources` are the files that documents came from. `staged_chunks` holds the chunks of a reindex
that is under way. `deletions` and `generations` tie the index file, which is only a cache, to the
rows: a generation covers the chunks up to its watermark, less the deletions since.
"""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

APPLICATION_ID = 0x65736331
"""SQLite's application id, in the file's header: tells a collection from any other database."""

SCHEMA_VERSION = 1
"""SQLite's user_version after all migrations."""

KEYWORD_TOKENIZER = "porter unicode61 remove_diacritics 2"

migrations = Migrations("embedsearch")

_CHUNK_COLUMNS = """
    document INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    headings TEXT NOT NULL,
    context TEXT NOT NULL,
    text TEXT NOT NULL,
    vector INTEGER NOT NULL REFERENCES vectors(id)
"""


@migrations()
def m001_initial(db: Database) -> None:
    db.executescript(f"""
        PRAGMA application_id = {APPLICATION_ID};
        CREATE TABLE settings (
            key TEXT PRIMARY KEY,
            value TEXT NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE models (
            id INTEGER PRIMARY KEY,
            fingerprint TEXT NOT NULL UNIQUE,
            name TEXT NOT NULL,
            dim INTEGER NOT NULL
        );
        CREATE TABLE sources (
            id INTEGER PRIMARY KEY,
            path TEXT NOT NULL UNIQUE,
            size INTEGER,
            mtime_ns INTEGER,
            problem TEXT
        );
        CREATE TABLE documents (
            id INTEGER PRIMARY KEY,
            document_id TEXT NOT NULL UNIQUE,
            source INTEGER REFERENCES sources(id),
            hash BLOB NOT NULL,
            title TEXT NOT NULL,
            text TEXT NOT NULL,
            format TEXT NOT NULL,
            metadata TEXT NOT NULL
        );
        CREATE INDEX documents_source ON documents(source);
        CREATE TABLE vectors (
            id INTEGER PRIMARY KEY,
            model INTEGER NOT NULL REFERENCES models(id),
            hash BLOB NOT NULL,
            vector BLOB NOT NULL,
            UNIQUE (model, hash)
        );
        CREATE TABLE chunks (
            id INTEGER PRIMARY KEY AUTOINCREMENT, -- never reused: the watermark relies on it
            {_CHUNK_COLUMNS}
        );
        CREATE INDEX chunks_document ON chunks(document);
        CREATE INDEX chunks_vector ON chunks(vector);
        CREATE TABLE staged_chunks (
            id INTEGER PRIMARY KEY,
            {_CHUNK_COLUMNS}
        );
        CREATE INDEX staged_chunks_document ON staged_chunks(document);
        CREATE INDEX staged_chunks_vector ON staged_chunks(vector);
        CREATE TABLE deletions (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            chunk INTEGER NOT NULL
        );
        CREATE TABLE generations (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            model INTEGER NOT NULL REFERENCES models(id),
            kind TEXT NOT NULL,
            file TEXT NOT NULL,
            size INTEGER NOT NULL,
            mtime_ns INTEGER NOT NULL,
            watermark INTEGER NOT NULL,
            vectors INTEGER NOT NULL
        );
        CREATE TRIGGER chunks_deletions AFTER DELETE ON chunks BEGIN
            INSERT INTO deletions (chunk) VALUES (old.id);
        END;
    """)
    db.table("chunks").enable_fts(
        ["context", "text"], create_triggers=True, tokenize=KEYWORD_TOKENIZER
    )
    db.execute("PRAGMA user_version = 1")
