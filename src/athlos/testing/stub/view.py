"""What a policy sees of a request, whether it came as messages or as token ids."""

from __future__ import annotations

import json
import random
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from athlos.testing.stub.distribution import Shape

__all__ = ["Sampling", "View", "read_chat", "read_tools"]

Body = dict[str, Any]

_TURN = re.compile(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>", re.DOTALL)
_TOOL = re.compile(r'\{\s*"type"\s*:\s*"function"')
_RESPONSE = re.compile(r"<tool_response>\n?(.*?)\n?</tool_response>", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a request wants its tokens sampled.

    Attributes:
        max_tokens: At most so many.
        shape: Temperature and cuts.
        stop: Texts that end a sample.
        stop_ids: Tokens that end it, besides the end of the turn.
        keep_stop: Whether the text keeps the stop text.
        ignore_end: Whether the end of the turn ends nothing.
        seed: Of this request.
        n: How many samples.
        regex: What the sample must match.
        choice: What it must be one of.
        schema: The JSON Schema of what it must be.
    """

    max_tokens: int
    shape: Shape = field(default_factory=Shape)
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()
    keep_stop: bool = False
    ignore_end: bool = False
    seed: int | None = None
    n: int = 1
    regex: str | None = None
    choice: tuple[str, ...] = ()
    schema: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class View:
    """One request for one sample.

    Attributes:
        prompt: The text that the model sees.
        prompt_ids: The same in tokens.
        messages: As sent, or read from a prompt of `<|im_start|>` turns.
        tools: Likewise; empty if none may be called.
        must_call: Whether the request demands a tool call.
        sampling: How to sample.
        index: Which of the request's samples this is.
        rng: Decided by the stub's seed, the prompt, the request's seed and `index`.
    """

    prompt: str
    prompt_ids: list[int]
    messages: list[Body]
    tools: list[Body]
    must_call: bool
    sampling: Sampling
    index: int
    rng: random.Random

    @property
    def replies(self) -> int:
        """How many turns the model has had in this conversation."""
        return sum(message.get("role") == "assistant" for message in self.messages)

    @property
    def rounds(self) -> int:
        """In how many turns since the last question of the user tools were called."""
        count = 0
        for message in reversed(self.messages):
            if message.get("role") == "user":
                break
            called = message.get("tool_calls") or "<tool_call>" in str(message.get("content"))
            count += bool(message.get("role") == "assistant" and called)
        return count


def read_chat(prompt: str) -> list[Body]:
    """The messages of a prompt, as far as it is made of `<|im_start|>` turns."""
    messages: list[Body] = []
    for role, content in _TURN.findall(prompt):
        responses = _RESPONSE.findall(content) if role == "user" else []
        if responses:
            messages += [{"role": "tool", "content": text} for text in responses]
        else:
            messages.append({"role": role, "content": content})
    return messages


def read_tools(prompt: str) -> list[Body]:
    """The tools that a prompt offers: the JSON objects of type `function` in it."""
    tools: list[Body] = []
    decoder = json.JSONDecoder()
    for found in _TOOL.finditer(prompt):
        with suppress(ValueError):
            tools.append(decoder.raw_decode(prompt, found.start())[0])
    return tools
