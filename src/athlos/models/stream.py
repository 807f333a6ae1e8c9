"""A streamed chat completion put together into one complete reply, and the other way round."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec

__all__ = ["Assembler", "Chunk", "split"]

# What a choice, or its message, may carry about tokens; where servers put it is in `dialects.py`.
_TOKENS = ("token_ids", "response_token_ids", "prompt_token_ids", "weight_versions")
_MESSAGE_TOKENS = ("prompt_token_ids", "generation_token_ids", "generation_log_probs")


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Part(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function = msgspec.field(default_factory=_Function)


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Part] | None = None
    prompt_token_ids: list[int] | None = None
    generation_token_ids: list[int] | None = None
    generation_log_probs: list[float | None] | None = None


class _Logprobs(msgspec.Struct):
    content: list[msgspec.Raw] | None = None


class _Piece(msgspec.Struct):
    index: int = 0
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None
    token_ids: list[int] | None = None
    response_token_ids: list[int] | None = None
    prompt_token_ids: list[int] | None = None
    weight_versions: list[dict[str, Any]] | None = None
    meta_info: dict[str, Any] | None = None


class Chunk(msgspec.Struct):
    """What one event of a stream may hold; `timings` is llama.cpp's."""

    id: str | None = None
    created: float | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    choices: list[_Piece] | None = None
    usage: dict[str, Any] | None = None
    prompt_token_ids: list[int] | None = None
    timings: dict[str, Any] | None = None
    error: dict[str, Any] | str | None = None


class _Call:
    """A tool call, as far as it has come."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []


class _Choice:
    """One choice of an answer, as far as it has come."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {"content": []}
        self.calls: dict[int, _Call] = {}
        self.logprobs: list[msgspec.Raw] | None = None
        self.tokens: dict[str, Any] = {}
        self.message_tokens: dict[str, Any] = {}
        self.finish_reason: str | None = None

    def add(self, piece: _Piece) -> None:
        delta = piece.delta
        if delta.content:
            self.texts["content"].append(delta.content)
        for name in ("reasoning_content", "reasoning", "refusal"):
            if text := getattr(delta, name):
                self.texts.setdefault(name, []).append(text)
        for part in delta.tool_calls or ():
            self._add_call(part)
        if piece.logprobs is not None and piece.logprobs.content is not None:
            if self.logprobs is None:
                self.logprobs = []
            self.logprobs += piece.logprobs.content
        for name in _TOKENS:
            if (found := getattr(piece, name)) is not None:
                self._add_tokens(name, found)
        for name in _MESSAGE_TOKENS:
            if (found := getattr(delta, name)) is not None:
                self.message_tokens.setdefault(name, []).extend(found)
        if piece.meta_info is not None:
            self.tokens["meta_info"] = piece.meta_info
        self.finish_reason = piece.finish_reason or self.finish_reason

    def _add_call(self, part: _Part) -> None:
        index = part.index
        if index is None:  # some servers leave it out: a new id is a new call
            index = len(self.calls) - (0 if part.id or not self.calls else 1)
        call = self.calls.setdefault(index, _Call())
        call.id = call.id or part.id or ""
        call.name += part.function.name or ""
        if part.function.arguments:
            call.arguments.append(part.function.arguments)

    def _add_tokens(self, name: str, found: Any) -> None:
        known = self.tokens.setdefault(name, [])
        if name == "weight_versions" and known and _starts_anew(known, found):
            known.clear()
        known += found

    def build(self, index: int) -> dict[str, Any]:
        content = "".join(self.texts["content"])
        message: dict[str, Any] = {"role": "assistant", "content": content}
        for name, pieces in self.texts.items():
            message[name] = "".join(pieces)
        if self.calls:
            message["content"] = content or None
            message["tool_calls"] = [
                {
                    "id": call.id or f"call_{place}",
                    "type": "function",
                    "function": {"name": call.name, "arguments": "".join(call.arguments)},
                }
                for place, (_, call) in enumerate(sorted(self.calls.items()))
            ]
        message.update(self.message_tokens)
        choice = {"index": index, "message": message, "finish_reason": self.finish_reason}
        if self.logprobs is not None:
            choice["logprobs"] = {"content": self.logprobs}
        choice.update(self.tokens)
        return choice


def _starts_anew(known: list[dict[str, Any]], found: list[dict[str, Any]]) -> bool:
    """Whether spans are those of the whole completion so far, not of what was added to it."""
    return bool(found) and found[0].get("start", 0) < known[-1].get("end", 0)


class Assembler:
    """Puts the chunks of a stream together into one complete reply."""

    def __init__(self) -> None:
        self.error: Any = None
        self.fault: Exception | None = None
        self._choices: dict[int, _Choice] = {}
        self._head = Chunk(created=int(time.time()))
        self._usage: dict[str, Any] | None = None
        self._timings: dict[str, Any] | None = None
        self._prompt: list[int] | None = None

    @property
    def ended(self) -> bool:
        """Whether there are choices and every one has ended."""
        return bool(self._choices) and all(c.finish_reason for c in self._choices.values())

    @property
    def complete(self) -> bool:
        """Whether every choice ended and the usage, which comes last, is there."""
        return self.ended and self._usage is not None

    def add(self, chunk: Chunk) -> None:
        """Takes the next event."""
        if chunk.error is not None:
            self.error = chunk.error
            return
        if chunk.id:
            self._head = chunk
        for choice in chunk.choices or ():
            self._choices.setdefault(choice.index, _Choice()).add(choice)
        if chunk.prompt_token_ids is not None:
            self._prompt = chunk.prompt_token_ids
        self._usage = chunk.usage or self._usage
        self._timings = chunk.timings or self._timings

    def cut(self) -> None:
        """Forgets why choices ended: the reply as a whole did not come."""
        for choice in self._choices.values():
            choice.finish_reason = None

    def encode(self, model: str = "") -> bytes:
        """The reply as its JSON."""
        head = self._head
        reply: dict[str, Any] = {
            "id": head.id or "",
            "object": "chat.completion",
            "created": int(head.created or 0),
            "model": model or head.model or "",
            "system_fingerprint": head.system_fingerprint,
            "choices": [choice.build(index) for index, choice in sorted(self._choices.items())],
            "usage": self._usage,
        }
        if self._prompt is not None:
            reply["prompt_token_ids"] = self._prompt
        if self._timings is not None:
            reply["timings"] = self._timings
        return msgspec.json.encode(reply)


def split(reply: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The chunks of a stream that a complete reply could have come in."""
    head: dict[str, Any] = {key: reply[key] for key in ("id", "created", "model") if key in reply}
    head["object"] = "chat.completion.chunk"
    first = {"prompt_token_ids": reply["prompt_token_ids"]} if "prompt_token_ids" in reply else {}
    for choice in reply["choices"]:
        index = choice.get("index", 0)
        delta: dict[str, Any] = {"role": "assistant", "content": ""}
        yield {
            **head,
            "choices": [{"index": index, "delta": delta, "finish_reason": None}],
            **first,
        }
        first = {}
        message = choice["message"]
        rest = {key: value for key, value in choice.items() if key != "message"}
        delta = {key: value for key, value in message.items() if key != "role"}
        if message.get("tool_calls"):
            calls = enumerate(message["tool_calls"])
            delta["tool_calls"] = [{"index": place, **call} for place, call in calls]
        yield {**head, "choices": [{**rest, "delta": delta, "finish_reason": None}]}
        end = {"index": index, "delta": {}, "finish_reason": choice.get("finish_reason") or "stop"}
        yield {**head, "choices": [end]}
    if reply.get("usage"):
        yield {**head, "choices": [], "usage": reply["usage"]}
