"""A collection's settings and models."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from sqlite_utils import Database

PREVIOUS = "previous"
"""Setting that holds the model before a promotion, whose vectors are kept."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model whose vectors the collection holds. `id` is its row."""

    id: int
    name: str
    fingerprint: str
    dim: int


def get_setting(db: Database, key: str) -> Any:
    """The JSON value stored under `key`, or None."""
    row = db.execute("SELECT value FROM settings WHERE key = ?", [key]).fetchone()
    return json.loads(row[0]) if row else None


def put_setting(db: Database, key: str, value: Any) -> None:
    db.execute(
        "INSERT INTO settings (key, value) VALUES (?, ?) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [key, json.dumps(value)],
    )


def active_model(db: Database) -> Model | None:
    """The model that the chunks are embedded with; None in a collection that is new."""
    row = db.execute(
        "SELECT m.id, m.name, m.fingerprint, m.dim FROM models m JOIN settings s "
        "ON s.key = 'model' AND CAST(s.value AS INTEGER) = m.id"
    ).fetchone()
    return Model(id=row[0], name=row[1], fingerprint=row[2], dim=row[3]) if row else None


def register_model(db: Database, *, name: str, fingerprint: str, dim: int) -> Model:
    """The row of the model with this fingerprint, made when it is new."""
    db.execute(
        "INSERT INTO models (fingerprint, name, dim) VALUES (?, ?, ?) "
        "ON CONFLICT (fingerprint) DO NOTHING",
        [fingerprint, name, dim],
    )
    row = db.execute("SELECT id, name FROM models WHERE fingerprint = ?", [fingerprint]).fetchone()
    return Model(id=row[0], name=row[1], fingerprint=fingerprint, dim=dim)


def activate_model(db: Database, model: Model, name: str) -> None:
    """From now on the chunks are this model's; `name` is what the user calls it."""
    db.execute("UPDATE models SET name = ? WHERE id = ?", [name, model.id])
    put_setting(db, "model", model.id)


def previous_model(db: Database) -> Model | None:
    """The model before the last promotion, to go back to; None where there was none."""
    stored = get_setting(db, PREVIOUS)
    return Model(**stored) if stored else None


def keep_previous(db: Database, model: Model | None) -> None:
    """Keeps this model's vectors for a rollback, and no other's."""
    if model is None:
        delete_setting(db, PREVIOUS)
    else:
        put_setting(db, PREVIOUS, asdict(model))


def delete_setting(db: Database, key: str) -> None:
    db.execute("DELETE FROM settings WHERE key = ?", [key])
