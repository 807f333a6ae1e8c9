"""The tasks of a run, on disk: a sequence of a million of them takes eight bytes each."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate, chain, count
from operator import add
from pathlib import Path
from typing import TypeVar, overload

import msgspec
from msgspec import Struct

from athlos.errors import ConfigError
from athlos.runs.journal import Journal
from athlos.types import Task

__all__ = ["TaskStore"]

T = TypeVar("T")

_BLOCK = 1 << 20
_AHEAD = 1 << 16  # tasks are mostly taken in order, so a read brings the next ones too
_KEPT = 4_096  # tasks that need not be read again, if they were made just now


class _Named(Struct):
    id: str = ""


_task = msgspec.json.Decoder(Task)
_named = msgspec.json.Decoder(_Named)


class TaskStore(Sequence[Task]):
    """`tasks.jsonl`, open for reading and appending; `store[number]` decodes one task.

    A torn last line is cut off when it is opened.
    """

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self._ends = array("Q")  # of each line
        self._kept: list[Task] = []  # the first ones, if the file was empty
        self._block = b""
        self._start = 0  # of the block
        try:
            self._find_ends()
        except BaseException:
            self._journal.close()
            raise

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, number: int) -> Task: ...
    @overload
    def __getitem__(self, number: slice) -> list[Task]: ...
    def __getitem__(self, number: int | slice) -> Task | list[Task]:
        if type(number) is int and 0 <= number < len(self._kept):
            return self._kept[number]
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        if number < 0:
            number += len(self)
        if not 0 <= number < len(self):
            raise IndexError(f"there is no task {number}")
        return self._decode(number, _task)

    def __iter__(self) -> Iterator[Task]:
        for number in range(len(self)):
            yield self[number]

    def append(self, tasks: Sequence[Task]) -> None:
        """Adds tasks in one write; `sync` puts them on the disk."""
        if not tasks:
            return
        if len(self._kept) == len(self._ends):
            self._kept += tasks[: _KEPT - len(self._kept)]
        lines = [msgspec.json.encode(task) + b"\n" for task in tasks]
        end = self._journal.size
        self._journal.append(b"".join(lines))
        for line in lines:
            end += len(line)
            self._ends.append(end)

    def cut(self, count: int) -> None:
        """Forgets all tasks but the first `count`."""
        if self._journal.cut(self._ends[count - 1] if count else 0):
            del self._ends[count:], self._kept[count:]
            self._block = b""

    def cut_damaged(self, first: int) -> None:
        """Forgets all tasks from the first damaged one on, if it is `first` or behind it."""
        for number in range(first, len(self)):
            try:
                self._decode(number, _task)
            except ConfigError:
                self.cut(number)
                return

    def find(self, ids: Collection[str], near: int) -> dict[str, int]:
        """The numbers of some tasks; they are looked for from `near` on, then before it."""
        wanted = set(ids)
        found: dict[str, int] = {}
        for number in chain(range(near, len(self)), range(near)):
            if len(found) == len(wanted):
                break
            name = self._decode(number, _named).id
            if name in wanted:
                found[name] = number
        return found

    def numbers(self) -> dict[str, int]:
        """The numbers of all tasks."""
        return {self._decode(number, _named).id: number for number in range(len(self))}

    def sync(self) -> None:
        """Puts the tasks on the disk."""
        self._journal.sync()

    def close(self) -> None:
        """Closes the file. May be called twice."""
        self._journal.close()

    def _decode(self, number: int, decoder: msgspec.json.Decoder[T]) -> T:
        start = self._ends[number - 1] if number else 0
        end = self._ends[number]
        if not self._start <= start < end <= self._start + len(self._block):
            self._start = start
            self._block = self._journal.read(start, max(end - start, _AHEAD))
        try:
            return decoder.decode(self._block[start - self._start : end - self._start])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            path = self._journal.path
            raise ConfigError(f"{path}:{number + 1}: damaged task: {error}") from error

    def _find_ends(self) -> None:
        file = self._journal.reader()
        end = rest = 0  # of the last whole line; bytes behind it
        while block := file.read(_BLOCK):
            lengths = list(map(len, block.split(b"\n")))
            lengths[0] += rest
            rest = lengths.pop()
            if lengths:
                self._ends.extend(map(add, accumulate(lengths), count(end + 1)))
                end = self._ends[-1]
        if not rest:
            return
        try:
            _task.decode(self._journal.read(end, rest))
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._journal.cut(end)
        else:  # only its newline is missing
            self._journal.append(b"\n")
            self._ends.append(self._journal.size)
