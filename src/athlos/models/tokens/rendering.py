"""Between messages and token ids: what exact mode asks of a model's chat format.

Two implementations. `library.LibraryRenderer` takes the hand-written formats of the `renderers`
library (Qwen3, Llama 3, GPT-OSS, Gemma, GLM, DeepSeek, Kimi ...). `suffix.SuffixRenderer` works
with any chat template: it asks the template what stands behind an assistant turn, and extends a
prompt only by what it could prove.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from athlos.models.tokens.extra import required
from athlos.models.tokens.tokenizer import Tokenizer, load_tokenizer
from athlos.types import Message

__all__ = ["Renderer", "load_renderer"]

Tools = Sequence[Mapping[str, Any]]


@runtime_checkable
class Renderer(Protocol):
    """A chat format on a tokenizer. It keeps nothing of a conversation and serves all of them."""

    @property
    def name(self) -> str:
        """Of the format, for messages and records."""
        ...

    @property
    def method(self) -> Literal["bridge", "suffix"]:
        """How `extend` works: by a hand-written format, or by proof from the template."""
        ...

    @property
    def stop_token_ids(self) -> list[int]:
        """Tokens that end a reply; to be handed to the engine."""
        ...

    def render(self, messages: Sequence[Message], tools: Tools = ()) -> list[int]:
        """Ids of a conversation, with what invites the model to reply.

        Raises:
            ConfigError: A message has a part that is not text.
            ModelError: The format cannot express this conversation.
        """
        ...

    def parse(
        self, prompt_ids: Sequence[int], token_ids: Sequence[int], tools: Tools | None = None
    ) -> Message:
        """The reply that sampled ids stand for. Never raises: what is malformed becomes content.

        So do tool calls where no tools were offered; None says nothing about that.

        Tool calls without an id of their own get one that depends on the ids only.
        """
        ...

    def extend(
        self,
        prompt_ids: Sequence[int],
        token_ids: Sequence[int],
        before: Sequence[Message],
        new: Sequence[Message],
        tools: Tools = (),
    ) -> list[int] | None:
        """Ids of the next prompt: `prompt_ids`, `token_ids`, then what `new` adds.

        Args:
            prompt_ids: The prompt of the last call.
            token_ids: What was sampled then. Where it has no end token, one is put behind it.
            before: The conversation up to and with the parsed reply.
            new: What came after it: tool results, user turns. No assistant messages.
            tools: The same as for the last call.

        Returns:
            The ids, or None where they cannot be proved right.
        """
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of ids, special tokens included."""
        ...


def load_renderer(
    source: str | Path | Tokenizer,
    *,
    model_name: str = "",
    family: str = "auto",
    keep_reasoning: bool = True,
    template_kwargs: Mapping[str, Any] | None = None,
    tool_parser: str | None = "auto",
) -> Renderer:
    """The renderer of a model.

    Args:
        source: What `load_tokenizer` takes, or a tokenizer.
        model_name: The model's name on the hub, as `renderers` knows it; `source` by default.
        family: `auto` takes the library's format if it knows the model by its exact name (a
            fine-tune may have another template), else the model's own template. `template` always
            takes the latter; a name such as `qwen3` takes that format of the library.
        keep_reasoning: Whether a new user turn extends a prompt in which the model's reasoning
            stands, also where the model's template drops reasoning at that point. The engine then
            conditions on what was really sampled. If False, such a turn begins a new sequence.
        template_kwargs: Variables of the chat template, such as `{"enable_thinking": False}`. They
            must be the ones that the model is served with.
        tool_parser: How the `template` family reads tool calls: `qwen3` (JSON in `<tool_call>`),
            `qwen3.5`, `glm`, `deepseek-v3`, None for not at all, `auto` by what the template shows.

    Raises:
        ConfigError: No such tokenizer, family or option, or the extra `tokens` is not installed.
    """
    tokenizer = source if isinstance(source, Tokenizer) else load_tokenizer(source, name=model_name)
    if model_name:
        tokenizer = copy(tokenizer)
        tokenizer.name_or_path = model_name
    from athlos.models.tokens.library import LibraryRenderer
    from athlos.models.tokens.suffix import SuffixRenderer

    base = required("renderers.base")
    if family == "auto":
        family = base.MODEL_RENDERER_MAP.get(tokenizer.name_or_path, "template")
    if family in ("template", "default"):
        return SuffixRenderer(
            tokenizer,
            keep_reasoning=keep_reasoning,
            template_kwargs=template_kwargs,
            tool_parser=tool_parser,
        )
    return LibraryRenderer(
        tokenizer, family, keep_reasoning=keep_reasoning, template_kwargs=template_kwargs
    )
