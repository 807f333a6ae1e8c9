"""Between the workers of a server: a request goes to the process that has its session."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

from athlos.serve.app import Scope
from athlos.serve.refused import Refused
from athlos.serve.replays import Answered
from athlos.serve.route import Route
from athlos.timeouts import time_limit

__all__ = ["Relay"]

_GRACE = 30.0  # seconds beyond what the other process allows itself
_CONNECT = 10.0
_LIMIT = 256 << 20  # bytes of a reply
_DROPPED = frozenset((b"connection", b"content-length", b"transfer-encoding", b"expect", b"date"))
_IDLE = 64

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """Hands requests to the other workers, over their Unix sockets.

    The name of a session begins with the number of its worker. A request with a key and without a
    session goes to the worker that the key chooses, so that a repeated one meets the first.

    Args:
        number: Of this worker.
        peers: The sockets of all workers, by number.
        longest: Seconds that a request without a limit of its own may take.
    """

    def __init__(self, number: int, peers: list[str], longest: float) -> None:
        self.number = number
        self._peers = peers
        self._longest = longest
        self._idle: list[list[Streams]] = [[] for _ in peers]

    @property
    def prefix(self) -> str:
        """With which the names of this worker's sessions begin."""
        return f"{self.number}."

    async def forward(
        self, scope: Scope, route: Route, session: str, key: tuple[str, bytes] | None, body: bytes
    ) -> Answered | None:
        """The reply of the worker whose request it is; None if that is this one.

        Raises:
            Refused: That worker does not answer.
        """
        if session:
            head = session.partition(".")[0]
            owner = int(head) if head.isascii() and head.isdigit() and len(head) < 4 else -1
        elif key is not None:
            owner = zlib.crc32(key[1]) % len(self._peers)
        else:
            return None
        if owner == self.number or not 0 <= owner < len(self._peers):
            return None
        seconds = (route.timeout or self._longest) + _GRACE
        return await self.ask(owner, scope["method"], scope["raw_path"], scope, body, seconds)

    async def ask(
        self, owner: int, method: str, path: bytes, scope: Scope, body: bytes, seconds: float
    ) -> Answered:
        """Sends a request to a worker.

        Raises:
            Refused: It does not answer.
        """
        lines = [b"%b %b HTTP/1.1" % (method.encode(), path)]
        lines += [b"%b: %b" % pair for pair in scope["headers"] if pair[0] not in _DROPPED]
        lines.append(b"content-length: %d\r\n\r\n" % len(body))
        streams = None
        try:
            with time_limit(seconds):
                streams = await self._connect(owner)
                reader, writer = streams
                writer.write(b"\r\n".join(lines) + body)
                answered = _read(await reader.readuntil(b"\r\n\r\n"))
                length, found = answered
                found = found._replace(body=await reader.readexactly(length))
        except (OSError, EOFError, asyncio.LimitOverrunError, TimeoutError, ValueError):
            if streams is not None:
                streams[1].close()
            raise Refused(
                502, "worker_lost", "the process that had this session does not answer",
                failure_class="engine_error", retryable=True,
            ) from None  # fmt: skip
        except BaseException:
            if streams is not None:
                streams[1].close()
            raise
        if len(self._idle[owner]) < _IDLE:
            self._idle[owner].append(streams)
        else:
            writer.close()
        return found

    def close(self) -> None:
        """Closes the idle connections."""
        for idle in self._idle:
            for _, writer in idle:
                writer.close()
            idle.clear()

    async def _connect(self, owner: int) -> Streams:
        idle = self._idle[owner]
        while idle:
            reader, writer = idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        with time_limit(_CONNECT):
            return await asyncio.open_unix_connection(self._peers[owner], limit=_LIMIT)


def _read(head: bytes) -> tuple[int, Answered]:
    first, *lines = head.split(b"\r\n")[:-2]
    length = 0
    kind = b"application/json"
    headers: list[tuple[bytes, bytes]] = []
    for line in lines:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip()
        if name == b"content-length":
            length = int(value)
        elif name == b"content-type":
            kind = value
        elif name not in _DROPPED:
            headers.append((name, value))
    status = int(first.split(b" ")[1])
    made: Any = Answered(status, b"", kind, headers=tuple(headers))
    return length, made
