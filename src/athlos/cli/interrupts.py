"""Ctrl-C and SIGTERM during a run, also while an environment's code holds the event loop."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, NoReturn, Self

from athlos.engine import Collection

__all__ = ["Interrupts", "goes_on"]

_SHOW_CURSOR = "\x1b[?25h"


def goes_on(collection: Collection, why: str = "interrupted") -> str:
    """How a run that ended early is continued."""
    return f"{why}; the same command with --out {shlex.quote(str(collection.out))} goes on"


class Interrupts:
    """Handles both signals between `with` and its end.

    The first Ctrl-C lets what is under way end, the second (or a SIGTERM) drops it, one more ends
    the process. Handlers of `signal`, not of the loop, run while a reward of an author's spins;
    what they ask for is then done as soon as the loop has its turn.

    Args:
        collection: What is to be stopped.
        say: Shows a line to the user; called by the loop.
    """

    def __init__(self, collection: Collection, say: Callable[[str], None]) -> None:
        self._collection = collection
        self._say = say
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = 0
        self._heard = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def attach(self) -> None:
        """Hands signals to the running loop from now on."""
        self._loop = asyncio.get_running_loop()

    def _arrived(self, number: int, _frame: object) -> None:
        if self._loop is None:
            raise KeyboardInterrupt
        self._asked = max(self._asked, int(number == signal.SIGTERM)) + 1
        if self._asked > 2:
            self._leave()
        if self._asked == 2 and self._heard == 0 and number == signal.SIGINT:
            _write("the environment's code holds the program; Ctrl-C again ends it at once\n")
        with suppress(RuntimeError):  # the loop is closed: nothing is left to be stopped
            self._loop.call_soon_threadsafe(self._act, self._asked)

    def _act(self, asked: int) -> None:
        self._heard = asked
        if asked > 1 or self._collection.started is None:
            self._collection.drop()
            return
        self._collection.stop()
        self._say(
            f"stopping: waiting for {self._collection.in_flight} attempts under way "
            "(Ctrl-C again gives them up)"
        )

    def _leave(self) -> NoReturn:
        cursor = _SHOW_CURSOR if sys.stderr.isatty() else ""  # the live display hid it
        _write(f"{cursor}ending at once; {goes_on(self._collection)}\n")
        os._exit(130)


def _write(text: str) -> None:
    """Writes past the buffer of stderr, which the signal may have found in the middle of a line."""
    with suppress(OSError):
        os.write(2, text.encode(errors="backslashreplace"))
