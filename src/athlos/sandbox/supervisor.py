"""Runs beside a program: starts it, and in the end kills whatever it started.

Nothing imports this file: Python runs it, with the standard library only. Orphans of the program
become children of this process, also those that made themselves daemons, so none is lost sight of.
It ends the program when the other end of its control socket is closed, as that of a killed Athlos
is, and says on it, a line each:

    error WHY      the program could not be started
    left N         so many processes could not be ended
    exit CODE      the program's, or minus the number of the signal that killed it

Arguments: the control socket's descriptor, a folder to remove in the end or "", the command.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import socket
import sys
import time

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, linux/prctl.h
_SECONDS = 10.0  # to end all processes
_PAUSE = 0.005
_ROUNDS = 50  # of looking for processes that were started meanwhile
_RESET = ("SIGHUP", "SIGINT", "SIGPIPE", "SIGQUIT", "SIGTERM", "SIGXFSZ")


class Supervisor:
    """Watches one program."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.pid = 0
        self.code: int | None = None

    def run(self, command: list[str]) -> None:
        """Until the program and all that it started have ended."""
        for name in ("SIGHUP", "SIGINT", "SIGTERM"):  # the program's parent is easy to find
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        if ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0):
            self.say("error the kernel does not let it be watched")
            return
        wake, waker = os.pipe()
        os.set_blocking(waker, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        reset = [getattr(signal, name) for name in _RESET]
        try:
            self.pid = os.posix_spawn(command[0], command, os.environ, setsid=True, setsigdef=reset)
        except OSError as error:
            self.say(f"error {error.strerror}")
            return
        poll = select.poll()  # descriptors may be above 1023
        poll.register(self.control, select.POLLIN)
        poll.register(wake, select.POLLIN)
        while self.code is None:
            ready = [fd for fd, _ in poll.poll()]
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 512)
            self.reap()
            if self.control.fileno() in ready and not self.hears():
                break
        left = self.end_all()
        if left:
            self.say(f"left {left}")
        if self.code is not None:
            self.say(f"exit {self.code}")

    def hears(self) -> bytes:
        """What Athlos says: nothing, but that it is over."""
        try:
            return self.control.recv(512)
        except OSError:
            return b""

    def say(self, line: str) -> None:
        """Tells Athlos, if it is still there."""
        with contextlib.suppress(OSError):
            self.control.sendall(line.encode() + b"\n")

    def reap(self) -> bool:
        """Collects children that have ended; whether there are others."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            if pid == self.pid:
                self.code = os.waitstatus_to_exitcode(status)

    def end_all(self) -> int:
        """Kills every descendant; how many could not be."""
        until = time.monotonic() + _SECONDS
        while self.reap():
            found: set[int] = set()
            for _ in range(_ROUNDS):  # stopped ones start no further ones
                new = descendants() - found
                if not new:
                    break
                found |= new
                send(new, signal.SIGSTOP)
            send(found, signal.SIGKILL)
            if time.monotonic() > until:
                return len(found)
            time.sleep(_PAUSE)
        return 0


def send(pids: set[int], number: int) -> None:
    """Sends a signal to processes; those of other users are out of reach."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def descendants() -> set[int]:
    """The processes below this one, those aside that only wait to be collected."""
    children: dict[int, list[int]] = {}
    dead = set()
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib takes long to load
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                state, parent = file.read().rpartition(b")")[2].split()[:2]
        except OSError:
            continue
        children.setdefault(int(parent), []).append(int(name))
        if state in (b"Z", b"X"):
            dead.add(int(name))
    found: set[int] = set()
    waiting = list(children.get(os.getpid(), ()))
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting += children.get(pid, ())
    return found - dead


def remove(folder: str) -> None:
    """Removes a folder, whatever the program made of its permissions."""
    for _ in range(2):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return
        for path, _, _ in os.walk(folder):
            with contextlib.suppress(OSError):
                os.chmod(path, 0o700)  # noqa: PTH101


def main() -> None:
    """As the module says."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    folder = sys.argv[2]
    try:
        Supervisor(control).run(sys.argv[3:])
    finally:
        if folder:
            os.chdir("/")
            remove(folder)
    os._exit(0)  # nothing is left to tidy up


if __name__ == "__main__":
    main()
