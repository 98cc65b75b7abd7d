"""The model that training begins with: one that is there, or a new one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from embedsearch.errors import InputError
from embedsearch.generation.folder import check_causal, end_tokens, find_model, has_chat_template
from embedsearch.generation.loading import load_weights, quiet
from embedsearch.generation.training.config import ArchitectureConfig
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.tuning.embeddings import check_vocabulary, resize_embeddings

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message.role }}:\n{{ message.content }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:\n{% endif %}"
)
"""Of new models, unless another is given."""
_EMBEDDING_SCALE, _LAYER_SCALE = 4.0, 0.2


@dataclass(frozen=True, kw_only=True)
class Start:
    """A model in float32 with its tokenizer. `end` is the token that ends a response; `new_ids` are
    rows of the embeddings that have learned nothing yet."""

    model: Any
    tokenizer: Tokenizer
    templated: bool
    end: int | None
    new_ids: tuple[int, ...] = ()

    def digest(self) -> str:
        """What tells this beginning from others: the settings and all weights of the model."""
        found = hashlib.sha256(self.model.config.to_json_string().encode())
        for name, weight in self.model.named_parameters():
            found.update(name.encode())
            found.update(weight.detach().cpu().contiguous().numpy())
        return found.hexdigest()


def start_from(base: str | Path, new_tokens: Sequence[str] = ()) -> Start:
    """A model by folder or hub id, its tokenizer extended by `new_tokens`.

    Raises as `CausalLM.load` and `Tokenizer.with_tokens`.
    """
    folder = find_model(base)
    check_causal(folder)
    before = Tokenizer.load(folder)
    model = load_weights(folder, "cpu", "float32")
    check_vocabulary(model, before)
    tokenizer, new_ids = before, tuple[int, ...]()
    if new_tokens:
        tokenizer = before.with_tokens(new_tokens)
        new_ids = resize_embeddings(model, before, tokenizer).new_ids
    ends = end_tokens(folder)
    end = _end_of(tokenizer)
    if end is None or (ends and end not in ends):
        end = min(ends, default=end)
    return Start(
        model=model,
        tokenizer=tokenizer,
        templated=has_chat_template(folder),
        end=end,
        new_ids=new_ids,
    )


def start_anew(
    tokenizer: Tokenizer,
    architecture: ArchitectureConfig,
    *,
    seed: int = 0,
    chat_template: str | None = None,
) -> Start:
    """A new model with random weights for a tokenizer, which needs a token that ends a text."""
    import torch

    end = _end_of(tokenizer)
    if end is None:
        raise InputError(
            "the tokenizer has no token that ends a text: train one of the kind byte-bpe, or add "
            "</s>: tokenizer.with_tokens(special_tokens=['</s>'])"
        )
    transformers: Any = import_module("transformers")
    torch.manual_seed(seed)
    settings = transformers.Qwen3Config(
        vocab_size=tokenizer.vocab_size,
        hidden_size=architecture.hidden_size,
        intermediate_size=architecture.hidden_size * 2,
        num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        num_key_value_heads=architecture.heads,
        head_dim=architecture.head_dim or architecture.hidden_size // architecture.heads,
        max_position_embeddings=architecture.context,
        tie_word_embeddings=True,
        initializer_range=architecture.hidden_size**-0.5,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=None,
    )
    model = transformers.Qwen3ForCausalLM(settings)
    _begin_by_copying(model)
    _begin_with_the_tokens(model)
    return Start(
        model=model,
        tokenizer=tokenizer.with_chat_template(chat_template or CHAT_TEMPLATE),
        templated=True,
        end=end,
    )


def _begin_by_copying(model: Any) -> None:
    """Half of what an attention layer gives on is at first what it looks at: the output projection
    is the mean of random weights and the values' own, transposed, so that copying need not be found
    out (mimetic initialization: Trockman and Kolter 2023, "Mimetic Initialization of Self-Attention
    Layers", where the product of both is close to a multiple of the identity)."""
    import torch

    share = math.sqrt(0.5)
    with torch.no_grad():
        for layer in model.model.layers:
            attention = layer.self_attn
            attention.o_proj.weight.mul_(share).add_(attention.v_proj.weight.T, alpha=share)


def _begin_with_the_tokens(model: Any) -> None:
    """What goes from layer to layer is at first the token itself, and what a layer adds is small.

    With weights that keep lengths and embeddings of length 1, a layer would add ten times as much
    as the embedding is: what stands at a place, which looking up goes by, would be lost in noise.
    Smaller outputs of layers are GPT-2's (Radford et al. 2019, "Language Models are Unsupervised
    Multitask Learners", section 2.3), smaller still here. The last norm takes the embeddings'
    length back, which are the output's as well.
    """
    import torch

    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(_EMBEDDING_SCALE)
        model.model.norm.weight.div_(_EMBEDDING_SCALE)
        for layer in model.model.layers:
            layer.mlp.down_proj.weight.mul_(_LAYER_SCALE)
            layer.self_attn.o_proj.weight.mul_(_LAYER_SCALE)


def save_model(start: Start, model: Any, folder: Path) -> None:
    """Writes a folder of transformers, which `CausalLM.load` takes."""
    transformers: Any = import_module("transformers")
    settings = model.config.get_text_config()
    settings.eos_token_id = start.end
    settings.dtype = "float32"
    model.generation_config = transformers.GenerationConfig(eos_token_id=start.end)
    with quiet():
        model.save_pretrained(folder)
    start.tokenizer.save(folder)


def _end_of(tokenizer: Tokenizer) -> int | None:
    token = tokenizer.special_tokens.get("eos")
    return None if token is None else tokenizer.token_to_id(token)
