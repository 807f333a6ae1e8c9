"""The server under check: small requests to it, and what earlier ones have taught."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from athlos.models.chat import status_error
from athlos.models.transport import Response, Transport, TransportError
from athlos.timeouts import time_limit

__all__ = ["NoAnswer", "Notes", "Refused", "Render", "Target", "Unusable", "dig", "text_of"]

Body = dict[str, Any]
Render = Callable[..., Awaitable[list[int]]]

HELLO: list[Body] = [{"role": "user", "content": "Say hello."}]
_BUSY = (429, 503)
_TRIES = 3
_MOST = 160  # characters of what a server says


class Refused(Exception):
    """The server answered with a status other than 200."""

    def __init__(self, response: Response) -> None:
        error = status_error(response)
        super().__init__(error.message[:_MOST])
        self.status = response.status
        self.error = error


class NoAnswer(Exception):
    """There was no complete reply; `late` if it was not there in time."""

    def __init__(self, message: str, *, late: bool = False) -> None:
        super().__init__(message)
        self.late = late


class Unusable(Exception):
    """The reply is not what it should be."""


def dig(value: Any, *path: str | int) -> Any:
    """What is at the end of a path of keys and positions; None where it does not lead on."""
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def text_of(reply: Any, choice: int = 0) -> str:
    """Everything that a choice says: reasoning, then content."""
    message = dig(reply, "choices", choice, "message")
    parts = (dig(message, name) for name in ("reasoning_content", "reasoning", "content"))
    return "".join(part for part in parts if isinstance(part, str))


@dataclass
class Notes:
    """What tries have learned that others can use.

    Attributes:
        entry: The model's entry in the list of models.
        reply: The first plain reply.
        top_logprobs: The least that makes the server return log-probabilities.
        ids_request: What to send for token ids; None if it returns none.
        prompt_ids: Of `HELLO`, if chat completions return them.
        end_id: The token that ended a reply by itself.
        tool_request: What to send for a tool call; None if none came.
        tool_reply: The reply that had it.
        stops: Whether stop strings end a reply.
        render: Conversation to token ids; None if no endpoint does that.
        versions: Versions of the weights, by where they stood.
    """

    entry: Body = field(default_factory=dict)
    reply: Body = field(default_factory=dict)
    top_logprobs: int = 0
    ids_request: Body | None = None
    prompt_ids: list[int] | None = None
    end_id: int | None = None
    tool_request: Body | None = None
    tool_reply: Body = field(default_factory=dict)
    stops: bool = False
    render: Render | None = None
    versions: dict[str, Any] = field(default_factory=dict)


class Target:
    """One model of one server.

    Args:
        transport: To the server; closed by whoever made it.
        timeout: Seconds that a capability may take; an endpoint that computes nothing has a
            third of it.
    """

    def __init__(self, transport: Transport, timeout: float) -> None:
        self.model = ""
        self.kind = ""
        self.notes = Notes()
        self.timeout = timeout
        self._transport = transport

    async def chat(self, messages: Sequence[Body] = HELLO, **fields: Any) -> Body:
        """A chat completion, of few tokens and at temperature 1 unless `fields` say otherwise."""
        body = {
            "model": self.model,
            "messages": messages,
            "max_tokens": 8,
            # not left out: some servers take only what they were configured for
            "temperature": 1.0,
            "top_p": 1.0,
            **fields,
        }
        reply = await self.post("/chat/completions", body)
        if not isinstance(dig(reply, "choices", 0, "message"), dict):
            raise Unusable("the reply has no choices[0].message")
        return reply

    async def stream(self, messages: Sequence[Body] = HELLO, **fields: Any) -> list[Body]:
        """The events of a streamed chat completion."""
        body = {
            "model": self.model,
            "messages": messages,
            "max_tokens": 8,
            "temperature": 1.0,
            "top_p": 1.0,
            "stream": True,
            **fields,
        }
        raw = await self.send("POST", "/chat/completions", body)
        lines = [line[5:].strip() for line in raw.splitlines() if line.startswith(b"data:")]
        if not lines:
            raise Unusable("stream=true was ignored: the reply is no event stream")
        try:
            events = [msgspec.json.decode(line) for line in lines if line and line != b"[DONE]"]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unusable(f"an event is no JSON: {error}") from None
        for event in events:
            if dig(event, "error"):
                raise Unusable(f"the stream ends with an error: {str(event['error'])[:_MOST]}")
        return events

    async def post(self, path: str, body: Body, *, light: bool = False) -> Body:
        """The JSON object that a POST returns.

        Args:
            path: Below `/v1`; with `//` at the start, at the server's root.
            body: The request.
            light: Whether the answer takes no computing, so that the wait is short.

        Raises:
            Refused: The status is not 200.
            NoAnswer: There was no complete reply, or a light one took too long.
            Unusable: It is no JSON object.
        """
        return _object(await self.send("POST", path, body, self.timeout / 3 if light else None))

    async def get(self, path: str) -> Body:
        """The JSON object that a GET returns; raises as `post` does."""
        return _object(await self.send("GET", path, None, self.timeout / 3))

    async def send(
        self, method: str, path: str, body: Body | None, seconds: float | None = None
    ) -> bytes:
        """The body of a reply with status 200; raises as `post` does."""
        data = None if body is None else msgspec.json.encode(body)
        for tries in range(1, _TRIES + 1):
            try:
                with time_limit(seconds):
                    response = await self._transport.send(method, path, data)
            except TransportError as error:
                raise NoAnswer(str(error)[:_MOST]) from error
            except TimeoutError:
                raise NoAnswer(f"no answer within {seconds:g} s", late=True) from None
            if response.status == 200:
                return response.body
            if response.status not in _BUSY or tries == _TRIES:
                break
            asked = status_error(response).retry_after
            await asyncio.sleep(0.5 if asked is None else min(asked, 2.0))
        raise Refused(response)


def _object(raw: bytes) -> Body:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unusable(f"the reply is no JSON object: {error}") from None
