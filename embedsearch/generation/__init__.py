"""Causal language models: prompts to text."""

from embedsearch.generation.config import GenerationConfig
from embedsearch.generation.model import CausalLM, Generation

__all__ = ["CausalLM", "Generation", "GenerationConfig"]
