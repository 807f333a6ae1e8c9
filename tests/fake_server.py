"""A fake chat-completions server on a real socket, which misbehaves if told to. For tests only."""

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

Answer = dict[str, Any]


def text(content: str, **message: Any) -> Answer:
    """A completion that says something."""
    return completion({"role": "assistant", "content": content, **message}, "stop")


def tool_call(name: str, arguments: str, call_id: str = "call_1") -> Answer:
    """A completion that calls a tool."""
    function = {"name": name, "arguments": arguments}
    call = {"id": call_id, "type": "function", "function": function}
    return completion({"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls")


def completion(message: dict[str, Any], reason: str) -> Answer:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "fake",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


class Fault:
    """What a server does instead of answering."""

    def __init__(
        self,
        status: int = 0,
        *,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        reset: bool = False,
        hang: bool = False,
    ) -> None:
        self.status = status
        self.headers = headers or {}
        self.body = body
        self.reset = reset
        self.hang = hang


Policy = Callable[[dict[str, Any]], Answer]
Chaos = Callable[[int, int], Fault | None]  # number of the request, number of its connection


class FakeServer:
    """Serves `policy(request)` on 127.0.0.1 in a thread; `chaos` may put a fault in its place.

    Attributes:
        requests: Bodies of the chat requests, in the order of arrival.
        authorizations: The `Authorization` header of each, or None.
        outage: What happens to every chat request while it is set. Requests that an outage made
            hang are answered, late, when it ends.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        chaos: Chaos | None = None,
        latency: float = 0.0,
        models: tuple[str, ...] = ("fake",),
        api_key: str | None = None,
        port: int = 0,
    ) -> None:
        self.port = port  # of one that was there before; 0 takes any
        self.outage: Fault | None = None
        self._policy = policy
        self._chaos = chaos
        self._latency = latency
        self._models = models
        self._api_key = api_key
        self._connections = 0
        self._count = 0
        self.requests: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.in_flight = 0
        self.most_in_flight = 0

    def __enter__(self) -> "FakeServer":
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        started = self._started = threading.Event()
        self._thread.start()
        started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())
        self._loop.close()

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connection, "127.0.0.1", self.port, backlog=4096)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._connections += 1
        connection = self._connections
        try:
            while True:
                await self._request(reader, writer, connection)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        _, path, _ = head.split("\r\n", 1)[0].split(" ")
        headers = {
            k.strip().lower(): v.strip()
            for k, _, v in (line.partition(":") for line in head.split("\r\n")[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if self._api_key and headers.get("authorization") != f"Bearer {self._api_key}":
            return await _write(writer, 401, {}, b'{"error":{"message":"bad key"}}')
        if path.endswith("/models"):
            data = [{"id": name, "object": "model"} for name in self._models]
            return await _write(writer, 200, {}, json.dumps({"data": data}).encode())
        self._count += 1
        request = json.loads(body)
        self.requests.append(request)
        self.authorizations.append(headers.get("authorization"))
        fault = self.outage
        if fault is None and self._chaos:
            fault = self._chaos(self._count, connection)
        self.in_flight += 1
        self.most_in_flight = max(self.in_flight, self.most_in_flight)
        try:
            if self._latency:
                await asyncio.sleep(self._latency)
        finally:
            self.in_flight -= 1
        while fault is not None and fault is self.outage and fault.hang:
            await asyncio.sleep(0.05)
            if fault is not self.outage:
                fault = None
        if fault is None:
            answer = json.dumps(self._policy(request)).encode()
            return await _write(writer, 200, {}, answer)
        if fault.hang:
            await asyncio.sleep(3600)
        if fault.reset:
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            raise ConnectionError
        return await _write(writer, fault.status, fault.headers, fault.body)


async def _write(
    writer: asyncio.StreamWriter, status: int, headers: dict[str, str], body: bytes
) -> None:
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    await writer.drain()
