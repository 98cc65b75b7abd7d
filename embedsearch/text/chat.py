"""Chat templates: a list of messages to the text that an instruct model was trained on.

They are Jinja programs that come with a model, so they run in Jinja's sandbox. The environment is
that of transformers (utils/chat_template_utils.py), whose templates these are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from embedsearch.errors import InputError, ModelError

if TYPE_CHECKING:
    from jinja2 import Template

_LONGEST = 10_000_000
"""Characters or elements of one value that a template may build by multiplication."""


def render_chat(
    template: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    special_tokens: Mapping[str, str],
    add_generation_prompt: bool,
    tools: Sequence[Mapping[str, Any]] | None = None,
) -> str:
    """The text of a conversation.

    `special_tokens` are seen by the template under the names of their roles, `bos_token` for
    instance. InputError for messages without `role` or that the template refuses, ModelError for a
    template that is damaged or leaves the sandbox.
    """
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise InputError(
                f"message {number} must be an object with `role` and `content`, not {message!r:.80}"
            )
    from jinja2.exceptions import SecurityError, TemplateError

    try:
        return _compile(template).render(
            messages=[dict(message) for message in messages],
            tools=[dict(tool) for tool in tools] if tools else None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            **special_tokens,
        )
    except (InputError, ModelError):
        raise
    except SecurityError as error:
        raise ModelError(f"the chat template leaves the sandbox: {error}") from None
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ModelError(
            f"the chat template fails on these messages: {type(error).__name__}: {error}"
        ) from None
    except RecursionError:
        raise ModelError("the chat template recurses without end") from None


@lru_cache(maxsize=8)
def _compile(source: str) -> Template:
    from jinja2 import nodes
    from jinja2.exceptions import SecurityError, TemplateSyntaxError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks what the model wrote; the text is the same."""

        tags = {"generation"}  # noqa: RUF012 - as the base class has it

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    class Environment(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            sizes = [len(x) if hasattr(x, "__len__") else abs(x) for x in (left, right)]
            if operator == "**" or sizes[0] * sizes[1] > _LONGEST:
                raise SecurityError(f"{operator} of {sizes[0]} and {sizes[1]} is too much")
            return super().call_binop(context, operator, left, right)

    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    try:
        return environment.from_string(source)
    except TemplateSyntaxError as error:
        raise ModelError(f"the chat template is damaged at line {error.lineno}: {error}") from None


def _to_json(value: Any, **options: Any) -> str:
    """Without the escapes for HTML of Jinja's own filter."""
    allowed = {"ensure_ascii", "indent", "separators", "sort_keys"}
    return json.dumps(
        value, **{"ensure_ascii": False, **options} if set(options) <= allowed else {}
    )


def _refuse(message: str) -> None:
    raise InputError(f"the chat template refuses these messages: {message}")
