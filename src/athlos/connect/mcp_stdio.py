"""A program that speaks MCP over its standard input and output, from start to certain end."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from athlos.errors import ConfigError

__all__ = ["Program", "clean_environment"]

_SUPERVISOR = Path(__file__).parents[1] / "sandbox" / "supervisor.py"
_KEPT = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER")
_LARGEST = 64 << 20  # bytes of a message
_TAIL = 1000  # characters of standard error that are shown
_KEEP = 1 << 14  # bytes of it that are kept, so that a secret is not cut in two
_SHORTEST_SECRET = 8  # characters: to black out less would garble the text
_LEAVE = 2.0  # seconds in which it may end by itself, when nobody speaks to it any more
_END = 20.0  # ... in which its supervisor must have ended everything


def clean_environment(names: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """The variables of a program: those of any program, those named, those given.

    Raises:
        ConfigError: One that is named is not set.
    """
    found = {name: os.environ[name] for name in _KEPT if name in os.environ}
    for name in names:
        if name not in os.environ:
            raise ConfigError(f"the variable {name}, which an MCP server is to have, is not set")
        found[name] = os.environ[name]
    return {**found, **given}


class Program:
    """A program, started with a supervisor that ends all of its processes.

    Args:
        argv: The command.
        env: All of its environment variables.
        cwd: Where it starts.

    Raises:
        ConfigError: There is no such program, or no such folder.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: str | None) -> None:
        path = shutil.which(argv[0], path=env.get("PATH", os.defpath))
        if path is None:
            raise ConfigError(
                f"there is no program {argv[0]!r} to start as an MCP server",
                hint="Is it installed, and on the PATH?",
            )
        loop = asyncio.get_running_loop()
        self._flaw = ""
        self._errors = b""
        self._secrets = [
            value for name, value in env.items()
            if name not in _KEPT and len(value) >= _SHORTEST_SECRET
        ]  # fmt: skip
        self._ended: asyncio.Future[None] = loop.create_future()
        pairs = [socket.socketpair() for _ in range(4)]
        control, stdin, stdout, stderr = (theirs for _, theirs in pairs)
        self._control, self._input, self._output, self._log = (ours for ours, _ in pairs)
        command = [sys.executable, "-I", "-S", str(_SUPERVISOR), str(control.fileno()), ""]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - words of a list, and no shell
                [*command, str(Path(path).absolute()), *argv[1:]], env=dict(env), cwd=cwd,
                stdin=stdin.fileno(), stdout=stdout.fileno(), stderr=stderr.fileno(),
                pass_fds=[control.fileno()], start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            for ours, _ in pairs:
                ours.close()
            raise ConfigError(f"the MCP server {argv[0]!r} cannot be started: {error}") from error
        finally:
            for _, theirs in pairs:
                theirs.close()
        self._log.setblocking(False)
        loop.add_reader(self._log.fileno(), self._keep)
        self._pidfd = os.pidfd_open(self._process.pid)
        loop.add_reader(self._pidfd, self._collect)

    @property
    def ended(self) -> bool:
        """Whether nothing of it is left."""
        return self._ended.done()

    def last_words(self) -> str:
        """How it ended, and the end of what it wrote to standard error."""
        words = self._errors.decode(errors="replace").strip()
        for secret in self._secrets:
            words = words.replace(secret, "[secret]")
        return "; ".join(filter(None, (self._flaw, words[-_TAIL:])))

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[tuple[Any, Any]]:
        """What the SDK reads from and writes to; at the end nothing of the program is left."""
        arriving, reading = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        writing, leaving = anyio.create_memory_object_stream[SessionMessage](0)
        tasks: list[asyncio.Task[None]] = []
        writers: list[asyncio.StreamWriter] = []
        try:
            _, writer = await asyncio.open_connection(sock=self._input)
            writers.append(writer)
            reader, other = await asyncio.open_connection(sock=self._output, limit=_LARGEST)
            writers.append(other)
            tasks = [
                asyncio.create_task(self._listen(reader, arriving)),
                asyncio.create_task(self._speak(leaving, writer, arriving)),
            ]
            yield reading, writing
        finally:
            for end, opened in zip(
                (self._input, self._output), (*writers, None, None), strict=False
            ):
                if opened is None:
                    end.close()
            for opened in writers[:1]:
                opened.close()  # the end of its input asks it to end
            try:
                await self._end()
            finally:
                for opened in writers[1:]:
                    opened.close()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                for stream in (arriving, reading, writing, leaving):
                    stream.close()

    async def _listen(self, reader: asyncio.StreamReader, arriving: Any) -> None:
        with arriving, suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            while True:
                try:
                    line = await reader.readline()
                except ValueError:
                    self._flaw = f"it sent a message of more than {_LARGEST >> 20} MiB"
                    return
                if not line:
                    return
                try:
                    message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError:
                    continue  # something was printed that is no message
                await arriving.send(SessionMessage(message))

    async def _speak(self, leaving: Any, writer: asyncio.StreamWriter, arriving: Any) -> None:
        try:
            async for sent in leaving:
                text = sent.message.model_dump_json(by_alias=True, exclude_unset=True)
                writer.write(text.encode() + b"\n")
                await writer.drain()
        except OSError:
            pass
        finally:
            arriving.close()  # nobody hears us: those who wait for a reply are told

    async def _end(self) -> None:
        """Ends all of its processes, and waits until they are gone."""
        try:
            await asyncio.wait((self._ended,), timeout=_LEAVE)
        finally:
            self._hang_up()  # the supervisor does it, whatever we do
        await asyncio.wait((self._ended,), timeout=_END)
        if not self._ended.done():
            self._process.kill()
            await self._ended

    def _hang_up(self) -> None:
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)

    def _keep(self) -> bool:
        """Takes more of standard error; whether there was some."""
        try:
            data = self._log.recv(1 << 16)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._log.fileno())
        self._errors = (self._errors + data)[-_KEEP:]
        return bool(data)

    def _collect(self) -> None:
        """The supervisor has ended, and with it everything."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        while self._keep():  # nobody is left who writes
            pass
        loop.remove_reader(self._log.fileno())
        self._control.setblocking(False)
        with suppress(OSError):
            self._flaw = self._flaw or _how(self._control.recv(4096).decode())
        self._process.wait()  # which takes no time any more
        for end in (self._control, self._log):
            end.close()
        self._ended.set_result(None)


def _how(said: str) -> str:
    """What the supervisor says of the end."""
    for line in said.splitlines():
        word, _, rest = line.partition(" ")
        if word == "error":
            return f"it could not be started: {rest}"
        if word == "exit" and rest.startswith("-"):
            return f"it was ended by {signal.Signals(-int(rest)).name}"
        if word == "exit":
            return f"it ended with exit code {rest}"
    return ""
