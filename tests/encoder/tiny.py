"""A tiny, real sentence-transformers model, made in milliseconds without torch.

A BERT of two layers and 32 dimensions whose weights are drawn from a seed. The word embeddings
outweigh the layers, so a text's vector is close to the mean of its words' vectors: texts that share
words are similar, which is enough to test a search with.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

TINY_DIM = 32
_LAYERS = 2
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_TEXT = """
the a an of to in on is are was for with and or not you how do what when where why who which this
that it can my we our from by as be at have has
a cat sat on the mat and the dog ran after the ball in the garden
the stock market fell as the bank raised the interest rate and investors sold shares
how do i log in to my account when i forgot the password reset link email user
preheat the oven then bake the bread with flour water salt and yeast for an hour
the rocket launched into space and the satellite orbits the planet and the moon
music song guitar band concert play listen album artist
the river flows from the mountain to the sea and the rain falls on the forest
python code function error file memory network server database query index search vector
"""
# letters too, so that any text of them has tokens; [UNK] stands for the rest
_LETTERS = string.ascii_lowercase + string.digits + string.punctuation
_WORDS = sorted(set(_TEXT.split()) - set(_LETTERS))
VOCABULARY = [*_SPECIAL, *_LETTERS, *(f"##{letter}" for letter in _LETTERS), *_WORDS]


def make_tiny_model(
    folder: Path,
    *,
    seed: int = 0,
    max_seq_length: int = 64,
    prompts: Mapping[str, str] | None = None,
) -> Path:
    """Write the model into `folder`, which is made, and return `folder`.

    Equal arguments write equal files. `max_seq_length` counts [CLS] and [SEP].
    """
    folder.mkdir(parents=True, exist_ok=True)
    positions = max(128, max_seq_length)
    _write_json(folder / "config.json", _architecture(positions))
    _write_tokenizer(folder)
    settings = {"max_seq_length": max_seq_length, "do_lower_case": False}
    _write_json(folder / "sentence_bert_config.json", settings)
    _write_json(
        folder / "config_sentence_transformers.json",
        {"prompts": dict(prompts or {}), "default_prompt_name": None},
    )
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ]
    _write_json(folder / "modules.json", modules)
    pooling = {"word_embedding_dimension": TINY_DIM, "pooling_mode_mean_tokens": True}
    _write_json(folder / "1_Pooling" / "config.json", pooling)
    save_file(_weights(seed, positions), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def edit_json(path: Path, **changes: Any) -> None:
    """Set keys of a JSON object in a file, which is made where it is missing."""
    value = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    _write_json(path, value | changes)


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")


def _architecture(positions: int) -> dict[str, Any]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": TINY_DIM,
        "initializer_range": 0.02,
        "intermediate_size": 64,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": positions,
        "num_attention_heads": 2,
        "num_hidden_layers": _LAYERS,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "vocab_size": len(VOCABULARY),
    }


def _write_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(
        WordPiece({token: i for i, token in enumerate(VOCABULARY)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_special_tokens(_SPECIAL)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    config = dict(zip(names, _SPECIAL, strict=True))
    _write_json(
        folder / "tokenizer_config.json",
        config
        | {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512},
    )


def _weights(seed: int, positions: int) -> dict[str, np.ndarray]:
    """A BERT's tensors by name, in the shapes that transformers expects (out, in)."""
    random = np.random.default_rng(seed)
    hidden, inner = TINY_DIM, 64

    def draw(*shape: int, scale: float = 0.05) -> np.ndarray:
        return (random.standard_normal(shape) * scale).astype(np.float32)

    tensors = {
        "embeddings.word_embeddings.weight": draw(len(VOCABULARY), hidden, scale=1.0),
        "embeddings.position_embeddings.weight": draw(positions, hidden),
        "embeddings.token_type_embeddings.weight": draw(2, hidden),
    }
    norms = ["embeddings.LayerNorm"]
    linear = {"pooler.dense": (hidden, hidden)}
    for layer in (f"encoder.layer.{i}" for i in range(_LAYERS)):
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            linear[f"{layer}.attention.{part}"] = (hidden, hidden)
        linear[f"{layer}.intermediate.dense"] = (inner, hidden)
        linear[f"{layer}.output.dense"] = (hidden, inner)
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    for name, shape in linear.items():
        tensors[f"{name}.weight"] = draw(*shape)
        tensors[f"{name}.bias"] = draw(shape[0])
    for name in norms:
        tensors[f"{name}.weight"] = np.ones(hidden, dtype=np.float32)
        tensors[f"{name}.bias"] = np.zeros(hidden, dtype=np.float32)
    return tensors
