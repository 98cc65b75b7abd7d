"""What the checkpoints of BERT and its kin call their tensors and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Family:
    """What the checkpoints of a `model_type` call things; `keys` are those of config.json."""

    prefix: str
    blocks: str
    names: Mapping[str, str]
    keys: Mapping[str, str]
    further: tuple[str, ...] = ()
    """Tensors that not every family has."""
    positions_from_padding: bool = False

    def tensors(self, config: Mapping[str, Any]) -> set[str]:
        """The names of all tensors of a model, without the prefix."""
        names = {
            "embeddings.word_embeddings.weight",
            "embeddings.position_embeddings.weight",
            "embeddings.LayerNorm.weight",
            "embeddings.LayerNorm.bias",
            *self.further,
        }
        for layer in range(int(config[self.keys["layers"]])):
            for name in self.names.values():
                names |= {f"{self.blocks}.{layer}.{name}.{part}" for part in ("weight", "bias")}
        return names


_KEYS = {
    "heads": "num_attention_heads",
    "layers": "num_hidden_layers",
    "activation": "hidden_act",
    "hidden": "hidden_size",
    "inner": "intermediate_size",
}
_NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "norm": "output.LayerNorm",
}
TYPES = "embeddings.token_type_embeddings.weight"
RELATIVE = "encoder.relative_attention_bias.weight"
_ROBERTA = Family(
    prefix="roberta.",
    blocks="encoder.layer",
    names=_NAMES,
    keys=_KEYS,
    further=(TYPES,),
    positions_from_padding=True,
)
FAMILIES = {
    "bert": Family(
        prefix="bert.", blocks="encoder.layer", names=_NAMES, keys=_KEYS, further=(TYPES,)
    ),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "mpnet": Family(
        prefix="mpnet.",
        blocks="encoder.layer",
        names=_NAMES
        | {
            "query": "attention.attn.q",
            "key": "attention.attn.k",
            "value": "attention.attn.v",
            "output": "attention.attn.o",
            "attention_norm": "attention.LayerNorm",
        },
        keys=_KEYS,
        further=(RELATIVE,),
        positions_from_padding=True,
    ),
    "distilbert": Family(
        prefix="distilbert.",
        blocks="transformer.layer",
        names={
            "query": "attention.q_lin",
            "key": "attention.k_lin",
            "value": "attention.v_lin",
            "output": "attention.out_lin",
            "attention_norm": "sa_layer_norm",
            "inner": "ffn.lin1",
            "outer": "ffn.lin2",
            "norm": "output_layer_norm",
        },
        keys={
            "heads": "n_heads",
            "layers": "n_layers",
            "activation": "activation",
            "hidden": "dim",
            "inner": "hidden_dim",
        },
    ),
}
