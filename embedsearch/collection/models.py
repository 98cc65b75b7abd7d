"""Which encoder serves a collection, and whether its vectors may be compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlite_utils import Database

from embedsearch.device import check_device
from embedsearch.encoder.engine import check_engine
from embedsearch.encoder.resolve import BUNDLED_NAMES, DEFAULT_MODEL
from embedsearch.errors import FingerprintError, InputError
from embedsearch.store.settings import Model, activate_model, active_model, register_model
from embedsearch.text.paths import typed_path
from embedsearch.types import Encoder

if TYPE_CHECKING:
    from embedsearch.encoder import EngineName


@dataclass(frozen=True, kw_only=True)
class Compute:
    """With what and where vectors are computed; see `SentenceEncoder.load`."""

    engine: EngineName = "auto"
    device: str = "auto"

    def __post_init__(self) -> None:
        check_engine(self.engine)
        check_device(self.device)


def check_model(model: str | Path | Encoder) -> None:
    """InputError for what names no model and is none."""
    if isinstance(model, (str, Path)):
        if not str(model).strip():
            raise InputError("the model's name is empty; leave it out for the one that there is")
        try:
            str(model).encode()
        except UnicodeEncodeError:
            raise InputError(
                f"the name of the model {str(model)!r} is not UTF-8; rename its folder"
            ) from None
    elif not hasattr(model, "name"):  # loads nothing, as what computes would
        raise InputError(f"a model is a name, a folder or an Encoder, not {model!r}")


def model_name(model: str | Path | Encoder) -> str:
    """What a collection calls a model: a folder by its whole path, so that it is found again."""
    name = str(model) if isinstance(model, (str, Path)) else model.name
    if model in BUNDLED_NAMES:
        return name  # also where a folder at hand happens to be called so
    path = typed_path(name)
    return str(path.resolve()) if path.is_dir() else name


def load_encoder(model: str | Path | Encoder, compute: Compute | None = None) -> Encoder:
    """The encoder by name, folder or hub id; an encoder is given back as it is."""
    check_model(model)
    if not isinstance(model, (str, Path)):
        return model
    from embedsearch.encoder import SentenceEncoder

    name = model_name(model)
    compute = compute or Compute()
    return SentenceEncoder.load(
        Path(name) if isinstance(model, Path) else name,
        device=compute.device,
        engine=compute.engine,
    )


def check_fingerprint(encoder: Encoder, model: Model) -> None:
    """FingerprintError unless `encoder` makes the vectors that `model` made."""
    if encoder.fingerprint != model.fingerprint:
        raise FingerprintError(
            f"the collection's vectors were made by {model.name!r} (fingerprint "
            f"{model.fingerprint[:16]}), not by {encoder.name!r} (fingerprint "
            f"{encoder.fingerprint[:16]}); to change over: embedsearch reindex --model "
            f"{encoder.name}"
        )


def adopt_model(db: Database, encoder: Encoder) -> Model:
    """Makes the encoder's model that of a collection that has none yet."""
    with db.atomic():
        model = stored_model(db, encoder)
        activate_model(db, model, model_name(encoder))
    return model


def stored_model(db: Database, encoder: Encoder) -> Model:
    """The row of the encoder's model, made when it is new."""
    return register_model(
        db, name=model_name(encoder), fingerprint=encoder.fingerprint, dim=encoder.dim
    )


class EncoderSlot:
    """The encoder of one opened collection: loaded when first needed, checked at every use.

    `wanted` is what the user asked for; None stands for the model that the collection has.
    """

    def __init__(self, wanted: str | Path | Encoder | None, compute: Compute | None = None) -> None:
        self._wanted = wanted
        self.compute = compute or Compute()
        self._encoder: Encoder | None = None

    @property
    def loaded(self) -> Encoder | None:
        return self._encoder

    def check(self, db: Database) -> None:
        """FingerprintError when the user asked for another model than the collection has.

        A model asked for by the name that the collection knows is looked at only when it is used.
        """
        stored = active_model(db)
        if stored and self._wanted is not None and model_name(self._wanted) != stored.name:
            self.get(db)

    def get(self, db: Database) -> Encoder:
        """The encoder whose vectors the chunks have now; FingerprintError if it is another one."""
        stored = active_model(db)
        encoder = self._encoder
        if encoder and stored and encoder.fingerprint != stored.fingerprint and not self._wanted:
            encoder = None  # the collection was reindexed since
        if encoder is None:
            wanted = self._wanted
            if wanted is None:
                wanted = stored.name if stored else DEFAULT_MODEL
            encoder = load_encoder(wanted, self.compute)
        if stored:
            check_fingerprint(encoder, stored)
        self._encoder = encoder
        return encoder

    def engine(self, db: Database) -> str | None:
        """What computes, or would compute, the vectors; loads nothing."""
        if self._encoder is not None:
            return self._encoder.engine
        stored = active_model(db)
        wanted = self._wanted or (stored.name if stored else DEFAULT_MODEL)
        if not isinstance(wanted, (str, Path)):
            return wanted.engine
        from embedsearch.encoder import engine_of

        return engine_of(model_name(wanted), device=self.compute.device, engine=self.compute.engine)

    def replace(self, encoder: Encoder) -> None:
        """From now on this encoder serves."""
        self._wanted = self._encoder = encoder
