"""Static embeddings: an encoder distilled into one vector a token.

A text's vector is then the sum of its tokens' vectors, at unit length: hundreds of times faster
than the encoder, and worse. As in model2vec (https://github.com/MinishLab/model2vec), every token
of the vocabulary is encoded as a text, reduced by PCA and weighted by its frequency, which is
estimated from its rank (Zipf) and enters as in SIF (Arora, Liang and Ma 2017). Texts, where there
are any, then teach the tokens what the encoder makes of them in company.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.device import resolve_device
from embedsearch.encoder.bags import bags_of, fit_tokens
from embedsearch.encoder.fingerprint import fingerprint_of
from embedsearch.encoder.folder import ModelFolder
from embedsearch.encoder.resolve import resolve_model
from embedsearch.encoder.sentence import SentenceEncoder
from embedsearch.encoder.static_folder import check_new, write_static
from embedsearch.encoder.token_rows import Vocabulary, encode_tokens, read_vocabulary
from embedsearch.errors import InputError, ModelError
from embedsearch.text.paths import typed_path
from embedsearch.tuning.sampling import sample_stream
from embedsearch.types import SILENT, Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

PASSAGE_WORDS = (8, 16, 32, 64, 128)
"""Lengths of the passages, in turn by chance: questions are short, documents long."""
BATCH_PASSAGES = 256


@dataclass(frozen=True, kw_only=True)
class StaticConfig:
    """How an encoder is distilled.

    `dims` numbers in a vector, at most those of the encoder. `sif` is SIF's a: the smaller, the
    less frequent tokens count. `passages` are drawn from the corpus and encoded; `ridge` holds the
    tokens where they were before the passages were seen. `seed` draws.
    """

    dims: int = 256
    sif: float = 1e-4
    passages: int = 5_000
    ridge: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("dims", "passages", "seed"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise InputError(f"{name} must be a whole number, not {value!r}")
        for name in ("sif", "ridge"):
            if not isinstance(value := getattr(self, name), int | float):
                raise InputError(f"{name} must be a number, not {value!r}")
        if self.dims < 1:
            raise InputError(f"dims must be at least 1, not {self.dims}")
        if not 0 < self.sif < 1:
            raise InputError(f"sif must be between 0 and 1, not {self.sif}")
        if self.passages < 1:
            raise InputError(f"passages must be at least 1, not {self.passages}")
        if not 0 < self.ridge < float("inf"):
            raise InputError(f"ridge must be above 0, not {self.ridge}")


@dataclass(frozen=True, kw_only=True)
class StaticReport:
    """What was made. `fingerprint` is the new model's; `passages` were learned from."""

    output: Path
    dims: int
    tokens: int
    passages: int
    fingerprint: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"output": str(self.output)}


def distil_static(
    model: str | Path,
    output: str | Path,
    config: StaticConfig | None = None,
    *,
    corpus: Iterable[str] | None = None,
    device: str = "auto",
    progress: Progress = SILENT,
) -> StaticReport:
    """Writes a static model of `model` into the folder `output`, which must be new or empty.

    The folder is one of sentence-transformers and serves wherever a model is named. `corpus` are
    texts of any length, best of the kind that is to be searched; without any, tokens are only seen
    alone, and the model is worse.

    Raises:
        InputError: a setting, an output folder or a corpus that cannot be used.
        NotFoundError, ModelError, DeviceError: as `SentenceEncoder.load`.
    """
    began = time.perf_counter()
    config, target = config or StaticConfig(), typed_path(output)
    check_new(target)
    folder = ModelFolder.read(resolve_model(model))
    if folder.modules[0].kind == "StaticEmbedding":
        raise ModelError(f"{str(model)!r} is static already: distil the encoder that it came from")
    encoder = SentenceEncoder.load(model, device=device)
    passages = [] if corpus is None else _draw(corpus, config, progress)
    if corpus is not None and not passages:
        raise InputError("the corpus has no word in it")
    vocabulary = read_vocabulary(folder.tokenizer_file)
    alone = encode_tokens(folder, vocabulary, resolve_device(device), progress)
    tokens = _weighted(alone, vocabulary, config)
    if passages:
        tokens = _taught(tokens, vocabulary, passages, encoder, config, progress)
    tokens = _reduced(tokens, config.dims)
    made = ModelFolder.read(write_static(target, vocabulary, tokens, _origin(encoder, config)))
    return StaticReport(
        output=target,
        dims=tokens.shape[1],
        tokens=len(vocabulary.ids),
        passages=len(passages),
        fingerprint=fingerprint_of(made),
        seconds=time.perf_counter() - began,
    )


def _origin(encoder: SentenceEncoder, config: StaticConfig) -> dict[str, Any]:
    return {"distilled_from": {"model": encoder.name, "fingerprint": encoder.fingerprint}} | asdict(
        config
    )


def _draw(corpus: Iterable[str], config: StaticConfig, progress: Progress) -> list[str]:
    """A uniform sample of the corpus's passages."""
    if isinstance(corpus, str):
        raise InputError("the corpus must be a list of texts, not one string: put it in a list")
    chance = random.Random(config.seed)  # noqa: S311
    progress.start("Reading", None, "B")
    return sample_stream(_passages(corpus, chance, progress), config.passages, chance.randrange)


def _passages(corpus: Iterable[str], chance: random.Random, progress: Progress) -> Iterator[str]:
    for text in corpus:
        progress.advance(len(text))
        words = text.encode("utf-8", "replace").decode().split()
        start = 0
        while start < len(words):
            length = chance.choice(PASSAGE_WORDS)
            yield " ".join(words[start : start + length])
            start += length


def _weighted(alone: Matrix, vocabulary: Vocabulary, config: StaticConfig) -> Matrix:
    """The tokens' vectors about their mean, weighted; shape (vocabulary.size, dim), special tokens
    at zero. The median token has unit length, which gives `ridge` its scale."""
    import numpy as np

    # a vocabulary is ordered by frequency, so the rank is known without counting; from 2 on, as in
    # model2vec
    inverse_rank = 1 / np.arange(2, len(alone) + 2)
    weight = config.sif / (config.sif + inverse_rank / inverse_rank.sum())
    vectors = (alone - alone.mean(axis=0)) * weight[:, None]
    scale = float(np.median(np.linalg.norm(vectors, axis=1)))
    if scale == 0:
        raise ModelError("the encoder gives all tokens the same vector: its weights are damaged")
    tokens = np.zeros((vocabulary.size, alone.shape[1]), dtype=np.float32)
    tokens[vocabulary.ids] = vectors / scale
    return tokens


def _taught(
    tokens: Matrix,
    vocabulary: Vocabulary,
    passages: list[str],
    encoder: SentenceEncoder,
    config: StaticConfig,
    progress: Progress,
) -> Matrix:
    """The tokens' vectors after the encoder's vectors of the passages were learned from."""
    import numpy as np

    progress.start("Encoding passages", len(passages), "passages")
    vectors = np.empty((len(passages), encoder.dim), dtype=np.float32)
    for start in range(0, len(passages), BATCH_PASSAGES):
        batch = passages[start : start + BATCH_PASSAGES]
        vectors[start : start + len(batch)] = encoder.encode_document(batch)
        progress.advance(len(batch))
    # what all texts have in common tells none from another
    targets = vectors - vectors.mean(axis=0)
    targets /= np.maximum(np.linalg.norm(targets, axis=1, keepdims=True), 1e-6)
    bags = bags_of(vocabulary.rows(passages), vocabulary.size)
    return fit_tokens(bags, targets, tokens, config.ridge, progress)


def _reduced(tokens: Matrix, dims: int) -> Matrix:
    """The tokens' vectors in their `dims` principal directions. The origin stays: it is the place
    of what says nothing."""
    import numpy as np

    _, directions = np.linalg.eigh(tokens.T @ tokens)
    return np.ascontiguousarray(tokens @ directions[:, ::-1][:, :dims], dtype=np.float32)
