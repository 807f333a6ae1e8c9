"""In which order a training run takes its tasks."""

from __future__ import annotations

import random
from array import array
from collections import deque

from msgspec import Struct

from athlos.errors import ConfigError

__all__ = ["Curriculum", "CurriculumOrder", "Order"]


class Order:
    """Says which task is next: one after the other, `epochs` times; None is without end.

    Tasks are numbers, from 0.

    Attributes:
        whole: Whether only groups are wanted of which an earlier part of the run did nothing.
    """

    whole = False

    def __init__(self, tasks: int, epochs: int | None = 1) -> None:
        self._tasks = tasks
        self._most = None if epochs is None else tasks * epochs
        self._taken = 0
        self._again: deque[int] = deque()

    def next(self) -> int | None:
        """The task of the next group; None if there are no more."""
        if self._again:
            return self._again.popleft()
        if not self._tasks or self._taken == self._most:
            return None
        number = self._choose()
        self._taken += 1
        return number

    def again(self, number: int) -> None:
        """A group of this task was begun in vain; it is due another one."""
        self._again.append(number)

    @property
    def more(self) -> bool:
        """Whether tasks may come that are not there yet."""
        return False

    def passed(self, number: int) -> None:
        """The group of this task is not begun: an earlier part of the run has done it."""

    def told(self, number: int, passed: int, n: int) -> None:
        """In a group of the task, `passed` of `n` rollouts passed."""

    def _choose(self) -> int:
        return self._taken % self._tasks


class Curriculum(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prefers tasks that the policy sometimes solves, by their live pass rate.

    A group of which all or none pass teaches nothing; the variance of a pass, p (1 - p), says how
    much a task can. Of a few tasks drawn at random the one with the greatest variance is taken.

    Attributes:
        explore: Share of the groups that go to a task drawn at random, seen or not.
        drawn: How many tasks are compared.
        memory: How many rollouts back a task's pass rate reaches: as the policy learns, what it
            could not do says little.
    """

    explore: float = 0.2
    drawn: int = 16
    memory: float = 32.0

    def __post_init__(self) -> None:
        if not 0 <= self.explore <= 1 or self.drawn < 1 or not self.memory > 0:
            raise ConfigError(
                "curriculum: explore must be from 0 to 1, drawn at least 1, memory above 0; "
                f"found {self.explore:g}, {self.drawn}, {self.memory:g}"
            )


class CurriculumOrder(Order):
    """The order of a `Curriculum`; a task that was never tried counts as solved half the time."""

    def __init__(
        self, curriculum: Curriculum, tasks: int, epochs: int | None, rng: random.Random
    ) -> None:
        super().__init__(tasks, epochs)
        self._curriculum = curriculum
        self._rng = rng
        self._passed = array("d", bytes(8 * tasks))
        self._n = array("d", bytes(8 * tasks))

    def told(self, number: int, passed: int, n: int) -> None:
        """Adds to the task's pass rate; what is old counts less."""
        kept = min(1.0, max(self._curriculum.memory - n, 0.0) / max(self._n[number], 1e-9))
        self._passed[number] = self._passed[number] * kept + passed
        self._n[number] = self._n[number] * kept + n

    def variance(self, number: int) -> float:
        """Of a pass of the task, estimated with one pass and one fail added."""
        rate = (self._passed[number] + 1) / (self._n[number] + 2)
        return rate * (1 - rate)

    def _choose(self) -> int:
        if self._rng.random() < self._curriculum.explore:
            return self._rng.randrange(self._tasks)
        drawn = [self._rng.randrange(self._tasks) for _ in range(self._curriculum.drawn)]
        return max(drawn, key=self.variance)
