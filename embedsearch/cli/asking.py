"""`ask`: a question answered from the collection, with sources."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from embedsearch.answers.answer import EXTRACTIVE, Answer, AnswerConfig
from embedsearch.answers.language_models import (
    HOW_TO_GET_ONE,
    NONE,
    LanguageModelConfig,
    load_language_model,
)
from embedsearch.cli.decoding import (
    Llm,
    LlmContext,
    LlmModel,
    LlmTokenizer,
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
    refuse_decoding,
)
from embedsearch.cli.main import DONE, NOTHING_FOUND, WRONG_USE
from embedsearch.cli.options import (
    DEFAULT_DB,
    Db,
    Device,
    Engine,
    Json,
    Wheres,
    open_for_search,
    parse_where,
)
from embedsearch.cli.output import hit_json, print_json, remark, remark_nothing
from embedsearch.cli.terminal import TerminalProgress, plain, plain_lines, terminal
from embedsearch.collection.models import Compute
from embedsearch.text.words import counted
from embedsearch.types import Mode

Passages = Annotated[
    int, typer.Option("-k", "--passages", metavar="N", help="How many passages are read.")
]
Sentences = Annotated[
    int,
    typer.Option(metavar="N", help="Without a language model: how many sentences are quoted."),
]
LeastSupport = Annotated[
    float,
    typer.Option(
        metavar="X",
        help="Without a language model, from 0 to 1: how well the best sentence must fit, else "
        "there is no answer.",
    ),
]
CutSentences = Annotated[
    bool,
    typer.Option(
        "--cut-sentences", help="Cut a passage that does not fit behind a word, not a sentence."
    ),
]


def register(app: typer.Typer) -> None:
    app.command()(ask)


def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What you want to know.")],
    db: Db = Path(DEFAULT_DB),
    llm: Llm = LanguageModelConfig.llm,
    llm_model: LlmModel = LanguageModelConfig.model,
    llm_context: LlmContext = LanguageModelConfig.context,
    llm_tokenizer: LlmTokenizer = LanguageModelConfig.tokenizer,
    passages: Passages = AnswerConfig.passages,
    mode: Annotated[
        Mode, typer.Option(help="Find passages by meaning, by words, or by both.")
    ] = AnswerConfig.mode,
    sentences: Sentences = AnswerConfig.sentences,
    least_support: LeastSupport = AnswerConfig.least_support,
    cut_sentences: CutSentences = AnswerConfig.cut_sentences,
    max_new_tokens: MaxNewTokens = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    repetition_penalty: RepetitionPenalty = None,
    num_beams: NumBeams = None,
    stop: Stop = None,
    seed: Seed = None,
    where: Wheres = None,
    engine: Engine = Compute.engine,
    device: Device = Compute.device,
    as_json: Json = False,
) -> int:
    """Answer a question from the collection and tell where each statement stands.

    Example: embedsearch ask "when are backups made?"
    """
    config = AnswerConfig(
        passages=passages,
        mode=mode,
        sentences=sentences,
        least_support=least_support,
        cut_sentences=cut_sentences,
    )
    decoding = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "num_beams": num_beams,
        "stop": stop,
        "seed": seed,
    }
    wanted = LanguageModelConfig(
        llm=llm, model=llm_model, context=llm_context, tokenizer=llm_tokenizer, device=device
    )
    generation, shown = generation_config(**decoding), _Shown()
    with open_for_search(db, Compute(engine=engine, device=device)) as collection:
        with TerminalProgress() as progress:
            generator = load_language_model(wanted, progress=progress)
        if generator is None:
            refuse_decoding(**decoding)
        answer = collection.ask(
            question,
            generator=generator,
            where=parse_where(where),
            config=config,
            generation=generation if generator else None,
            on_text=shown.show if generator and not as_json else None,
        )
        is_empty = not len(collection)
    if as_json:
        _tell(answer, is_empty=is_empty, advise=llm != NONE)
        print_json(answer_json(answer))
    else:
        print("" if shown.any else plain_lines(answer.text), flush=True)
        _tell(answer, is_empty=is_empty, advise=llm != NONE)
        _print_sources(answer)
    problems = {problem.kind for problem in answer.problems}
    if "server" in problems:
        return WRONG_USE
    nothing = answer.abstained or not answer.text or "refusal" in problems
    return NOTHING_FOUND if nothing else DONE


class _Shown:
    """What has been written on stdout as it came."""

    any = False

    def show(self, piece: str) -> None:
        sys.stdout.write(plain_lines(piece))
        sys.stdout.flush()
        self.any = True


def _tell(answer: Answer, *, is_empty: bool, advise: bool) -> None:
    """On stderr: what the answer was made with, what is wrong with it, and how to get a language
    model where none was and that is not what was asked for (`advise`)."""
    if not answer.hits:
        remark_nothing(is_empty=is_empty)
        return
    if answer.generator == EXTRACTIVE:
        quoted = "these are the sentences that answer best"
        if answer.abstained:
            quoted = "no sentence fits well enough; --least-support 0 quotes the best all the same"
        remark(f"no language model was used: {quoted}" + f". {HOW_TO_GET_ONE}" * advise)
        return
    told = {
        "marker": "a marker points to no source: {}",
        "quote": "these words do not stand in their source: {}",
        "support": "no source supports: {}",
        "length": "the answer was cut off: {}; raise --max-new-tokens",
        "filter": "the answer is not whole: {}",
        "refusal": "this is no answer: {}",
        "server": "the answer is not whole: {}",
    }
    for problem in answer.problems:
        remark(told[problem.kind].format(problem.text))
    seconds = answer.usage.seconds
    times = ", ".join(f"{stage.replace('_', ' ')} {s:.2f} s" for stage, s in seconds.items())
    remark(
        f"{answer.generator}: {counted(answer.usage.prompt_tokens, 'token')} read, "
        f"{answer.usage.completion_tokens:,} written; {times}"
    )


def answer_json(answer: Answer) -> dict[str, Any]:
    return {
        "answer": answer.text,
        "citations": [
            {
                "marker": citation.marker,
                "document_id": citation.document_id,
                "start": citation.start,
                "end": citation.end,
                "text": citation.text,
            }
            for citation in answer.citations
        ],
        "hits": [hit_json(hit) for hit in answer.hits],
        "generator": answer.generator,
        "abstained": answer.abstained,
        "problems": [{"kind": p.kind, "text": p.text} for p in answer.problems],
        "usage": {
            "prompt_tokens": answer.usage.prompt_tokens,
            "completion_tokens": answer.usage.completion_tokens,
            "seconds": dict(answer.usage.seconds),
        },
    }


def _print_sources(answer: Answer) -> None:
    from rich.text import Text

    console = terminal()
    titles = {hit.document_id: hit.title for hit in answer.hits}
    if answer.citations:
        console.print()
    for citation in answer.citations:
        line = Text(citation.marker, style="bold")
        line.append(f" {plain(citation.document_id)}", style="cyan")
        line.append(f":{citation.start}-{citation.end}", style="dim")
        if title := titles.get(citation.document_id):
            line.append(f"  {plain(title)}")
        console.print(line, soft_wrap=True)
