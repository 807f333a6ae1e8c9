"""Listening for HTTP: a socket, and the server that reads what comes on it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

from athlos.errors import ConfigError

__all__ = ["listen", "make_server"]

_BACKLOG = 4096
_KEEP_ALIVE = 75  # seconds
_DRAIN = 5  # seconds
_HEAD = 64 << 10  # bytes
_ARRIVAL = 120.0  # seconds that a request may take to arrive, and a connection to send one


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound; the server begins to listen on it.

    Raises:
        ConfigError: The port is taken, or the address is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            hint="Another --port, or 0 for a free one?",
        ) from error
    listener.setblocking(False)
    return listener


def make_server(app: Any, what: str) -> Any:
    """A server for an ASGI application: `serve([socket])`, `ready`, `should_exit`.

    Args:
        app: Answers requests.
        what: Needs the server, for an error.

    Raises:
        ConfigError: The extra `serve` is not installed.
    """
    try:
        import uvicorn
        import uvicorn.protocols.http.httptools_impl as http
    except ImportError as error:
        raise ConfigError(
            f"{what} needs the library {error.name}, which is not installed",
            hint="pip install 'athlos[serve]'",
        ) from error

    class Server(uvicorn.Server):
        ready: asyncio.Event

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            self.ready.set()

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # signals are the program's

    class Connection(http.HttpToolsProtocol):
        """Bounds the length of a request's head, and the time that a request takes to arrive."""

        late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.late = self.loop.call_later(_ARRIVAL, self.give_up)

        def connection_lost(self, exc: Exception | None) -> None:
            self.in_time()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self.head = 0
            if self.late is None:
                self.late = self.loop.call_later(_ARRIVAL, self.give_up)

        def on_message_complete(self) -> None:
            self.in_time()
            super().on_message_complete()

        def in_time(self) -> None:
            if self.late is not None:
                self.late.cancel()
                self.late = None

        def give_up(self) -> None:
            self.transport.close()

        def on_url(self, url: bytes) -> None:
            self._count(len(url))
            super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            self._count(len(name) + len(value))
            super().on_header(name, value)

        def _count(self, length: int) -> None:
            self.head += length
            if self.head > _HEAD:
                raise ValueError("the head of the request is too long")

    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_DRAIN,
    )
    return Server(config)
