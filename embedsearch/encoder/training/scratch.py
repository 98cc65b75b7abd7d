"""A transformer that knows nothing yet, to be trained from a tokenizer and pairs alone."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from embedsearch.encoder.folder import ModelFolder
from embedsearch.encoder.static_folder import check_new
from embedsearch.errors import InputError
from embedsearch.text.paths import typed_path
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.tuning.folders import published


@dataclass(frozen=True, kw_only=True)
class NewEncoderConfig:
    """A BERT of `layers` layers, `hidden` dimensions (those of the vectors too) and `heads` heads
    that sees `max_tokens` tokens of a text. `seed` draws the weights."""

    layers: int = 2
    hidden: int = 128
    heads: int = 4
    max_tokens: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("layers", 1), ("hidden", 1), ("heads", 1), ("seed", 0)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value < 1 << 32:
                raise InputError(f"{name} must be a whole number from {least} on, not {value!r}")
        if self.hidden % self.heads:
            raise InputError(f"hidden, {self.hidden}, must be a multiple of heads, {self.heads}")
        if type(self.max_tokens) is not int or not 8 <= self.max_tokens <= 8192:
            raise InputError(
                f"max_tokens must be a whole number from 8 to 8192, not {self.max_tokens!r}"
            )


def new_encoder(
    tokenizer: Tokenizer, output: str | Path, config: NewEncoderConfig | None = None
) -> Path:
    """Writes an encoder with random weights into the new folder `output`, a base for training.

    Its vector is the mean over the tokens, at unit length. The tokenizer needs a padding token, as
    all that are trained here have. Raises InputError for one without, or a folder that is there.
    """
    config, target = config or NewEncoderConfig(), typed_path(output).resolve()
    check_new(target)
    padding = tokenizer.special_tokens.get("pad")
    pad_id = None if padding is None else tokenizer.token_to_id(padding)
    if pad_id is None:
        raise InputError(
            "the tokenizer has no padding token, which batches need: train one with <pad> or [PAD] "
            "among its special tokens"
        )
    with published(target) as home:
        _write(tokenizer, home, pad_id, config)
    return ModelFolder.read(target).root


def _write(tokenizer: Tokenizer, home: Path, pad_id: int, config: NewEncoderConfig) -> None:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel

    from embedsearch.encoder.torch_engine import quiet

    torch.manual_seed(config.seed)
    network = BertModel(
        BertConfig(
            vocab_size=tokenizer.vocab_size,
            hidden_size=config.hidden,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            intermediate_size=4 * config.hidden,
            max_position_embeddings=config.max_tokens,
            pad_token_id=pad_id,
        ),
        add_pooling_layer=False,
    )
    with quiet(), tempfile.TemporaryDirectory(dir=home) as bare:
        network.save_pretrained(bare)
        tokenizer.save(bare)
        first = Transformer(bare, max_seq_length=config.max_tokens)
        pooling = Pooling(config.hidden, pooling_mode="mean")
        model = SentenceTransformer(modules=[first, pooling, Normalize()], device="cpu")
        model.save_pretrained(str(home), create_model_card=False)
    tokenizer.save(ModelFolder.read(home).modules[0].folder)
