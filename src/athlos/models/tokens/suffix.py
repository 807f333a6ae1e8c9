"""Any chat template, extended by what stands behind an assistant turn.

The template is rendered twice over a conversation whose last reply is a placeholder, once with the
placeholder as the end and once with the new messages. What follows the placeholder's end-of-turn
token is what the new messages add, and it is joined to the ids of the old prompt and the sample.

A template is a program, so this is believed only after checks, once for each shape of step (which
roles come, does the reply call tools, are there tools and a system message):

* the suffix is the same behind two different placeholders, so it does not depend on the reply;
* it begins with an end-of-turn token which also closes a reply that is the last message;
* that token is one that the tokenizer splits off before it merges anything, so the suffix has the
  same ids behind any reply.

If also the suffix behind a one-line conversation is the same, later steps of that shape render that
instead of the whole history. Where a check fails, steps of that shape are not extended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Literal, NamedTuple

from athlos.errors import ConfigError, ModelError
from athlos.models.tokens.extra import required
from athlos.models.tokens.guard import Guards
from athlos.models.tokens.messages import Form, check_text, to_dicts
from athlos.models.tokens.replies import read_reply
from athlos.models.tokens.tokenizer import Tokenizer
from athlos.types import FunctionCall, Message, ToolCall

__all__ = ["SuffixRenderer"]

Tools = Sequence[Mapping[str, Any]]
Dicts = list[dict[str, Any]]

# Neither has anything that templates trim, escape or look for.
_PLACEHOLDERS = ("x7Qplaceholder7Qx", "k3 another one, of more words: 3Wk")
_REASONING = "r5Vreasoning5Vr"
_SHAPES = 1024
_OPENING = 16  # ids from the end of a prompt in which `<think>` may open the reply


class _Step(NamedTuple):
    """What is rendered to extend one shape of step.

    Attributes:
        history: One line in place of the history, or all of it.
        tools: Whether the tool definitions are rendered.
        place: Where in the reply the placeholder stands; some templates leave out what is said
            beside a tool call.
    """

    history: Literal["short", "full"]
    tools: bool
    place: Literal["content", "arguments"]


class SuffixRenderer:
    """The chat template of a tokenizer.

    Args:
        tokenizer: The model's, with a chat template.
        keep_reasoning: See `rendering.load_renderer`.
        template_kwargs: Variables of the template.
        tool_parser: See `rendering.load_renderer`.

    Raises:
        ConfigError: No chat template, no end-of-turn token, or no such parser.
    """

    method: Literal["suffix"] = "suffix"
    name = "template"

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        keep_reasoning: bool = True,
        template_kwargs: Mapping[str, Any] | None = None,
        tool_parser: str | None = "auto",
    ) -> None:
        if tokenizer.chat_template is None:
            raise ConfigError(
                f"The tokenizer {tokenizer.name_or_path!r} has no chat template, and its model is "
                "none whose format is known",
                hint="Put a chat_template.jinja beside tokenizer.json, or name the family",
            )
        if tool_parser == "auto":
            tool_parser = _guess_parser(tokenizer.chat_template)
        base, configs = required("renderers.base"), required("renderers.configs")
        try:
            self._parser = base.create_renderer(
                tokenizer,
                configs.DefaultRendererConfig(tool_parser=tool_parser, reasoning_parser="think"),
            )
        except ValueError as error:
            raise ConfigError(f"Cannot parse replies: {error}") from error
        self.tool_parser = tool_parser
        self._tokenizer = tokenizer
        self._variables = dict(template_kwargs or {})
        self._keep_reasoning = keep_reasoning
        self._guards = Guards(tokenizer.added, tokenizer.all_special_tokens)
        self._form = self._find_form()
        self._stops = self._find_stops()
        self._steps: dict[Any, _Step | None] = {}
        if not self._stops:
            raise ConfigError(
                f"No end-of-turn token is known for {tokenizer.name_or_path!r}",
                hint="Set eos_token in tokenizer_config.json",
            )
        # It knows of eos_token only, and would leave other end tokens in the text.
        self._parser.get_stop_token_ids = lambda: list(self._stops.values())

    @property
    def stop_token_ids(self) -> list[int]:
        """See `rendering.Renderer`."""
        return list(self._stops.values())

    def decode(self, token_ids: Sequence[int]) -> str:
        """See `rendering.Renderer`."""
        return self._tokenizer.decode(token_ids)

    def render(self, messages: Sequence[Message], tools: Tools = ()) -> list[int]:
        """See `rendering.Renderer`."""
        check_text(messages)
        try:
            text = self._text(self._dicts(messages), self._guards.tools(tools), generation=True)
        except ValueError as error:
            raise ModelError(f"The template cannot render this conversation: {error}") from error
        return self._tokenizer.encode(text)

    def parse(
        self, prompt_ids: Sequence[int], token_ids: Sequence[int], tools: Tools | None = None
    ) -> Message:
        """See `rendering.Renderer`."""
        opening = self._tokenizer.decode(prompt_ids[-_OPENING:]).rstrip().endswith("<think>")
        prompt = self._tokenizer.encode("<think>") if opening else []
        message = read_reply(self._parser, self._tokenizer, prompt, token_ids, tools, of=prompt_ids)
        if message.reasoning_content is not None and isinstance(message.content, str):
            message.content = message.content.strip("\n")  # the blank line behind </think>
            message.reasoning_content = message.reasoning_content.strip("\n")
        return message

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
        if not before or before[-1].role != "assistant" or not new:
            return None
        if any(message.role == "assistant" for message in new):
            return None
        shape = (
            bool(tools),
            before[0].role in ("system", "developer"),
            bool(before[-1].tool_calls),
            any(message.reasoning_content for message in before),
            tuple((role, len(list(run)) > 1) for role, run in groupby(m.role for m in new)),
        )
        if shape not in self._steps:
            if len(self._steps) >= _SHAPES:  # only a hostile harness has so many
                self._steps.clear()
            self._steps[shape] = self._prove(before, new, tools)
        step = self._steps[shape]
        if step is None:
            return None
        suffix = self._suffix(step, _PLACEHOLDERS[0], before, new, tools)
        if suffix is None:
            return None
        return self._join(prompt_ids, token_ids, self._tokenizer.encode(suffix[1]))

    def _join(
        self, prompt_ids: Sequence[int], token_ids: Sequence[int], suffix: list[int]
    ) -> list[int] | None:
        """Old prompt, sample and suffix, whose first token is the end of the turn."""
        stops = set(self._stops.values())
        end = next((i for i, id in enumerate(token_ids) if id in stops), None)
        if end is None:  # cut off by a limit, or a server that keeps the end token to itself
            return [*prompt_ids, *token_ids, *suffix]
        if token_ids[end] not in (suffix[0], self._tokenizer.eos_token_id):
            return None  # in some formats it is the next turn's opening, and decides what follows
        # Whatever was sampled behind the end must be what the template has there.
        extra = list(token_ids[end + 1 :])
        if suffix[1 : 1 + len(extra)] != extra:
            return None
        return [*prompt_ids, *token_ids, *suffix[1 + len(extra) :]]

    # -- what the template says

    def _text(self, messages: Dicts, tools: Dicts | None, *, generation: bool) -> str:
        return self._tokenizer.render_chat(
            messages, tools=tools, add_generation_prompt=generation, **self._variables
        )

    def _dicts(self, messages: Sequence[Message], before: Sequence[Message] = ()) -> Dicts:
        return self._guards.messages(to_dicts(messages, before, form=self._form))

    def _shown(self, messages: Sequence[Message], form: Form) -> str | None:
        """The text of a conversation that ends, None if the template refuses it."""
        try:
            return self._text(to_dicts(messages, form=form), None, generation=False)
        except ValueError:
            return None

    def _find_form(self) -> Form:
        """How the template wants its messages: the first way that it takes."""
        form = Form(developer="developer" in (self._tokenizer.chat_template or ""))
        question = Message("user", _PLACEHOLDERS[0])
        for parts in (False, True):
            if _PLACEHOLDERS[0] in (self._shown([question], form._replace(parts=parts)) or ""):
                form = form._replace(parts=parts)
                break
        call = ToolCall("call12345", FunctionCall("f", '{"x": "y"}'))
        calling = [question, Message("assistant", "", tool_calls=[call])]
        text_arguments = form._replace(text_arguments=True)
        if self._shown(calling, form) is None and self._shown(calling, text_arguments):
            return text_arguments
        return form

    def _find_stops(self) -> dict[str, int]:
        """Texts and ids of the tokens that end a reply.

        The configuration's end token, those of the generation settings, and the one that the
        template puts behind a reply.
        """
        known = {id: text for text, (id, _, _, _) in self._tokenizer.added.items()}
        ids = [self._tokenizer.eos_token_id, *self._tokenizer.generation_stop_ids]
        stops = {known[id]: id for id in ids if id in known}
        conversation = [Message("user", "x"), Message("assistant", _PLACEHOLDERS[0])]
        _, _, behind = (self._shown(conversation, self._form) or "").partition(_PLACEHOLDERS[0])
        for token in sorted(self._tokenizer.all_special_tokens, key=len, reverse=True):
            if behind.lstrip().startswith(token):
                stops.setdefault(token, self._tokenizer.added[token][0])
                break
        return stops

    def _suffix(
        self,
        step: _Step,
        placeholder: str,
        before: Sequence[Message],
        new: Sequence[Message],
        tools: Tools,
        *,
        generation: bool = True,
    ) -> tuple[str, str] | None:
        """What stands between the placeholder and the end of its turn, and all from there on."""
        said = before[-1]
        calls = [ToolCall(c.id, FunctionCall(c.function.name, "{}")) for c in said.tool_calls]
        if step.place == "arguments":
            calls[-1].function.arguments = f'{{"x": "{placeholder}"}}'
        reply = Message(
            "assistant", placeholder if step.place == "content" else "x", tool_calls=calls
        )
        old = before[:-1]
        if step.history == "short":
            old = [Message("user", "x")]
            if before[0].role in ("system", "developer"):
                old = [Message(before[0].role, "x"), *old]
        messages = [*self._dicts([*old, reply]), *self._dicts(new, before[-1:])]
        shown = self._guards.tools(tools) if step.tools else None
        try:
            text = self._text(messages, shown, generation=generation)
        except ValueError:
            return None
        _, found, behind = text.partition(placeholder)
        if not found or placeholder in behind:  # left out, or somebody wrote it too
            return None
        ends = [i for stop in self._stops if (i := behind.find(stop)) >= 0]
        return (behind[: min(ends)], behind[min(ends) :]) if ends else None

    def _prove(
        self, before: Sequence[Message], new: Sequence[Message], tools: Tools
    ) -> _Step | None:
        if not self._keep_reasoning and self._drops_reasoning(before, new, tools):
            return None
        full = _Step("full", True, "content")
        if (
            before[-1].tool_calls
            and self._suffix(full, _PLACEHOLDERS[0], before, new, tools) is None
        ):
            full = full._replace(place="arguments")
        one, two = (self._suffix(full, text, before, new, tools) for text in _PLACEHOLDERS)
        if one is None or one != two:
            return None
        last = self._suffix(full, _PLACEHOLDERS[0], before, (), tools, generation=False)
        end = next(stop for stop in self._stops if one[1].startswith(stop))
        if last is None or last[0] != one[0] or not last[1].startswith(end):
            return None
        ids = self._tokenizer.encode(one[1])
        if ids[0] != self._stops[end] or not self._same_ids(one, ids):
            return None
        for shown in (False, True):
            step = _Step("short", shown, full.place)
            if self._suffix(step, _PLACEHOLDERS[0], before, new, tools) == one:
                return step
        return full

    def _same_ids(self, suffix: tuple[str, str], ids: list[int]) -> bool:
        """Whether the suffix has the same ids behind a reply as it has alone."""
        return self._tokenizer.encode(_PLACEHOLDERS[0] + "".join(suffix))[-len(ids) :] == ids

    def _drops_reasoning(
        self, before: Sequence[Message], new: Sequence[Message], tools: Tools
    ) -> bool:
        """Whether the new messages make the template forget the reply's reasoning."""
        if not any(message.reasoning_content for message in before):
            return False
        reply = Message("assistant", "x", reasoning_content=_REASONING)
        messages = [*self._dicts([*before[:-1], reply]), *self._dicts(new, before[-1:])]
        try:
            return _REASONING not in self._text(
                messages, self._guards.tools(tools), generation=True
            )
        except ValueError:
            return True


def _guess_parser(template: str) -> str | None:
    """The tool parser that fits the marks in a template's text."""
    if "<arg_key>" in template:
        return "glm"
    if "<function=" in template:
        return "qwen3.5"
    if "<tool_call>" in template:
        return "qwen3"
    if "<｜tool▁calls▁begin｜>" in template:  # noqa: RUF001 - as DeepSeek writes it
        return "deepseek-v3"
    return None
