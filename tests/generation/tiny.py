"""A tiny, real causal language model with random weights, made in milliseconds."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from tests.encoder.tiny import edit_json

CONTEXT = 64
END = "<|end|>"
CHAT = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
_MERGES = [("t", "h"), ("th", "e"), ("i", "n"), ("a", "n"), ("Ġ", "the"), ("Ġ", "c"), ("a", "t")]


def make_tiny_lm(
    folder: Path, *, seed: int = 0, chat: bool = False, context: int = CONTEXT
) -> Path:
    """Writes a Llama of two layers with a byte-level BPE into `folder` and returns it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: i for i, letter in enumerate(letters)}
    for pair in _MERGES:
        vocabulary["".join(pair)] = len(vocabulary)
    tokenizer = Tokenizer(BPE(vocabulary, _MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END}
    edit_json(
        folder / "tokenizer_config.json", **settings, **({"chat_template": CHAT} if chat else {})
    )
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(END),
        initializer_range=0.3,  # so that the logits differ clearly
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
