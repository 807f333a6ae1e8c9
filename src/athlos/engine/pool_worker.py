"""The child side of the process pool: reads frames, scores, writes frames, until its input ends."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
import traceback
from typing import BinaryIO

_HEADER = 8
_READY = b"ready"
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serves one parent, over standard input and output."""
    if sys.platform == "linux":  # die with the parent, even while a verifier hangs
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
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
    except Exception as error:  # noqa: BLE001 - an author's module may raise anything
        why = str(error).partition("\n")[0]
        _write(replies, f"{why}\n{traceback.format_exc()}".encode("utf-8", "replace"))
        return
    _write(replies, _READY)
    while (frame := _read(frames)) is not None:
        _write(replies, _score(frame))


def _score(frame: bytes) -> bytes:
    try:
        env, method, rollout = pickle.loads(frame)  # noqa: S301 - from our own parent
        value = getattr(env, method)(rollout)
        return pickle.dumps((True, value, rollout.extra))
    except Exception as error:  # noqa: BLE001 - an author's code may raise anything
        raised = f"{type(error).__name__}: {error}"
        return pickle.dumps((False, (raised, traceback.format_exc()), {}))


def _read(stream: BinaryIO) -> bytes | None:
    header = stream.read(_HEADER)
    if len(header) < _HEADER:
        return None
    return stream.read(int.from_bytes(header, "big"))


def _write(stream: BinaryIO, frame: bytes) -> None:
    stream.write(len(frame).to_bytes(_HEADER, "big") + frame)
    stream.flush()


if __name__ == "__main__":
    main()
