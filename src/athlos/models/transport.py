"""The one seam between a model client and the outside: a request goes in, a reply comes out.

Implementations: `HttpTransport` (any server), `LocalTransport` (llama.cpp in this process) and
`athlos.testing.FakeTransport` (a function; for tests, ours and yours).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, NamedTuple, Protocol

__all__ = ["Exchange", "Response", "Transport", "TransportError"]

FaultKind = Literal["connect", "reset", "timeout", "protocol"]


class Response(NamedTuple):
    """A complete reply. Header names are lower case; of a 200 the headers may be left out."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class TransportError(Exception):
    """No reply: the connection could not be made, broke, timed out or spoke nonsense."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message

    def __str__(self) -> str:
        return self.message


class Transport(Protocol):
    """Sends requests to one backend.

    Paths are relative to the backend's `/v1` base; with `//` at the start, to the server's root.
    """

    async def send(self, method: str, path: str, body: bytes | None = None) -> Response:
        """Sends one request and returns the whole reply, whatever its status.

        Raises:
            TransportError: There was no complete reply.
        """
        ...

    async def close(self) -> None:
        """Frees connections, threads and memory. May be called twice."""
        ...


Exchange = Callable[[Transport, float, float], Awaitable[Response]]
"""Sends a request in a way of its own; gets the seconds until the reply must begin, and end."""
