"""Reasoning and tool calls out of a sample's text, whole or piece by piece.

The marks are those of Qwen3 and Hermes: `<think>`, and `<tool_call>` around JSON. What parts of a
text become follows the Hermes tool parser of vLLM; arguments of a whole reply are written anew,
those of a stream are passed on as they were sampled, as are the line breaks before a call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Parsed", "StreamParser", "parse"]

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_THINK, _THOUGHT = "<think>", "</think>"
_CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_NAME = re.compile(r'\s*\{\s*"name"\s*:\s*"([^"]*)"\s*,')
_ARGUMENTS = re.compile(r'\s*\{\s*"name"\s*:\s*"[^"]*"\s*,\s*"arguments"\s*:\s*')


@dataclass
class Parsed:
    """A reply in parts.

    Attributes:
        content: What is said; None if there is nothing but calls.
        reasoning: What was thought; None if nothing.
        calls: (name, arguments as JSON).
    """

    content: str | None = None
    reasoning: str | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)


def parse(text: str, *, reasoning: bool, tools: bool) -> Parsed:
    """The parts of a text; what is not asked for stays in the content."""
    parsed = Parsed(content=text)
    if reasoning and text.startswith(_THINK):
        thought, closed, rest = text.removeprefix(_THINK).partition(_THOUGHT)
        parsed.reasoning = thought
        parsed.content = rest if closed else None
    if tools and parsed.content and _OPEN in parsed.content:
        try:
            parsed.calls = [_call(found) for found in _CALL.findall(parsed.content)]
        except (ValueError, KeyError, TypeError):
            return parsed  # no JSON: it stays text
        before = parsed.content[: parsed.content.index(_OPEN)]
        parsed.content = before if before.strip() else None
    if parsed.reasoning is not None:
        parsed.content = parsed.content or None
    return parsed


def _call(text: str) -> tuple[str, str]:
    value = json.loads(text)
    return str(value["name"]), json.dumps(value["arguments"], ensure_ascii=False)


class StreamParser:
    """Parts of a text that comes in pieces.

    Args:
        reasoning: Whether reasoning is told apart.
        tools: Whether tool calls are.

    Attributes:
        called: How many tool calls there were up to now.
    """

    def __init__(self, *, reasoning: bool, tools: bool) -> None:
        self.called = 0
        self._reasoning = reasoning
        self._tools = tools
        self._mode = "start" if reasoning else "content"
        self._held = ""
        self._named = False
        self._sent = 0

    def feed(self, piece: str, *, last: bool = False) -> Iterator[dict[str, Any]]:
        """The deltas that a piece completes."""
        self._held += piece
        while True:
            mode = self._mode
            yield from getattr(self, f"_{mode}")(last)
            if self._mode == mode:
                return

    def _start(self, last: bool) -> Iterator[dict[str, Any]]:
        if self._held.startswith(_THINK):
            self._held = self._held.removeprefix(_THINK)
            self._mode = "thinking"
        elif last or not _THINK.startswith(self._held):
            self._mode = "content"
        yield from ()

    def _thinking(self, last: bool) -> Iterator[dict[str, Any]]:
        thought, closed, rest = self._held.partition(_THOUGHT)
        if closed:
            self._held, self._mode = rest, "content"
        else:
            kept = 0 if last else _overlap(thought, _THOUGHT)
            thought, self._held = _split(thought, kept)
        if thought:
            yield {"reasoning": thought}

    def _content(self, last: bool) -> Iterator[dict[str, Any]]:
        text, opened, rest = self._held.partition(_OPEN) if self._tools else (self._held, "", "")
        if opened:
            self._held, self._mode, self._named, self._sent = rest, "call", False, 0
        else:
            kept = _overlap(text, _OPEN) if self._tools and not last else 0
            text, self._held = _split(text, kept)
        if text and not (self.called and not text.strip()):  # spaces between calls are no content
            yield {"content": text}

    def _call(self, last: bool) -> Iterator[dict[str, Any]]:
        body, closed, rest = self._held.partition(_CLOSE)
        if not closed:
            body = _split(body, _overlap(body, _CLOSE))[0]
        named = _NAME.match(body)
        if named and not self._named:
            self._named = True
            self.called += 1
            yield {"name": named[1], "index": self.called - 1}
        start = _ARGUMENTS.match(body)
        if start and self._named:
            text = body[start.end() :].rstrip()[:-1].rstrip()  # without the end of the call itself
            if len(text) > self._sent:
                yield {"arguments": text[self._sent :], "index": self.called - 1}
                self._sent = len(text)
        if closed:
            self._held, self._mode = rest, "content"


def _split(text: str, kept: int) -> tuple[str, str]:
    """The text, and `kept` characters at its end."""
    return text[: len(text) - kept], text[len(text) - kept :]


def _overlap(text: str, mark: str) -> int:
    """How many characters at the end of `text` may be the beginning of `mark`."""
    for size in range(min(len(text), len(mark) - 1), 0, -1):
        if mark.startswith(text[-size:]):
            return size
    return 0
