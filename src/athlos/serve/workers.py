"""Several processes behind one port. Run as a module, this is one of them.

All accept from the same socket; a session lives in the process that opened it, and the others hand
its requests over (see `relay`). What a worker must know comes through its standard input, secrets
included: they are in no argument list and no environment. When that input ends, so does the worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from athlos.errors import AthlosError, ConfigError
from athlos.gateway.listen import listen
from athlos.serve.options import Options
from athlos.serve.relay import Relay
from athlos.serve.server import Server, check_token, url_of
from athlos.timeouts import time_limit

__all__ = ["Workers", "serve_until"]

_START = 120.0  # seconds
_END = 70.0  # seconds beyond the drain, for `teardown`
_PAUSE = 0.5  # seconds before a worker that died is started again


class _Hello(Struct):
    """What a worker is told."""

    options: Options
    token: str | None
    number: int
    descriptor: int
    peers: list[str]
    folders: list[str]


class Workers:
    """Starts the processes of a server and starts those again that die.

    Args:
        options: What to serve; `workers` says how many.
        token: Opens the server; None lets everybody in who can reach it.
        hidden: Environment variables that the workers do not get.
        say: Tells a person what happens.

    Attributes:
        url: Once they listen.
        restarts: How many died and were started again.

    Raises:
        ConfigError: The port is taken, or others could reach the server without a token.
    """

    def __init__(
        self,
        options: Options,
        *,
        token: str | None,
        hidden: tuple[str, ...] = (),
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        check_token(options.host, token)
        self.restarts = 0
        self._options = options
        self._token = token
        self._say = say
        self._hidden = hidden
        self._listener = listen(options.host, options.port)
        self._listener.listen(4096)
        self.url = url_of(self._listener)
        self._folder = Path(tempfile.mkdtemp(prefix="athlos-serve-"))
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._watching: list[asyncio.Task[None]] = []
        self._ending = False

    @property
    def pids(self) -> list[int]:
        """Of the workers that run, by number."""
        return [process.pid for _, process in sorted(self._processes.items())]

    async def start(self) -> None:
        """Starts all; returns when all answer.

        Raises:
            ConfigError: One does not start.
        """
        try:
            numbers = range(self._options.workers)
            await asyncio.gather(*(self._begin(number) for number in numbers))
        except BaseException:
            await self.close(0)
            raise
        self._watching = [asyncio.create_task(self._watch(number)) for number in numbers]

    async def close(self, drain: float) -> None:
        """Tells all to end, and waits until they have."""
        self._ending = True
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        try:
            with time_limit(drain + _END):
                for process in list(self._processes.values()):
                    await process.wait()
        except (TimeoutError, asyncio.CancelledError):
            for process in self._processes.values():
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            raise
        finally:
            for task in self._watching:
                task.cancel()
            self._listener.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def hurry(self) -> None:
        """Tells all to end without waiting for attempts."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)

    async def _begin(self, number: int) -> None:
        environ = {k: v for k, v in os.environ.items() if k not in self._hidden}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "athlos.serve.workers",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environ,
            pass_fds=(self._listener.fileno(),), start_new_session=True,
        )  # fmt: skip
        self._processes[number] = process
        assert process.stdin is not None
        assert process.stdout is not None
        peers = [str(self._folder / f"{n}.sock") for n in range(self._options.workers)]
        descriptor = self._listener.fileno()
        hello = _Hello(self._options, self._token, number, descriptor, peers, sys.path)
        process.stdin.write(msgspec.json.encode(hello) + b"\n")
        line = b""
        with contextlib.suppress(TimeoutError, OSError), time_limit(_START):
            await process.stdin.drain()
            line = await process.stdout.readline()
        if line.strip() != b"ready":
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise _told(line, number)

    async def _watch(self, number: int) -> None:
        while True:
            await self._processes[number].wait()
            if self._ending:
                return
            code = self._processes[number].returncode
            self._say(f"worker {number} ended with {code}; its sessions are lost; starting another")
            await asyncio.sleep(_PAUSE)
            with contextlib.suppress(ConfigError):
                await self._begin(number)
                self.restarts += 1


def _told(line: bytes, number: int) -> ConfigError:
    """Why a worker did not start, by what it said last."""
    try:
        message, hint = msgspec.json.decode(line, type=tuple[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = line.decode(errors="replace").strip()
        return ConfigError(said or f"worker {number} of the server did not start")
    return ConfigError(message, hint=hint)


async def serve_until(
    server: Server, asked: asyncio.Event, at_once: asyncio.Event, drain: float
) -> None:
    """Serves until it is asked to end; then attempts may go on for a while, unless it must hurry.

    Args:
        server: Has started.
        asked: Set to end it.
        at_once: Set to end it without waiting.
        drain: Seconds.
    """
    await asked.wait()
    draining = asyncio.ensure_future(server.drain(drain))
    hurry = asyncio.ensure_future(at_once.wait())
    await asyncio.wait((draining, hurry), return_when=asyncio.FIRST_COMPLETED)
    draining.cancel()
    hurry.cancel()
    await server.close()


async def _work() -> None:
    loop = asyncio.get_running_loop()
    asked, at_once = asyncio.Event(), asyncio.Event()

    def interrupted() -> None:
        (at_once if asked.is_set() else asked).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted)
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    with time_limit(_START):
        hello = msgspec.json.decode(await reader.readline(), type=_Hello)
    sys.path[:] = hello.folders  # a reference may be a module beside the program
    listener = socket.socket(fileno=hello.descriptor)
    listener.setblocking(False)
    inner = socket.socket(socket.AF_UNIX)
    with contextlib.suppress(FileNotFoundError):  # of a worker that died
        os.unlink(hello.peers[hello.number])  # noqa: PTH108
    inner.bind(hello.peers[hello.number])
    inner.setblocking(False)
    options = hello.options
    relay = Relay(hello.number, hello.peers, options.deadline)
    server = Server(options, token=hello.token, listener=listener, relay=(relay, inner))
    await server.start()
    print("ready", flush=True)  # noqa: T201 - for the process that started this one

    async def orphaned() -> None:
        await reader.read()
        asked.set()
        at_once.set()

    watching = asyncio.create_task(orphaned())
    try:
        await serve_until(server, asked, at_once, options.drain)
    finally:
        watching.cancel()


def run(main: Any) -> None:
    """Runs on uvloop, whose sockets cost a fraction of asyncio's own."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


if __name__ == "__main__":
    try:
        run(_work())
    except AthlosError as error:
        print(msgspec.json.encode([error.message, error.hint]).decode(), flush=True)  # noqa: T201
        sys.exit(2)
