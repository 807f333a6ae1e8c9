"""Chat templates: Jinja as model folders use it, in a sandbox.

Templates expect what the transformers library offers them: `raise_exception`, `strftime_now`, a
`tojson` that escapes nothing for HTML, `break` and `continue`, and `{% generation %}` blocks.
Source: the chat template pages of https://huggingface.co/docs/transformers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from athlos.errors import ConfigError
from athlos.models.tokens.extra import required

__all__ = ["ChatTemplate"]


class ChatTemplate:
    """One compiled chat template.

    Args:
        source: The Jinja text.
        constants: Names that every rendering sees: `bos_token`, `eos_token` ...

    Raises:
        ConfigError: The text is not a valid template, or the extra `tokens` is not installed.
    """

    def __init__(self, source: str, constants: Mapping[str, Any]) -> None:
        self.source = source
        self._constants = dict(constants)
        environment, invalid = _environment(), required("jinja2").TemplateError
        try:
            self._template = environment.from_string(source)
        except invalid as error:
            raise ConfigError(f"The chat template does not compile: {error}") from error

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = False,
        **variables: Any,
    ) -> str:
        """The text of a conversation.

        Raises:
            ValueError: The template refuses the conversation, or fails over it.
        """
        try:
            return str(
                self._template.render(
                    **{**self._constants, **variables},
                    messages=list(messages),
                    tools=list(tools) if tools else None,
                    add_generation_prompt=add_generation_prompt,
                )
            )
        except Exception as error:  # a template is a program, over text that anybody wrote
            raise ValueError(f"the chat template failed: {error}") from error


def _raise(message: str) -> NoReturn:
    raise required("jinja2").TemplateError(message)


def _now(format: str) -> str:
    return datetime.now().strftime(format)  # noqa: DTZ005 - templates print the local day


def _json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _environment() -> Any:
    required("jinja2")
    from jinja2 import ext, nodes, parser, sandbox

    class GenerationBlock(ext.Extension):
        """`{% generation %}` marks what the model wrote; here it only has a scope of its own."""

        tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

        def parse(self, parser: parser.Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_inside"), [], [], body).set_lineno(line)

        def _inside(self, caller: Any) -> Any:
            return caller()

    environment = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationBlock, ext.loopcontrols]
    )
    environment.filters["tojson"] = _json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = _now
    return environment
