"""`generate`: a prompt continued, and what goes on at each step."""

from __future__ import annotations

import math
import sys
from typing import Annotated, Any

import typer

from embedsearch.answers.language_models import LanguageModelConfig, is_url, load_language_model
from embedsearch.cli.decoding import (
    MaxNewTokens,
    MinP,
    NumBeams,
    RepetitionPenalty,
    Seed,
    Stop,
    Temperature,
    TopK,
    TopP,
    generation_config,
)
from embedsearch.cli.main import DONE
from embedsearch.cli.options import Json
from embedsearch.cli.output import print_json
from embedsearch.cli.terminal import TerminalProgress, plain, plain_lines
from embedsearch.errors import InputError
from embedsearch.generation import CausalLM, Generation, GenerationConfig
from embedsearch.generation.interface import Prompt
from embedsearch.generation.tracing import CANDIDATES, Beam, Candidate, Step, trace_json

BAR = 24


def register(app: typer.Typer) -> None:
    app.command()(generate)


def generate(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The text to continue.")],
    model: Annotated[
        str, typer.Option("--model", metavar="M", help="The language model: a folder or hub id.")
    ],
    chat: Annotated[
        bool, typer.Option("--chat", help="Say it to the model, in its chat template.")
    ] = False,
    show_probabilities: Annotated[
        bool,
        typer.Option(
            "--show-probabilities",
            help="Show at each step what could come next, and how it is chosen.",
        ),
    ] = False,
    candidates: Annotated[
        int, typer.Option(metavar="N", help="How many tokens are shown at each step.")
    ] = CANDIDATES,
    max_new_tokens: MaxNewTokens = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    repetition_penalty: RepetitionPenalty = None,
    num_beams: NumBeams = None,
    num_return_sequences: Annotated[
        int | None, typer.Option(metavar="N", help="How many texts.")
    ] = None,
    stop: Stop = None,
    seed: Seed = None,
    device: Annotated[
        str, typer.Option(metavar="D", help="auto, cpu, cuda or cuda:N.")
    ] = LanguageModelConfig.device,
    as_json: Json = False,
) -> int:
    """Continue a text with a language model, and see how each token is chosen.

    Example: embedsearch generate "Once upon" --model lm --show-probabilities
    """
    config = generation_config(
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        num_beams=num_beams,
        num_return_sequences=num_return_sequences,
        stop=stop,
        seed=seed,
    )
    lm = _load(model, device)
    said: Prompt = [{"role": "user", "content": prompt}] if chat else prompt
    if show_probabilities:
        trace = lm.trace(said, config, candidates=candidates)
        told = trace_json(trace)
        found = list(trace.generations)
        if not as_json:
            _print_steps(trace.steps)
            _print_beams(trace.beams)
            _print_texts(found)
    elif as_json or config.num_beams > 1 or config.num_return_sequences > 1:
        found, told = lm.generate([said], config), {}
        if not as_json:
            _print_texts(found)
    else:
        _stream(lm, said, config)
        return DONE
    if as_json:
        print_json({"model": lm.name, "generations": [_generation_json(g) for g in found], **told})
    return DONE


def _load(model: str, device: str) -> CausalLM:
    if is_url(model):
        raise InputError("generate needs a model on this machine: a server shows no probabilities")
    with TerminalProgress() as progress:
        found = load_language_model(
            LanguageModelConfig(llm=model, device=device), progress=progress
        )
    if not isinstance(found, CausalLM):
        raise InputError(f"--model {model} is no language model: name a folder or a hub id")
    return found


def _stream(lm: CausalLM, prompt: Prompt, config: GenerationConfig) -> None:
    for piece in lm.stream(prompt, config):
        sys.stdout.write(plain_lines(piece))
        sys.stdout.flush()
    print()


def _print_steps(steps: tuple[Step, ...]) -> None:
    for number, step in enumerate(steps, start=1):
        stages = list(step.kept)
        print(f"step {number}: {_quoted(step.chosen.text)}")
        print(
            "  "
            + "".join([f"{'token':<18}", *(f"{name.replace('_', ' '):>20}" for name in stages)])
        )
        for candidate in step.candidates:
            print(f"  {_row(candidate, stages, step.chosen.token_id)}")
        if step.chosen.token_id not in {one.token_id for one in step.candidates}:
            print(f"  {_row(step.chosen, stages, step.chosen.token_id)}")
        kept = "".join(f"{count:>20,}" for count in step.kept.values())
        print(f"  {'tokens possible':<18}{kept}\n")


def _row(candidate: Candidate, stages: list[str], chosen: int) -> str:
    cells = [candidate.probabilities[name] for name in stages]
    shown = "".join(f"{value:>20.4f}" if value else f"{'—':>20}" for value in cells)
    mark = "  ←" if candidate.token_id == chosen else ""
    return f"{_quoted(candidate.text):<18}{shown}  {'█' * round(BAR * cells[-1])}{mark}"


def _print_beams(steps: tuple[tuple[Beam, ...], ...]) -> None:
    for number, beams in enumerate(steps, start=1):
        print(f"step {number}")
        for place, beam in enumerate(beams, start=1):
            origin = f"from {beam.parent + 1}" if number > 1 else ""
            chance = math.exp(beam.log_probability)
            print(f"  {place} {origin:<7} {chance:>8.2%}  {_quoted(beam.text)}")
    if steps:
        print()


def _print_texts(found: list[Generation]) -> None:
    for number, generation in enumerate(found, start=1):
        head = f"{number}. " if len(found) > 1 else ""
        print(f"{head}{plain_lines(generation.text)}")


def _quoted(text: str) -> str:
    return f"“{plain(text.replace(chr(10), '↵'))}”"


def _generation_json(generation: Generation) -> dict[str, Any]:
    return {
        "text": generation.text,
        "finish": generation.finish,
        "prompt_tokens": generation.prompt_tokens,
        "completion_tokens": generation.completion_tokens,
    }
