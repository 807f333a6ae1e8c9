"""Chat formats of the `renderers` library.

Each is a rewriting of one model family's template in Python, with a `bridge_to_next_turn` that
knows how a turn of that family is closed. The library's word is not taken for it: `extend` returns
nothing that does not begin with the old prompt and the sample. That can happen, since a bridge cuts
off what was sampled behind an end token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Literal

from athlos.errors import ConfigError, ModelError
from athlos.models.tokens.extra import required
from athlos.models.tokens.guard import MARK, Guards
from athlos.models.tokens.messages import Form, check_text, to_dicts
from athlos.models.tokens.replies import read_reply
from athlos.models.tokens.tokenizer import Tokenizer
from athlos.types import Message

__all__ = ["LibraryRenderer"]

_KNOW_DEVELOPER = frozenset({"deepseek-v4", "gemma4", "gpt-oss"})  # others drop the message

_HARMONY = (
    "GPT-OSS needs the vocabulary of OpenAI's Harmony, which is fetched once; without a network "
    "put o200k_base.tiktoken into a folder and name it in TIKTOKEN_ENCODINGS_BASE"
)

Tools = Sequence[Mapping[str, Any]]


class LibraryRenderer:
    """A format of the `renderers` library.

    Args:
        tokenizer: The model's.
        family: The format's name in the library.
        keep_reasoning: See `rendering.load_renderer`.
        template_kwargs: Options of the format, such as `enable_thinking`.

    Raises:
        ConfigError: The tokenizer lacks the format's special tokens, or an option is unknown.
    """

    method: Literal["bridge"] = "bridge"

    def __init__(
        self,
        tokenizer: Tokenizer,
        family: str,
        *,
        keep_reasoning: bool = True,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        base, configs = required("renderers.base"), required("renderers.configs")
        retention = {"thinking_retention": "all"} if keep_reasoning else {}
        try:
            defaults = configs.config_from_name(family)
        except ValueError as error:
            raise ConfigError(
                f"No chat format {family!r}: {error}", hint="Or write auto, or template"
            ) from error
        try:
            config = type(defaults)(**retention, **(template_kwargs or {}))
            self._format = base.create_renderer(tokenizer, config)
        except Exception as error:  # assertions, pydantic's, and what each format raises
            raise ConfigError(
                f"Cannot use the chat format {family!r} with the tokenizer "
                f"{tokenizer.name_or_path!r}: {error}",
                hint=_HARMONY if family == "gpt-oss" else "Is it the model's format? Its options?",
            ) from error
        self.name = family
        self.stop_token_ids: list[int] = list(self._format.get_stop_token_ids())
        self._tokenizer = tokenizer
        self._guards = Guards(tokenizer.added, tokenizer.all_special_tokens)
        self._form = Form(developer=family in _KNOW_DEVELOPER)
        hostile = " ".join(islice(tokenizer.added, 20))
        question = {"role": "user", "content": hostile}
        call = {"id": "c1", "function": {"name": "f", "arguments": {"x": hostile, "y": [hostile]}}}
        self._marks_messages = self._loses_marks([question], ()) and self._loses_marks(
            [
                question,
                {"role": "assistant", "content": "", "tool_calls": [call]},
                {"role": "tool", "content": hostile, "tool_call_id": "c1", "name": "f"},
            ],
            (),
        )
        kind = {"type": "string", "description": hostile, "enum": [hostile], "more": [hostile]}
        schema = {"type": "object", "properties": {"x": kind}, "required": [hostile]}
        function = {"name": "f", "description": hostile, "parameters": schema}
        self._marks_tools = self._loses_marks(
            [{"role": "user", "content": "x"}], [{"type": "function", "function": function}]
        )

    def decode(self, token_ids: Sequence[int]) -> str:
        """See `rendering.Renderer`."""
        return self._tokenizer.decode(token_ids)

    def render(self, messages: Sequence[Message], tools: Tools = ()) -> list[int]:
        """See `rendering.Renderer`."""
        check_text(messages)
        marked, known = self._mark(to_dicts(messages, form=self._form), tools)
        try:
            return list(self._format.render_ids(marked, tools=known, add_generation_prompt=True))
        except Exception as error:  # formats raise what they like over what they cannot express
            raise ModelError(
                f"The chat format {self.name} cannot render this conversation: {error}"
            ) from error

    def extend(
        self,
        prompt_ids: Sequence[int],
        token_ids: Sequence[int],
        before: Sequence[Message],
        new: Sequence[Message],
        tools: Tools = (),
    ) -> list[int] | None:
        """See `rendering.Renderer`."""
        check_text(new)
        prompt, sample = list(prompt_ids), list(token_ids)
        marked, shown = self._mark(to_dicts(new, before, form=self._form), tools)
        try:
            bridged = self._format.bridge_to_next_turn(prompt, sample, marked, tools=shown)
        except Exception:  # noqa: BLE001 - over hostile ids; then nothing was extended
            return None
        known = prompt + sample
        if bridged is None or bridged.token_ids[: len(known)] != known:
            return None
        return list(bridged.token_ids)

    def _mark(
        self, messages: list[dict[str, Any]], tools: Tools
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
        plain = [dict(tool) for tool in tools] or None
        return (
            self._guards.messages(messages) if self._marks_messages else messages,
            self._guards.tools(tools) if self._marks_tools else plain,
        )

    def _loses_marks(self, messages: list[dict[str, Any]], tools: Tools) -> bool:
        """Whether the marks in a conversation are gone from its ids, as they should be.

        They are not where a format does not use our tokenizer (GPT-OSS: its own encoder never makes
        special tokens from text), or writes characters as escapes.
        """
        try:
            ids = self._format.render_ids(
                self._guards.messages(messages), tools=self._guards.tools(tools)
            )
        except Exception:  # noqa: BLE001 - formats raise what they like
            return False
        text = self._tokenizer.decode(ids)
        return MARK not in text and f"{ord(MARK):04x}" not in text.lower()

    def parse(
        self, prompt_ids: Sequence[int], token_ids: Sequence[int], tools: Tools | None = None
    ) -> Message:
        """See `rendering.Renderer`."""
        return read_reply(self._format, self._tokenizer, prompt_ids, token_ids, tools)
