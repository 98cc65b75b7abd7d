"""How fast text is generated: beside transformers' own `generate` on the same weights, and eight
prompts at once beside one. Both sides give the same tokens, which is checked.

A Llama with random weights and no token that ends a text, so every run makes as many tokens.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from common import Bar, parser, report, tell

from embedsearch.generation import CausalLM, GenerationConfig
from embedsearch.text.tokenizer import Tokenizer

OF_TRANSFORMERS, OF_ONE = 0.95, 4.0
PROMPT = "The quick brown fox jumps over the lazy dog, and the dog looks up. " * 4


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory() as home:
        lm = CausalLM.load(_make(Path(home), options), device=options.device, dtype="float32")
        results = _measure(lm, options)
    bars = [
        Bar(
            claim="tokens/s, in times of transformers' generate",
            value=results["ratio_to_transformers"],
            limit=OF_TRANSFORMERS,
            at_most=False,
        ),
        Bar(
            claim="throughput of eight prompts, in times of one",
            value=results["ratio_of_batch"],
            limit=OF_ONE,
            at_most=False,
        ),
    ]
    return report("generation_speed", options, {"generation": results}, bars)


def _measure(lm: CausalLM, options: argparse.Namespace) -> dict[str, Any]:
    config = GenerationConfig(max_new_tokens=options.tokens)
    prompts = [f"{number}. {PROMPT}" for number in range(8)]
    sides: dict[str, Callable[[], list[list[int]]]] = {
        "embedsearch": lambda: _ours(lm, prompts[:1], config),
        "transformers": lambda: _theirs(lm, prompts[0], options.tokens),
        "embedsearch, 8 prompts": lambda: _ours(lm, prompts, config),
    }
    if sides["embedsearch"]() != sides["transformers"]():
        sys.exit("the tokens are not those of transformers")
    sides["embedsearch, 8 prompts"]()
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(options.repeat):
        for name, side in sides.items():
            began = time.perf_counter()
            made = sum(map(len, side()))
            speeds[name].append(made / (time.perf_counter() - began))
        tell(f"{number + 1} of {options.repeat}")
    one = speeds["embedsearch"]
    return {
        **{f"{name}: tokens/s": statistics.median(found) for name, found in speeds.items()},
        "ratio_to_transformers": _ratio(one, speeds["transformers"]),
        "ratio_of_batch": _ratio(speeds["embedsearch, 8 prompts"], one),
        "parameters": sum(p.numel() for p in lm._model.parameters()),
    }


def _ratio(ones: list[float], others: list[float]) -> float:
    """The median of the ratios of neighbouring runs, which other work disturbs least."""
    return statistics.median(one / other for one, other in zip(ones, others, strict=True))


def _ours(lm: CausalLM, prompts: list[str], config: GenerationConfig) -> list[list[int]]:
    return [list(found.token_ids) for found in lm.generate(prompts, config)]


def _theirs(lm: CausalLM, prompt: str, tokens: int) -> list[list[int]]:
    torch, transformers = import_module("torch"), import_module("transformers")
    wanted = transformers.GenerationConfig(
        max_new_tokens=tokens, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    ids = torch.tensor([lm.tokenizer.encode(prompt).ids], device=lm._model.device)
    with torch.inference_mode():
        found = lm._model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=wanted
        )
    made = found[0, ids.shape[1] :].tolist()
    lm.tokenizer.decode(made)
    return [made]


def _make(folder: Path, options: argparse.Namespace) -> Path:
    torch, transformers = import_module("torch"), import_module("transformers")
    tokenizer = Tokenizer.train([PROMPT] * 3, kind="byte-bpe", vocab_size=400)
    tokenizer.save(folder)
    torch.manual_seed(0)
    settings = transformers.LlamaConfig(
        vocab_size=4096,
        hidden_size=options.hidden_size,
        intermediate_size=3 * options.hidden_size,
        num_hidden_layers=options.layers,
        num_attention_heads=options.hidden_size // 32,
        max_position_embeddings=2048,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = transformers.LlamaForCausalLM(settings)
    with torch.no_grad():  # ids beyond the tokenizer's are never the likeliest
        model.lm_head.weight[tokenizer.vocab_size :] = 0
        model.lm_head.weight[: tokenizer.vocab_size] *= 20
    model.save_pretrained(folder)
    return folder


def _options() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.add_argument("--hidden-size", type=int, default=256)
    options.add_argument("--layers", type=int, default=4)
    options.add_argument("--tokens", type=int, default=128, help="new tokens of each text")
    options.add_argument("--repeat", type=int, default=9)
    options.add_argument("--device", default="cpu")
    return options.parse_args()


if __name__ == "__main__":
    sys.exit(main())
