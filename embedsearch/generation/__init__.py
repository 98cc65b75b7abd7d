"""Causal language models: prompts to text."""

from embedsearch.generation.config import GenerationConfig
from embedsearch.generation.http import ServerLimits
from embedsearch.generation.interface import Generation, LanguageModel, Stream
from embedsearch.generation.model import CausalLM
from embedsearch.generation.server import ServerLM

__all__ = [
    "CausalLM",
    "Generation",
    "GenerationConfig",
    "LanguageModel",
    "ServerLM",
    "ServerLimits",
    "Stream",
]
