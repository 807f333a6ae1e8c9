"""HTTP/1.1 by hand: the stub's side of a connection.

One request at a time per connection. A handler runs in a task that is cancelled when its client
goes away, so nothing is sampled for nobody.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

__all__ = ["Connection", "Counters", "Events", "HttpError", "Reply", "Request", "encode", "event"]

_PHRASES = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}
_MOST_HEAD = 65536
_DONE = b"data: [DONE]\n\n"

Events = AsyncGenerator[bytes, None]


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        method: Such as `POST`.
        path: Without the query.
        query: The query's values.
        headers: With names in lower case.
        body: As it came.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


@dataclass
class Reply:
    """What is answered.

    Attributes:
        value: The body: JSON, or bytes; None if there are events.
        status: The HTTP status.
        headers: More headers.
        events: The events of a stream, in place of `value`.
        cut: Break off after so many events, or in the middle of `value`; None never.
    """

    value: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    events: Events | None = None
    cut: int | None = None


class HttpError(Exception):
    """A request that is answered with an error: status and body."""

    def __init__(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status}: {value}")
        self.reply = Reply(value, status, headers or {})


@dataclass
class Counters:
    """What a stub server has seen.

    Attributes:
        requests: How many requests came, by `METHOD path`.
        open: Connections that are open now.
        in_flight: Requests that are being answered now.
        most_in_flight: The most at one time.
        finished: Requests that were answered to the end.
        cancelled: Requests whose client went away before.
        broken: Requests that the server broke off, as its faults say.
        kept: The last thousand requests themselves.
        errors: What the stub itself did wrong.
    """

    requests: Counter[str] = field(default_factory=Counter)
    open: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    finished: int = 0
    cancelled: int = 0
    broken: int = 0
    kept: deque[Request] = field(default_factory=lambda: deque(maxlen=1000))
    errors: list[str] = field(default_factory=list)


Handler = Callable[[Request], Awaitable[Reply]]


class Connection(asyncio.Protocol):
    """The server's side of one connection."""

    def __init__(
        self,
        handler: Handler,
        counters: Counters,
        tasks: set[asyncio.Task[None]],
        connections: set[Connection],
    ) -> None:
        self._handler = handler
        self._counters = counters
        self._tasks = tasks
        self._connections = connections
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._continued = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Counts it."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)
        self._counters.open += 1

    def abort(self) -> None:
        """Closes it at once."""
        self._transport.abort()

    def connection_lost(self, _: Exception | None) -> None:
        """Ends what was being answered."""
        self._connections.discard(self)
        self._counters.open -= 1
        self._writable.set()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Begins to answer as soon as a request is complete."""
        self._buffer += data
        if self._task is None:
            self._next()

    def _next(self) -> None:
        try:
            request = self._parse()
        except (ValueError, UnicodeDecodeError):
            self._send_head(400, {"content-length": "0", "connection": "close"})
            self._transport.close()
            return
        if request is not None:
            self._continued = False
            task = asyncio.get_running_loop().create_task(self._answer(request))
            self._task = task
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._task = None
        if self._buffer and not self._transport.is_closing():
            self._next()

    def _parse(self) -> Request | None:
        """Takes a request off the buffer; None while it is incomplete."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MOST_HEAD:
                raise ValueError("the head is too long")
            return None
        first, *lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body, size = _unchunk(self._buffer, end + 4)
        else:
            size = end + 4 + int(headers.get("content-length", "0"))
            body = bytes(self._buffer[end + 4 : size]) if len(self._buffer) >= size else None
        if body is None:
            if headers.get("expect", "").lower() == "100-continue" and not self._continued:
                self._continued = True
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return None
        del self._buffer[:size]
        where = urlsplit(target)
        return Request(method, where.path, dict(parse_qsl(where.query)), headers, body)

    async def _answer(self, request: Request) -> None:
        counters = self._counters
        counters.requests[f"{request.method} {request.path}"] += 1
        counters.kept.append(request)
        counters.in_flight += 1
        counters.most_in_flight = max(counters.in_flight, counters.most_in_flight)
        try:
            whole = await self._write(await self._handler(request))
        except asyncio.CancelledError:
            counters.cancelled += 1
            raise
        except Exception as e:  # noqa: BLE001 - a policy's mistake: the test has to see it
            counters.errors.append(f"{type(e).__name__}: {e}")
            whole = False
        else:
            counters.finished += whole
            counters.broken += not whole
        finally:
            counters.in_flight -= 1
        if not whole:
            self._transport.abort()
        elif request.headers.get("connection", "").lower() == "close":
            self._transport.close()

    async def _write(self, reply: Reply) -> bool:
        """Sends a reply; whether it was sent to the end."""
        if reply.events is not None:
            return await self._stream(reply, reply.events)
        plain = isinstance(reply.value, bytes)
        body = reply.value if plain else encode(reply.value)
        kind = "text/plain" if plain else "application/json"
        head = {"content-type": kind, "content-length": str(len(body)), **reply.headers}
        self._send_head(reply.status, head)
        self._transport.write(body if reply.cut is None else body[: len(body) // 2])
        if reply.cut is not None:
            await asyncio.sleep(0.01)
        return reply.cut is None

    async def _stream(self, reply: Reply, events: Events) -> bool:
        kind = "text/event-stream; charset=utf-8"
        head = {"content-type": kind, "transfer-encoding": "chunked", **reply.headers}
        self._send_head(reply.status, head)
        sent = 0
        async with aclosing(events):
            async for data in events:
                if sent == reply.cut:
                    await asyncio.sleep(0.01)  # lets what was written go out before the reset
                    return False
                self._chunk(data)
                sent += 1
                if not self._writable.is_set():
                    await self._writable.wait()
        self._chunk(_DONE)
        self._transport.write(b"0\r\n\r\n")
        return True

    def _chunk(self, data: bytes) -> None:
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _send_head(self, status: int, headers: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, 'Error')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._transport.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")


def encode(value: Any) -> bytes:
    """JSON as servers write it."""
    return msgspec.json.encode(value)


def event(value: Any) -> bytes:
    """One event of a stream."""
    return b"data: " + encode(value) + b"\n\n"


def _unchunk(buffer: bytearray, at: int) -> tuple[bytes | None, int]:
    """A chunked body and where it ends; None while it is incomplete."""
    parts: list[bytes] = []
    while (end := buffer.find(b"\r\n", at)) >= 0:
        size = int(bytes(buffer[at:end]).split(b";")[0], 16)
        at = end + 4 + size
        if len(buffer) < at:
            break
        if not size:
            return b"".join(parts), at
        parts.append(bytes(buffer[end + 2 : end + 2 + size]))
    return None, 0
