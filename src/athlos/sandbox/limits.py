"""What code in a sandbox may use, and what came of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from athlos.errors import ConfigError

__all__ = ["Killed", "Limits", "Result"]

Killed = Literal["", "time", "memory", "processes", "output"]

_MIB = 1 << 20


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each program in a sandbox may use. All sizes are bytes.

    Attributes:
        seconds: Wall-clock time, which passes faster on a busy machine: leave more than CPU time.
        cpu_seconds: CPU time of all processes of the program together.
        memory: Memory of all processes together; also what one process can reserve. What lies in
            the work folder counts to `disk`.
        processes: Processes and threads.
        output: Kept of standard output, and of standard error; the rest is cut. A program that
            writes 16 times as much is killed.
        disk: Everything in the work folder and in the folders for temporary files together.
        open_files: File descriptors of one process.
    """

    seconds: float = 30.0
    cpu_seconds: float = 10.0
    memory: int = 512 * _MIB
    processes: int = 64
    output: int = _MIB
    disk: int = 64 * _MIB
    open_files: int = 256

    def __post_init__(self) -> None:
        smallest = {"memory": 32 * _MIB, "disk": 65536, "open_files": 16, "output": 1}
        for name in self.__struct_fields__:
            value, least = getattr(self, name), smallest.get(name, 1)
            if name.endswith("seconds"):
                if not 0 < value < float("inf"):
                    raise ConfigError(f"limit {name} is {value}: it must be above 0 and finite")
            elif value < least:
                raise ConfigError(f"limit {name} is {value}: it must be at least {least}")


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a program did; also if it failed, was killed, or could not be started.

    Attributes:
        exit_code: 0 is success; minus the number of a signal; 126 and 127: could not be started.
        stdout: Standard output, what is not UTF-8 replaced.
        stderr: Standard error.
        value: In a Python session: the value of the last expression, as `repr` shows it.
        killed_for: The limit that it was killed for; "" if it ended by itself.
        truncated: Whether output was cut.
        state_lost: In a Python session: the interpreter ended, and its variables with it.
        seconds: Wall-clock time, which passes faster on a busy machine: leave more than CPU time.
        cpu_seconds: CPU time of all its processes. 0 in a session.
        max_memory: The most memory that was seen, in bytes. 0 in a session.
    """

    exit_code: int
    stdout: str = ""
    stderr: str = ""
    value: str = ""
    killed_for: Killed = ""
    truncated: bool = False
    state_lost: bool = False
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    max_memory: int = 0

    @property
    def ok(self) -> bool:
        """Whether it ended by itself, with exit code 0."""
        return self.exit_code == 0 and not self.killed_for

    @property
    def timed_out(self) -> bool:
        """Whether it was killed for taking too long, by the clock or in CPU time."""
        return self.killed_for == "time"
