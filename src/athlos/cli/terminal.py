"""The terminal and the standard streams: what reaches them is text, and they are always there."""

from __future__ import annotations

import os
import re
import sys
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "discard_stdout", "prepare", "print_json", "printable", "results_only"]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: object) -> str:
    r"""The text with its control characters spelled out (`\x1b`), except newlines and tabs.

    Models, servers and task files write what is shown; none of them may steer a terminal.
    """
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", str(text))


def console(*, stderr: bool = False) -> Console:
    """A console that takes text as it is: `[b]` in a path is no markup, `:x:` no picture."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def prepare() -> None:
    """Opens the standard streams that were closed, and lets none fail on what it cannot encode."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # else the next file or socket takes the number, and gets what is printed
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    reconfigure = getattr(sys.stdout, "reconfigure", None)  # a test may have put another one there
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")  # as that of stderr is from the start


def _nowhere() -> TextIO:
    return open(os.devnull, "w")  # noqa: PTH123 - open for as long as the process


def discard_stdout() -> None:
    """Lets what is left in the buffer go nowhere, after a write that failed.

    Python flushes once more when it ends, and would complain about it in its own way.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def results_only(as_json: bool) -> AbstractContextManager[Any]:
    """Keeps stdout for the JSON: what an environment prints meanwhile goes to stderr."""
    return redirect_stdout(sys.stderr) if as_json else nullcontext()


def print_json(value: Any) -> None:
    """Prints one line of JSON: in UTF-8, as JSON is, whatever the encoding of the terminal."""
    import msgspec

    sys.stdout.flush()
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
