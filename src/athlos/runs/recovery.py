"""Taking up the tails: what stands in the files of records behind what the index covers.

A kill leaves a torn last line there; a crash of the machine may leave anything, since none of it
was reported as being on the disk. Everything up to the first line that is no record is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice

import msgspec

from athlos.errors import ConfigError
from athlos.runs.index import Index, enter
from athlos.runs.journal import Journal
from athlos.runs.progress import Progress
from athlos.runs.tasks import TaskStore
from athlos.types import Failure, Rollout

__all__ = ["recover"]

_PART = 4096  # records that are in memory at once

Record = Rollout | Failure
Numbers = Callable[[list[Record]], Mapping[str, int]]


def recover(
    rollouts: Journal,
    failures: Journal,
    index: Index,
    tasks: TaskStore,
    progress: Progress,
    near: int,
) -> int:
    """Checks the tails, cuts off what is torn, and enters the rest into the index.

    Args:
        rollouts: The file of rollouts.
        failures: The file of failures.
        index: Read to its end; it gets the entries.
        tasks: To number the tasks of the records.
        progress: What the index says; it is told of the rest.
        near: A task from which on those of the tails are likely to be.

    Returns:
        How many bytes were cut off.

    Raises:
        ConfigError: Names the file, and the line if one is to blame.
    """
    if (rollouts.size, failures.size) == (index.rollouts, index.failures):
        return 0
    cut = 0
    numbers: dict[str, int] | None = None
    for journal, start, kind in (
        (rollouts, index.rollouts, Rollout),
        (failures, index.failures, Failure),
    ):
        tail = _Tail(journal, start, msgspec.json.Decoder(kind))
        while part := tail.read(_PART):
            journal.sync()  # what the index says is on the disk
            if numbers is None and len(part) == _PART:
                numbers = tasks.numbers()
            known = numbers or tasks.find({record.task_id for record, _ in part}, near)
            entries: list[bytes] = []
            for record, end in part:
                number = known.get(record.task_id)
                if number is None:
                    raise _bad(journal, end, f"there is no task {record.task_id!r}")
                if isinstance(record, Failure):
                    progress.add_failure(number, record.sample, record.attempt)
                elif not progress.add_rollout(number, record.sample):
                    raise _bad(journal, end, f"a second rollout of sample {record.sample}")
                entries.append(enter(number, record))
            if kind is Rollout:
                index.append(tail.end, index.failures, entries)
            else:
                index.append(index.rollouts, tail.end, entries)
        if not index.whole:
            tail.check_rest()
        cut += journal.cut(tail.end)
        journal.sync()
    return cut


class _Tail:
    """Reads records up to the first line that is none; `end` is where the last one ended."""

    def __init__(self, journal: Journal, start: int, decoder: msgspec.json.Decoder[Record]) -> None:
        self.end = start
        self._journal = journal
        self._decoder = decoder
        self._lines = iter(journal.reader(start))

    def read(self, count: int) -> list[tuple[Record, int]]:
        """The next records, each with the position where its line ends."""
        found: list[tuple[Record, int]] = []
        for line in islice(self._lines, count):
            try:
                record = self._decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                self._lines = iter(())
                break
            self.end += len(line)
            if not line.endswith(b"\n"):  # all of it is there but that
                self._journal.append(b"\n")
                self.end += 1
            found.append((record, self.end))
        return found

    def check_rest(self) -> None:
        """Checks that behind the end there is no record.

        Where the index is lost, so is the knowledge of what had been synced: damage in the middle
        of good records is not for us to cut away.
        """
        for line in self._journal.reader(self.end):
            try:
                self._decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            raise _bad(self._journal, self.end + 1, "damaged record")


def _bad(journal: Journal, end: int, what: str) -> ConfigError:
    """The error for the line that ends at `end`, or reaches beyond."""
    number = 1 + sum(1 for _ in _lines_before(journal, end))
    return ConfigError(
        f"{journal.path}:{number}: {what}",
        hint="Delete that line and index.bin, which is made anew, to go on without it.",
    )


def _lines_before(journal: Journal, end: int) -> Iterator[bytes]:
    """The whole lines that end before `end`."""
    for line in journal.reader():
        end -= len(line)
        if end <= 0:
            return
        yield line
