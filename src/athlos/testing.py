"""Fakes for tests of environments: a model that says what the test wants, without a server.

from athlos.testing import scripted

model = scripted(call("add", amount=3), "Done.")
summary = await athlos.collect(MyEnv, model, limit=1).run()
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from athlos.models.chat import Choice
from athlos.models.client import Model
from athlos.models.transport import Response
from athlos.types import FunctionCall, Message, ToolCall, Usage

__all__ = ["FakeTransport", "call", "fake_model", "scripted"]

Answer = str | Message
Policy = Callable[[list[Message]], Answer | Awaitable[Answer]]


class FakeTransport:
    """A transport whose backend is a function from request to reply.

    Args:
        handler: Gets method, path and decoded body; returns a status and a value (or bytes).
    """

    def __init__(self, handler: Callable[[str, str, Any], Any]) -> None:
        self._handler = handler
        self.requests: list[Any] = []

    async def send(self, method: str, path: str, body: bytes | None = None) -> Response:
        """Answers with what the handler returns."""
        request = msgspec.json.decode(body) if body else None
        self.requests.append(request)
        answer = self._handler(method, path, request)
        if inspect.isawaitable(answer):
            answer = await answer
        status, value = answer
        content = value if isinstance(value, bytes) else msgspec.json.encode(value)
        return Response(status, {}, content)

    async def close(self) -> None:
        """Frees nothing."""


def fake_model(policy: Policy, *, name: str = "fake") -> Model:
    """A model that answers with what a function makes of the conversation so far."""
    ids = itertools.count()

    async def handler(method: str, path: str, request: Any) -> tuple[int, Any]:
        if path == "/models":
            return 200, {"object": "list", "data": [{"id": name, "object": "model"}]}
        messages = msgspec.convert(request["messages"], list[Message])
        answer = policy(messages)
        if inspect.isawaitable(answer):
            answer = await answer
        message = Message("assistant", answer) if isinstance(answer, str) else answer
        reason = "tool_calls" if message.tool_calls else "stop"
        return 200, {
            "id": f"chatcmpl-{next(ids)}",
            "object": "chat.completion",
            "model": name,
            "choices": [Choice(message, reason)],
            "usage": Usage(sum(len(m.text) // 4 + 1 for m in messages), len(message.text) // 4 + 1),
        }

    return Model(name=name, transport=FakeTransport(handler))


def scripted(*answers: Answer, name: str = "scripted") -> Model:
    """A model that plays the same answers in every attempt, one a turn; the last one repeats."""

    def policy(messages: Sequence[Message]) -> Answer:
        turn = sum(message.role == "assistant" for message in messages)
        return answers[min(turn, len(answers) - 1)]

    return fake_model(policy, name=name)


def call(tool: str, /, **arguments: Any) -> Message:
    """An assistant message that calls one tool."""
    text = msgspec.json.encode(arguments).decode()
    return Message("assistant", tool_calls=[ToolCall("call_0", FunctionCall(tool, text))])
