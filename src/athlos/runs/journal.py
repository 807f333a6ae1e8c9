"""An append-only file of JSON lines that survives being killed at any moment.

A line is written with one system call, so a kill of the process leaves it whole or, at worst, torn
at the end of the file; a torn tail is cut off when the file is opened again. Only a crash of the
machine can take lines that were written and not yet synced.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

__all__ = ["Journal"]

_BLOCK = 1 << 16


class Journal:
    """One open file.

    Attributes:
        repaired: Bytes of a torn tail that were cut off when it was opened.
        unsynced: Lines that a crash of the machine could still take.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unsynced = 0
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self.repaired = self._repair()

    def append(self, line: bytes) -> None:
        """Writes one or more whole lines, which end with a newline.

        Raises:
            OSError: The disk is full, or another reason of the system's; nothing was written.
        """
        start = os.lseek(self._fd, 0, os.SEEK_END)
        view = memoryview(line)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            os.ftruncate(self._fd, start)
            raise
        self.unsynced += 1

    def sync(self) -> None:
        """Asks the system to put everything on the disk. May run in a thread."""
        if self.unsynced:
            self.unsynced = 0
            os.fdatasync(self._fd)

    def close(self) -> None:
        """Syncs and closes. May be called twice."""
        if self._fd >= 0:
            self.sync()
            os.close(self._fd)
            self._fd = -1

    def _repair(self) -> int:
        """Cuts off what stands behind the last newline, or completes it if it is a whole line."""
        size = os.fstat(self._fd).st_size
        end = size
        tail = b""
        while end > 0 and b"\n" not in tail:
            start = max(0, end - _BLOCK)
            tail = os.pread(self._fd, end - start, start) + tail
            end = start
        torn = tail[tail.rfind(b"\n") + 1 :]
        if not torn:
            return 0
        try:
            msgspec.json.decode(torn)
        except (msgspec.DecodeError, UnicodeDecodeError):
            os.ftruncate(self._fd, size - len(torn))
            return len(torn)
        os.write(self._fd, b"\n")
        return 0
