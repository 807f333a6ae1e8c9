"""A program under way: its output, its end, and that nothing of it stays behind."""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from athlos.errors import AgentError
from athlos.timeouts import time_limit

__all__ = ["FLOOD", "Program"]

FLOOD = 64 << 20  # bytes of output: a program that writes more is ended
_END = 20.0  # seconds in which a supervisor must have ended everything
_CHUNK = 1 << 16
_SLACK = 8192  # bytes that are kept beside the tail, so that a secret is not cut in two
_SUPERVISOR = Path(__file__).parents[1] / "sandbox" / "supervisor.py"


class Program:
    """A program, started with a supervisor that ends all of its processes.

    Args:
        argv: The command; the first word is a path.
        env: All of its environment variables.
        cwd: Where it starts.
        stdin: A file with what it reads.
        folder: That it was given, and whose path is in its environment.
        remove: Whether the folder is removed in the end.
        tail: Characters to keep of each of its outputs.

    Attributes:
        left: Processes that could not be ended.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        stdin: Path,
        folder: Path,
        remove: bool,
        tail: int,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.left = 0
        self._folder = folder
        self._remove = remove
        self._written = 0
        self._said = b""
        self._ended: asyncio.Future[int] = loop.create_future()
        self._ended.add_done_callback(lambda ended: ended.exception())  # seen, waited for or not
        self._gone: asyncio.Future[None] = loop.create_future()
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)
        self._outputs: tuple[_Tail, ...] = ()
        try:
            with theirs, stdin.open("rb") as file:
                command = [
                    sys.executable, "-I", "-S", str(_SUPERVISOR), str(theirs.fileno()),
                    str(folder) if remove else "", *argv,
                ]  # fmt: skip
                for _ in range(2):
                    self._outputs += (_Tail(tail, self._count),)
                out, err = (output.inlet for output in self._outputs)
                self._process = subprocess.Popen(  # noqa: S603 - words of a list, and no shell
                    command, env=dict(env), cwd=cwd, stdin=file, stdout=out, stderr=err,
                    pass_fds=[theirs.fileno()], start_new_session=True,
                )  # fmt: skip
        except (OSError, ValueError) as error:
            for output in self._outputs:
                output.close()
            self._control.close()
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise AgentError(f"the program could not be started: {why}") from error
        for output in self._outputs:
            output.begin()
        loop.add_reader(self._control.fileno(), self._hear)
        self._pidfd = os.pidfd_open(self._process.pid)
        loop.add_reader(self._pidfd, self._collect)

    async def wait(self) -> int:
        """The exit code; minus the number of a signal.

        Raises:
            AgentError: It could not be started, or wrote too much, or killed its supervisor.
        """
        return await asyncio.shield(self._ended)

    async def end(self) -> None:
        """Ends all of its processes, and waits until they are gone. May be called twice."""
        if not self._gone.done():
            with suppress(OSError):
                self._control.shutdown(socket.SHUT_WR)  # the supervisor does it, whatever we do
        try:
            with time_limit(_END):
                await asyncio.shield(self._gone)
        except TimeoutError:
            if self._gone.done():
                raise
            self._process.kill()
        finally:
            for output in self._outputs:
                output.close()

    def output(self, secrets: Iterable[str]) -> tuple[str, str]:
        """The ends of standard output and standard error, secrets made unreadable."""
        out, err = (output.text(list(secrets)) for output in self._outputs)
        return out, err

    def _count(self, size: int) -> None:
        self._written += size
        if self._written > FLOOD:
            self._fail(f"the program wrote more than {FLOOD >> 20} MiB of output")
            with suppress(OSError):
                self._control.shutdown(socket.SHUT_WR)

    def _fail(self, message: str) -> None:
        if not self._ended.done():
            self._ended.set_exception(AgentError(message))

    def _hear(self) -> None:
        """What the supervisor says."""
        try:
            data = self._control.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            return
        *lines, self._said = (self._said + data).split(b"\n")
        for line in lines:
            word, _, rest = line.decode().partition(" ")
            if word == "error":
                self._fail(f"the program could not be started: {rest}")
            elif word == "left":
                self.left = int(rest)
            elif word == "exit" and not self._ended.done():
                self._ended.set_result(int(rest))

    def _collect(self) -> None:
        """The supervisor has ended."""
        self._hear()  # its last words are a few bytes
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        loop.remove_reader(self._control.fileno())
        self._control.close()
        self._process.wait()  # which takes no time any more
        if self._process.returncode:
            _sweep(os.fsencode(self._folder))
            if self._remove:
                shutil.rmtree(self._folder, ignore_errors=True)
        self._fail("the program ended the process that watches it")
        self._gone.set_result(None)


class _Tail:
    """The end of what comes out of a pipe."""

    def __init__(self, keep: int, on_data: Callable[[int], None]) -> None:
        self._keep = keep
        self._on_data = on_data
        self._kept = bytearray()
        self._cut = False
        self._loop = asyncio.get_running_loop()
        self._fd, self.inlet = os.pipe2(os.O_CLOEXEC)
        self._reading = False

    def begin(self) -> None:
        """The program has its end of the pipe."""
        os.close(self.inlet)
        self.inlet = -1
        os.set_blocking(self._fd, False)
        self._loop.add_reader(self._fd, self._read)
        self._reading = True

    def close(self) -> None:
        """Takes what is there, and reads no more."""
        if self._reading:
            waiting = array.array("i", [0])
            fcntl.ioctl(self._fd, termios.FIONREAD, waiting)
            while waiting[0] > 0 and self._reading:  # and no more, if somebody goes on writing
                waiting[0] -= self._read()
        self._stop()
        for fd in (self._fd, self.inlet):
            if fd >= 0:
                os.close(fd)
        self._fd = self.inlet = -1

    def text(self, secrets: Sequence[str]) -> str:
        """What was kept, with a word in the place of each secret."""
        text = self._kept.decode(errors="replace")
        for secret in secrets:
            text = text.replace(secret, "[secret]")
        if self._cut:  # it may begin with a part of one
            text = text[max(map(len, secrets), default=0) :]
        return text[-self._keep :]

    def _read(self) -> int:
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return _CHUNK
        if not data:
            self._stop()
            return _CHUNK
        self._kept += data
        room = self._keep + _SLACK
        if len(self._kept) > room:
            self._cut = True
            del self._kept[:-room]
        self._on_data(len(data))
        return len(data)

    def _stop(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)


def _sweep(mark: bytes) -> None:
    """Kills what has the mark in its environment, after a supervisor that was killed."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            with suppress(OSError):
                if mark in (process / "environ").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)
