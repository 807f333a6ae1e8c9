"""An append-only file of lines that survives being killed at any moment.

What is appended goes out in one system call, so a kill of the process leaves it whole or, at worst,
torn at the end of the file. Only a crash of the machine can take what was appended and not synced.
The folder's lock makes the process the only writer: it knows the size of the file.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

__all__ = ["Journal"]

_BLOCK = 1 << 20


class Journal:
    """One open file.

    Attributes:
        size: Bytes in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.size = os.fstat(self._fd).st_size
        self._synced = -1  # an earlier process may not have synced what is there

    def append(self, data: bytes) -> None:
        """Writes whole lines, or whatever else is appended.

        Raises:
            OSError: The disk is full, or another reason of the system's; nothing was written.
        """
        try:
            written = os.write(self._fd, data)
            while written < len(data):
                written += os.write(self._fd, memoryview(data)[written:])
        except OSError:
            os.ftruncate(self._fd, self.size)
            raise
        self.size += len(data)

    def cut(self, size: int) -> int:
        """Shortens the file to `size` bytes; returns how many that takes away."""
        gone = self.size - size
        if gone:
            os.ftruncate(self._fd, size)
            self.size = size
        return gone

    def read(self, start: int, length: int) -> bytes:
        """At most `length` bytes from `start`."""
        return os.pread(self._fd, length, start)

    def reader(self, start: int = 0) -> io.BufferedReader:
        """Reads from `start` on; iterating over it gives lines, each with its newline."""
        return io.BufferedReader(_Reader(self._fd, start), _BLOCK)

    def sync(self) -> None:
        """Asks the system to put everything on the disk. May run in a thread."""
        size = self.size
        if size != self._synced:
            os.fdatasync(self._fd)
            self._synced = size

    def close(self) -> None:
        """Closes the file. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _Reader(io.RawIOBase):
    """Reads a file of which others hold the descriptor, at a position of its own."""

    def __init__(self, fd: int, position: int) -> None:
        self._fd = fd
        self._position = position

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = os.preadv(self._fd, [buffer], self._position)
        self._position += size
        return size
