"""Which language model answers: one on this machine, one behind a server, the default, or none."""

from __future__ import annotations

from dataclasses import dataclass

from embedsearch.errors import InputError
from embedsearch.generation import CausalLM, LanguageModel, ServerLM
from embedsearch.generation.folder import at_hand
from embedsearch.text.hub import is_hub_id
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.types import SILENT, Progress

DEFAULT_LLM = "Qwen/Qwen2.5-0.5B-Instruct"
"""Apache-2.0, not gated, in safetensors; of the small instruct models one that a laptop without a
GPU runs at reading speed (0.5 billion weights), with 32,768 tokens of context and 29 languages."""
DEFAULT_SIZE = "1.0 GB, Apache-2.0"
AUTO, NONE = "auto", "none"

HOW_TO_GET_ONE = (
    f"--llm {AUTO} fetches {DEFAULT_LLM} ({DEFAULT_SIZE}) once and answers with it; --llm also "
    "takes a folder, a hub id, or the URL of a server such as http://localhost:8000/v1"
)


@dataclass(frozen=True, kw_only=True)
class LanguageModelConfig:
    """The language model that is asked for.

    `llm` is a folder, a hub id, the URL of an OpenAI-compatible server, `auto` for the default
    model, `none`, or None for the default model if it is on this machine already. `model`,
    `context` and `tokenizer` are of a server, see `ServerLM.connect`; `device` of a model here.
    """

    llm: str | None = None
    model: str | None = None
    context: int | None = None
    tokenizer: str | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if is_url(self.llm):
            return
        for name in ("model", "context", "tokenizer"):
            if getattr(self, name) is not None:
                raise InputError(
                    f"--llm-{name} {getattr(self, name)} belongs to a server, and --llm names none"
                )


def is_url(llm: str | None) -> bool:
    return llm is not None and llm.lower().startswith(("http://", "https://"))


def load_language_model(
    config: LanguageModelConfig, *, progress: Progress = SILENT
) -> LanguageModel | None:
    """The language model, or None where there is none. What is about to be fetched is told first.

    Raises as `CausalLM.load` and `ServerLM.connect`.
    """
    if config.llm is not None and is_url(config.llm):
        tokenizer = None if config.tokenizer is None else Tokenizer.load(config.tokenizer)
        return ServerLM.connect(
            config.llm, model=config.model, context=config.context, tokenizer=tokenizer
        )
    wanted = config.llm
    if wanted == NONE or (wanted is None and not at_hand(DEFAULT_LLM)):
        return None
    if wanted in (None, AUTO):
        wanted = DEFAULT_LLM
    if not at_hand(wanted) and is_hub_id(wanted):
        size = f" ({DEFAULT_SIZE})" if wanted == DEFAULT_LLM else ""
        progress.note(f"fetching the language model {wanted}{size} from the Hugging Face hub, once")
    return CausalLM.load(wanted, device=config.device)
