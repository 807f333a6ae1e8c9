"""One program in a sandbox, from what it is given to what came of it."""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import termios
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec

from athlos.errors import SandboxError
from athlos.sandbox.limits import Killed, Limits, Result
from athlos.sandbox.link import Link, Report, memory_file
from athlos.timeouts import time_limit

__all__ = [
    "FLOOD",
    "GRACE",
    "Capture",
    "await_report",
    "finish",
    "run_job",
    "spec_file",
    "to_bytes",
    "word",
]

FLOOD = 16  # times the limit of output: then the program is killed
GRACE = 10.0  # seconds that the guest has to report the end of a job whose time is over
_CHUNK = 1 << 16


class Capture:
    """What comes out of a pipe, up to a limit; what is beyond is counted and thrown away."""

    def __init__(self, limit: int, on_flood: Callable[[], None]) -> None:
        self._limit, self._on_flood = limit, on_flood
        self._loop = asyncio.get_running_loop()
        self._kept, self._seen = bytearray(), 0
        self._fd, self._inlet = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self._inlet, True)
        self._reading = True
        self._loop.add_reader(self._fd, self._read)

    def inlet(self) -> int:
        """Where to write to; whoever asked closes it."""
        fd, self._inlet = self._inlet, -1
        return fd

    def take(self) -> tuple[bytes, bool]:
        """What came until now, and whether something was cut; begins anew."""
        waiting = array.array("i", [0])
        fcntl.ioctl(self._fd, termios.FIONREAD, waiting)
        left = waiting[0]  # and no more, or a program that goes on writing would hold this up
        while left > 0 and self._reading:
            left -= self._read(min(left, _CHUNK))
        taken, cut = bytes(self._kept), self._seen > self._limit
        self._kept, self._seen = bytearray(), 0
        return taken, cut

    def close(self) -> None:
        """Reads no more."""
        self._stop()
        for fd in (self._fd, self._inlet):
            if fd >= 0:
                os.close(fd)

    def _read(self, size: int = _CHUNK) -> int:
        try:
            data = os.read(self._fd, size)
        except BlockingIOError:
            return size
        if not data:
            self._stop()
            return size
        before, self._seen = self._seen, self._seen + len(data)
        if len(self._kept) < self._limit:
            self._kept += data[: self._limit - len(self._kept)]
        if before <= FLOOD * self._limit < self._seen:
            self._on_flood()
        return len(data)

    def _stop(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)


def spec_file(spec: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> int:
    """What a job is to do, as a descriptor that only the job reads."""
    head = msgspec.json.encode({**spec, "blobs": [len(blob) for blob in blobs]})
    return memory_file(b"".join([len(head).to_bytes(8, "big"), head, *blobs]))


async def run_job(
    link: Link,
    limits: Limits,
    spec: Mapping[str, Any],
    blobs: Sequence[bytes] = (),
    *,
    stdin: bytes = b"",
    seconds: float | None = None,
    private: bool = False,
) -> tuple[Result, bytes]:
    """Runs one program to its end; the result, and standard output as bytes.

    Raises:
        SandboxError: The sandbox failed.
    """
    seconds = limits.seconds if seconds is None else seconds
    job = 0
    captures: list[Capture] = []
    fds: list[int] = []

    def flood() -> None:
        link.tell("kill", job, why="output")

    ended = False
    try:
        try:
            fds.append(spec_file(spec, blobs))
            fds.append(memory_file(stdin))
            for _ in range(2):
                captures.append(Capture(limits.output, flood))
        except OSError as error:  # no descriptors or no memory left here
            raise SandboxError(f"a program could not be given to a sandbox: {error}") from error
        passed = (*fds, *(one.inlet() for one in captures))
        fds.clear()  # whoever starts the job closes them
        job, waiting = link.start(
            passed, seconds=seconds, cpu_seconds=limits.cpu_seconds, private=private
        )
        report = await await_report(waiting, seconds + GRACE)
        ended = True
        out, err = (one.take() for one in captures)
        return finish(report, out, err), out[0]
    finally:
        if not ended and job and not link.lost:
            link.tell("kill", job, why="closed")
        for one in captures:
            one.close()
        for fd in fds:
            os.close(fd)


async def await_report(waiting: asyncio.Future[Report], seconds: float | None) -> Report:
    """The report on a job that must have ended by then.

    Raises:
        SandboxError: There was none, or the job could not be set up.
    """
    try:
        with time_limit(seconds):
            report = await waiting
    except TimeoutError:
        raise SandboxError(
            f"the sandbox did not report the end of a program within {seconds:g} s"
        ) from None
    if report.error:
        raise SandboxError(f"the sandbox could not start a program: {report.error}")
    if report.killed == "closed":
        raise SandboxError("the sandbox was closed while a program ran in it")
    return report


def finish(report: Report, out: tuple[bytes, bool], err: tuple[bytes, bool]) -> Result:
    """A report and the captured output as a result."""
    return Result(
        exit_code=report.exit,
        stdout=out[0].decode(errors="replace"),
        stderr=err[0].decode(errors="replace"),
        killed_for=cast("Killed", report.killed),
        truncated=out[1] or err[1],
        seconds=report.seconds,
        cpu_seconds=report.cpu,
        max_memory=report.memory,
    )


def to_bytes(data: bytes | str) -> bytes:
    """Bytes of what may be text; surrogates stand for bytes that are no UTF-8, or for nothing."""
    if isinstance(data, bytes):
        return data
    try:
        return data.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return data.encode(errors="replace")


def word(data: bytes | str) -> str:
    """An argument, a path or a variable as the guest takes it: a character for each byte."""
    return to_bytes(data).decode("latin-1")
