"""The child side of the process pool: reads frames, scores, writes frames, until its input ends.

A request is eight bytes of length and a pickle: first `(paths, reference)`, then one `(method,
memory, env, rollout)` after the other. An answer is a header (length, bytes that the worker holds,
whether the parent should take another worker from now on) and a pickle: `(outcome, ...)`.

Memory is capped with RLIMIT_DATA: it counts what the process may write and shares with nobody, so
neither libraries nor address space that is only reserved (threads, CUDA, wasm) use it up, as they
do with RLIMIT_AS. Shared memory and the sum over child processes are for the parent to watch.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import pickle
import resource
import signal
import struct
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

from athlos.errors import AthlosError, EnvError

_HEADER = 8
_ANSWER = struct.Struct(">QQ?")
_LARGEST = 64 * 2**20  # bytes of an answer
_LONGEST = 20_000  # characters of a message or traceback
_LEAK = 256 * 2**20  # bytes that a worker may hold on to after a call
_NICE = 5
_OOM_SCORE = "500"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PAGE = resource.getpagesize()
_PLAIN = frozenset((float, bool, int, type(None), str, bytes))


def main() -> None:
    """Serves one parent, over standard input and output."""
    _settle_in()
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a verifier prints must not end up among the replies
    frames = os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    hello = _read(frames)
    if hello is None:
        return
    paths, reference = pickle.loads(hello)  # noqa: S301 - from our own parent
    sys.path[:] = paths
    from athlos.registry import load

    try:
        load(reference)  # so that the pickles below find its module
    except BaseException as error:  # noqa: BLE001 - an author's module may raise anything
        why = _text(error).partition("\n")[0] or type(error).__name__
        _write(replies, pickle.dumps(("broken", why, _trace())), 0, True)
        return
    memory = _Memory()
    held, data = memory.measure()
    _write(replies, pickle.dumps(("ready",)), held, False)
    own = os.getpid()
    first = True
    while (frame := _read(frames)) is not None:
        answer, spent = _score(frame, data)
        del frame
        if os.getpid() != own:  # a verifier forked, and the child came back as well
            os._exit(0)
        signal.setitimer(signal.ITIMER_REAL, 0)  # an alarm that it left would ring in the next
        resident, data = memory.measure()
        if resident - held > _LEAK:
            _tidy()
            resident, data = memory.measure()
            if first:  # what a first call imports stays, and is no leak
                held = resident
            spent = spent or resident - held > _LEAK
        first = False
        _write(replies, answer, resident, spent)


def _settle_in() -> None:
    """Makes this a process that can be spared."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(_NICE)
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # even while a verifier hangs
        prctl(_PR_SET_CHILD_SUBREAPER, 1)  # its daemons stay below us, where the parent finds them
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)


def _score(frame: bytes, data: int) -> tuple[bytes, bool]:
    """The answer, pickled, and whether the worker is spent; `data` is what it takes by itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        method, memory, env, rollout = pickle.loads(frame)  # noqa: S301 - from our own parent
        cap = data + int(memory * 2**20)
        if hard != resource.RLIM_INFINITY:
            cap = min(cap, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (cap, hard))
        value = _plain(getattr(env, method)(rollout))
        answer = pickle.dumps(("value", value, rollout.extra))
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        if len(answer) > _LARGEST:
            raise ValueError(
                f"its value and rollout.extra take {len(answer) >> 20} MB; "
                f"{_LARGEST >> 20} MB may travel back"
            )
        return answer, False
    except BaseException as error:  # noqa: BLE001 - an author's code may raise anything
        with suppress(ValueError, OSError):  # it may have set a limit of its own
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return pickle.dumps(("memory", _trace())), True
        if _is_clear(error):
            error.add_note(_trace())
            with suppress(Exception):  # an author may have put anything on it
                return pickle.dumps(("error", error)), False
        return pickle.dumps(("raised", f"{type(error).__name__}: {_text(error)}", _trace())), False


def _is_clear(error: BaseException) -> TypeGuard[AthlosError]:
    """Whether an error says whose failure it is: a judge's, a sandbox's; it travels as it is."""
    known = isinstance(error, AthlosError) and type(error).__module__ == AthlosError.__module__
    return known and type(error) is not EnvError


def _plain(value: Any) -> Any:
    """A number as a float, so that the parent needs neither numpy nor torch to read it."""
    if type(value) in _PLAIN or isinstance(value, str | bytes):
        return value
    with suppress(Exception):  # whatever it is, it is no number: the parent says so
        return float(value)
    return value


def _text(error: BaseException) -> str:
    try:
        return str(error)[:_LONGEST]
    except BaseException:  # noqa: BLE001 - its __str__ is an author's, too
        return "(it cannot be printed)"


def _trace() -> str:
    try:
        return traceback.format_exc()[-_LONGEST:]
    except BaseException:  # noqa: BLE001 - as above
        return ""


class _Memory:
    """What this process takes, from a file that stays open: to open it costs ten times more."""

    def __init__(self) -> None:
        self._open()

    def _open(self) -> None:
        self._file = os.open("/proc/self/statm", os.O_RDONLY) if sys.platform == "linux" else -1

    def measure(self) -> tuple[int, int]:
        """Bytes that are resident, and bytes that RLIMIT_DATA counts."""
        if sys.platform != "linux":
            return 0, 0
        try:
            fields = os.pread(self._file, 200, 0).split()
            return int(fields[1]) * _PAGE, int(fields[5]) * _PAGE
        except (OSError, ValueError, IndexError):  # a verifier closed it, and perhaps has it now
            self._open()
            fields = os.pread(self._file, 200, 0).split()
            return int(fields[1]) * _PAGE, int(fields[5]) * _PAGE


def _tidy() -> None:
    """Gives back what can be given back."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(AttributeError):  # not glibc
            ctypes.CDLL(None).malloc_trim(0)


def _read(stream: BinaryIO) -> bytes | None:
    header = stream.read(_HEADER)
    if len(header) < _HEADER:
        return None
    return stream.read(int.from_bytes(header, "big"))


def _write(stream: BinaryIO, answer: bytes, held: int, spent: bool) -> None:
    stream.write(_ANSWER.pack(len(answer), held, spent) + answer)
    stream.flush()


if __name__ == "__main__":
    main()
