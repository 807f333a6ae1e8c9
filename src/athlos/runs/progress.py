"""What is known of each (task, sample), in about a byte a sample."""

from __future__ import annotations

__all__ = ["Pairs", "Progress"]

_COLUMNS = 64  # samples that have a column of bytes; tasks with more are few, and have a dict
_MORE = 255
_STEP = 1024


class Pairs:
    """A number for each (task, sample), 0 unless it was set; numbers below 255 take a byte."""

    def __init__(self) -> None:
        self._columns: list[bytearray] = []  # by sample, then by task
        self._sparse: dict[int, int] = {}

    def get(self, task: int, sample: int) -> int:
        """The number of a pair."""
        try:
            value = self._columns[sample][task]
        except IndexError:
            value = _MORE if sample >= _COLUMNS else 0
        return value if value < _MORE else self._sparse.get(task << 32 | sample, 0)

    def swap(self, task: int, sample: int, value: int) -> int:
        """Sets the number of a pair and returns what it was."""
        try:
            column = self._columns[sample]
            before = column[task]
        except IndexError:
            if sample >= _COLUMNS:
                before = self._sparse.get(task << 32 | sample, 0)
                self._sparse[task << 32 | sample] = value
                return before
            while len(self._columns) <= sample:
                self._columns.append(bytearray())
            column = self._columns[sample]
            if task >= len(column):  # in steps, since tasks mostly come in order
                column.extend(bytes(task + 1 - len(column) + len(column) // 8 + _STEP))
            before = 0
        if before == _MORE:
            before = self._sparse.pop(task << 32 | sample)
        if value >= _MORE:
            self._sparse[task << 32 | sample] = value
            value = _MORE
        column[task] = value
        return before

    def count(self, value: int) -> int:
        """How many pairs have this number, which is neither 0 nor above 254."""
        dense = sum(column.count(value) for column in self._columns)
        return dense + sum(other == value for other in self._sparse.values())


class Progress:
    """What became of each sample up to now.

    Attributes:
        rollouts: Samples that have a rollout.
        failures: Failed attempts.
    """

    def __init__(self) -> None:
        self.rollouts = 0
        self.failures = 0
        self._done = Pairs()
        self._attempts = Pairs()

    def done(self, task: int, sample: int) -> bool:
        """Whether the sample has a rollout."""
        return self._done.get(task, sample) > 0

    def attempts(self, task: int, sample: int) -> int:
        """Attempts at the sample that failed: the number of the next one."""
        return self._attempts.get(task, sample)

    def add_rollout(self, task: int, sample: int) -> bool:
        """Marks a sample as done; False if it was already."""
        if self._done.swap(task, sample, 1):
            return False
        self.rollouts += 1
        return True

    def remove_rollout(self, task: int, sample: int) -> None:
        """Takes back what `add_rollout` marked."""
        self._done.swap(task, sample, 0)
        self.rollouts -= 1

    def add_failure(self, task: int, sample: int, attempt: int) -> None:
        """Counts a failed attempt."""
        self.failures += 1
        if attempt >= self._attempts.get(task, sample):
            self._attempts.swap(task, sample, attempt + 1)
