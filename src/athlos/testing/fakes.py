"""Fake models: functions behind the transport seam, with latencies and faults if asked for."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from athlos.errors import ConfigError
from athlos.models.chat import Choice
from athlos.models.client import Model
from athlos.models.transport import Response, TransportError
from athlos.testing.simulation import SimulatedLoop, arrive
from athlos.types import FunctionCall, Message, ToolCall, Usage

__all__ = ["FakeTransport", "Faults", "call", "completions", "fake_model", "scripted"]

Answer = str | Message
Policy = Callable[[list[Message]], Answer | Awaitable[Answer]]
Handler = Callable[[str, str, Any], Any]
Latency = float | Callable[[random.Random], float]

_KINDS = (
    "refused", "reset", "http_500", "http_503", "http_429", "garbled", "hang", "slow", "length",
    "abort",
)  # fmt: skip
_STATUS = {"http_500": 500, "http_503": 503, "http_429": 429}
_REASON = {"length": "length", "abort": "abort"}


class Faults(Struct, frozen=True, kw_only=True):
    """What goes wrong at a fake server, and how often.

    Each rate is the probability that a request for a completion meets the fault; a request meets
    at most one. `GET /models` meets only outages.

    Attributes:
        refused: The connection is refused.
        reset: The connection breaks before the reply is there.
        http_500: The server has an internal error.
        http_503: The server is overloaded.
        http_429: The server asks to come back after `retry_after` seconds.
        garbled: The body is no JSON.
        hang: No reply, ever.
        slow: The reply takes `delay` seconds longer.
        length: The completion is cut: its finish reason is `length`.
        abort: The server gives the completion up: its finish reason is `abort`.
        outages: (start, end), in the time of the loop. Meanwhile connections are refused; requests
            that are under way when an outage begins are reset.
        retry_after: Seconds.
        delay: Seconds.

    Raises:
        ConfigError: A rate is below 0, or they add up to more than 1.
    """

    refused: float = 0.0
    reset: float = 0.0
    http_500: float = 0.0
    http_503: float = 0.0
    http_429: float = 0.0
    garbled: float = 0.0
    hang: float = 0.0
    slow: float = 0.0
    length: float = 0.0
    abort: float = 0.0
    outages: Sequence[tuple[float, float]] = ()
    retry_after: float = 1.0
    delay: float = 60.0

    def __post_init__(self) -> None:
        rates = [getattr(self, kind) for kind in _KINDS]
        if not min(rates) >= 0 or not sum(rates) <= 1 + 1e-9:
            raise ConfigError(f"the rates of faults must be at least 0 and add up to 1: {rates}")

    def draw(self, rng: random.Random) -> str:
        """The fault that one request meets, or ""."""
        drawn = rng.random()
        for kind in _KINDS:
            drawn -= getattr(self, kind)
            if drawn < 0:
                return kind
        return ""

    def outage(self, start: float, end: float) -> float | None:
        """When the first outage that touches [start, end] does so, or None."""
        touched = [max(a, start) for a, b in self.outages if a <= end and start < b]
        return min(touched, default=None)


class FakeTransport:
    """A transport whose backend is a function from request to reply.

    Args:
        handler: Gets method, path and decoded body; returns a status and a value (or bytes).
        latency: Seconds that a reply takes, or a function that draws them.
        faults: What goes wrong beside.
        seed: Of latencies and faults; the simulation's by default, and 0 outside of one.
        keep_requests: Whether to keep every request, for tests that look at them.

    Attributes:
        requests: The decoded bodies, in the order in which they came; None for a GET.
        sent: Requests up to now.
        met: Faults that they met, by kind; `outage` is one.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        latency: Latency = 0.0,
        faults: Faults | None = None,
        seed: int | None = None,
        keep_requests: bool = True,
    ) -> None:
        self.requests: list[Any] = []
        self.sent = 0
        self.met: Counter[str] = Counter()
        self._handler = handler
        self._latency = latency
        self._faults = faults
        self._seed = seed
        self._rng: random.Random | None = None
        self._keep = keep_requests
        typed = None if keep_requests else getattr(handler, "request_type", None)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(typed or Any)

    async def send(self, method: str, path: str, body: bytes | None = None) -> Response:
        """Answers with what the handler returns, unless the request meets a fault.

        Raises:
            TransportError: It met one that leaves no reply.
        """
        request = self._decoder.decode(body) if body else None
        self.sent += 1
        if self._keep:
            self.requests.append(request)
        fault = await self._arrive(method)
        if fault in _STATUS:
            status = _STATUS[fault]
            headers = {}
            if status == 429 and self._faults is not None:
                headers["retry-after"] = f"{self._faults.retry_after:g}"
            return Response(status, headers, b'{"error":{"message":"a fault of the fake server"}}')
        if fault == "garbled":
            return Response(200, {}, b"<html>a fault of the fake server</html>")
        answer = self._handler(method, path, request)
        if inspect.isawaitable(answer):
            answer = await answer
        status, value = answer
        content = value if isinstance(value, bytes) else _encode(value)
        if fault in _REASON:
            content = _cut(content, _REASON[fault])
        return Response(status, {}, content)

    async def close(self) -> None:
        """Frees nothing."""

    async def _arrive(self, method: str) -> str:
        """Waits for what the request meets; returns the fault with which a reply comes, or ""."""
        loop = asyncio.get_running_loop()
        rng = self._rng
        if rng is None:
            rng = self._rng = random.Random(_seed(self._seed))
        latency = self._latency(rng) if callable(self._latency) else self._latency
        faults = self._faults
        if faults is None:
            await arrive(latency)
            return ""
        fault = faults.draw(rng) if method == "POST" else ""
        if fault == "slow":
            latency += faults.delay
        elif fault == "refused":
            latency = 0.0
        elif fault == "reset":
            latency *= rng.random()
        now = loop.time()
        outage = faults.outage(now, now + latency)
        if outage is not None:
            self.met["outage"] += 1
            await arrive(outage - now)
            if outage == now:
                raise TransportError("connect", "connection refused (an outage)")
            raise TransportError("reset", "connection reset (an outage)")
        if fault:
            self.met[fault] += 1
        if fault == "hang":
            await loop.create_future()
        await arrive(latency)
        if fault == "refused":
            raise TransportError("connect", "connection refused")
        if fault == "reset":
            raise TransportError("reset", "connection reset")
        return fault


class _Request(Struct):
    """What a policy is shown of a request."""

    messages: list[Message]


class _Completion(Struct):
    id: str
    model: str
    choices: list[Choice]
    usage: Usage
    object: str = "chat.completion"


_encode = msgspec.json.Encoder().encode


class _Completions:
    request_type = _Request

    def __init__(self, policy: Policy, name: str) -> None:
        self._policy = policy
        self._name = name
        self._ids = itertools.count()

    async def __call__(self, method: str, path: str, request: Any) -> tuple[int, Any]:
        if path == "/models":
            return 200, {"object": "list", "data": [{"id": self._name, "object": "model"}]}
        if not isinstance(request, _Request):
            request = msgspec.convert(request, _Request)
        messages = request.messages
        answer = self._policy(messages)
        if inspect.isawaitable(answer):
            answer = await answer
        message = Message("assistant", answer) if isinstance(answer, str) else answer
        prompt = 0
        for earlier in messages:
            prompt += len(earlier.text) // 4 + 1
        return 200, _Completion(
            f"chatcmpl-{next(self._ids)}",
            self._name,
            [Choice(message, "tool_calls" if message.tool_calls else "stop")],
            Usage(prompt, len(message.text) // 4 + 1),
        )


def completions(policy: Policy, *, name: str = "fake") -> Handler:
    """A handler for `FakeTransport`: a server of one model, which a function plays.

    Args:
        policy: Makes an answer of the conversation so far: text or a `Message`; may be async.
        name: What the server calls the model.
    """
    return _Completions(policy, name)


def fake_model(
    policy: Policy,
    *,
    name: str = "fake",
    latency: Latency = 0.0,
    faults: Faults | None = None,
    seed: int | None = None,
    keep_requests: bool = True,
    **options: Any,
) -> Model:
    """A model that answers with what a function makes of the conversation so far.

    Args:
        policy: See `completions`.
        name: What the model is called.
        latency: As for `FakeTransport`, and the following too.
        faults: What goes wrong; the model repeats its requests as it would with a server.
        seed: Of latencies, faults, and the waits between the model's tries.
        keep_requests: Whether to keep every request.
        options: Of the `Model`: `retry`, `deadlines`, `sampling` ...
    """
    transport = FakeTransport(
        completions(policy, name=name),
        latency=latency,
        faults=faults,
        seed=seed,
        keep_requests=keep_requests,
    )
    rng = random.Random(_seed(seed))
    return Model(name=name, transport=transport, **{"rng": rng, **options})


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


def _seed(seed: int | None) -> int:
    """The seed, or by default that of the simulation in which this is called, or 0."""
    if seed is not None:
        return seed
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return 0
    return loop.seed if isinstance(loop, SimulatedLoop) else 0


def _cut(content: bytes, reason: str) -> bytes:
    """A completion with another finish reason."""
    value = msgspec.json.decode(content)
    for choice in value["choices"]:
        choice["finish_reason"] = reason
    return _encode(value)
