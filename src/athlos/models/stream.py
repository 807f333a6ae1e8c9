"""A streamed chat completion, put together again into one complete reply."""

from __future__ import annotations

import time
from typing import Any

import msgspec

__all__ = ["Assembler", "Chunk"]


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str = ""


class _Call(msgspec.Struct):
    index: int = 0
    id: str = ""
    function: _Function = msgspec.field(default_factory=_Function)


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_Call] = []


class _Logprobs(msgspec.Struct):
    content: list[dict[str, Any]] = []


class _Piece(msgspec.Struct):
    index: int = 0
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class Chunk(msgspec.Struct):
    """What one event of a stream may hold; `timings` and `error` are llama.cpp's."""

    id: str = ""
    created: int = 0
    system_fingerprint: str = ""
    choices: list[_Piece] = []
    usage: dict[str, Any] | None = None
    timings: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class _Choice:
    """One choice of an answer, as far as it has come."""

    def __init__(self) -> None:
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.calls: dict[int, _Call] = {}
        self.logprobs: list[dict[str, Any]] = []
        self.finish_reason: str | None = None

    def add(self, chunk: _Piece) -> None:
        delta = chunk.delta
        if delta.content:
            self.content.append(delta.content)
        if delta.reasoning_content:
            self.reasoning.append(delta.reasoning_content)
        for part in delta.tool_calls:
            call = self.calls.setdefault(part.index, _Call(index=part.index))
            call.id = call.id or part.id
            call.function.name += part.function.name
            call.function.arguments += part.function.arguments
        if chunk.logprobs is not None:
            self.logprobs += chunk.logprobs.content
        self.finish_reason = chunk.finish_reason or self.finish_reason

    def build(self, index: int) -> dict[str, Any]:
        content = "".join(self.content)
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.calls:
            message["content"] = content or None
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
                for _, call in sorted(self.calls.items())
            ]
        choice = {"index": index, "message": message, "finish_reason": self.finish_reason}
        if self.logprobs:
            choice["logprobs"] = {"content": self.logprobs}
        return choice


class Assembler:
    """Puts the chunks of a stream together into one complete reply."""

    def __init__(self) -> None:
        self.error: dict[str, Any] | None = None
        self.fault: Exception | None = None
        self._choices: dict[int, _Choice] = {}
        self._head = Chunk(created=int(time.time()))
        self._usage: dict[str, Any] | None = None
        self._timings: dict[str, Any] | None = None

    @property
    def complete(self) -> bool:
        """Whether every choice ended and the usage, which comes last, is there."""
        ended = all(choice.finish_reason for choice in self._choices.values())
        return bool(self._choices) and ended and self._usage is not None

    def add(self, chunk: Chunk) -> None:
        """Takes the next event."""
        if chunk.error is not None:
            self.error = chunk.error
            return
        if chunk.id:
            self._head = chunk
        for choice in chunk.choices:
            self._choices.setdefault(choice.index, _Choice()).add(choice)
        self._usage = chunk.usage or self._usage
        self._timings = chunk.timings or self._timings

    def encode(self, model: str) -> bytes:
        """The reply as its JSON."""
        reply: dict[str, Any] = {
            "id": self._head.id,
            "object": "chat.completion",
            "created": self._head.created,
            "model": model,
            "system_fingerprint": self._head.system_fingerprint,
            "choices": [choice.build(index) for index, choice in sorted(self._choices.items())],
            "usage": self._usage,
        }
        if self._timings is not None:
            reply["timings"] = self._timings
        return msgspec.json.encode(reply)
