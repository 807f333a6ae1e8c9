"""What is to be attempted, made as it is needed: a run of a million tasks has no list of jobs."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence

from athlos.engine.attempt import Job
from athlos.engine.groups import Groups
from athlos.engine.order import Order
from athlos.runs.progress import Progress
from athlos.types import Task

__all__ = ["Jobs"]


class Jobs:
    """The attempts of a run, group by group.

    Args:
        tasks: All of them.
        order: Which task is next.
        samples: Rollouts that make a group.
        width: Attempts that are begun for it.
        progress: What earlier parts of the run did.
        groups: Is told of each group that begins.

    Attributes:
        fresh: Samples that were begun in this part of the run and never before.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        order: Order,
        samples: int,
        width: int,
        progress: Progress | None,
        groups: Groups | None,
    ) -> None:
        self._tasks = tasks
        self._order = order
        self._samples = samples
        self._width = width
        self._progress = progress
        self._groups = groups
        self._rounds = array("L", bytes(array("L").itemsize * len(tasks)))  # groups begun, by task
        self._group: deque[Job] = deque()
        self._again: deque[Job] = deque()
        self.fresh = 0

    def next(self, *, only_begun: bool = False) -> Job | None:
        """The next attempt; None if there is none.

        Args:
            only_begun: Begin no further group.
        """
        if self._again:
            return self._again.popleft()
        while not self._group:
            number = None if only_begun else self._order.next()
            if number is None:
                return None
            self._begin(number)
        return self._group.popleft()

    @property
    def more(self) -> bool:
        """Whether there may be a next attempt later, although there is none now."""
        return self._order.more

    def again(self, job: Job) -> None:
        """Takes back an attempt, to be made before others."""
        self._again.append(job)

    def told(self, number: int, passed: int, n: int) -> None:
        """Of the `n` rollouts of a group of the task, `passed` passed."""
        self._order.told(number, passed, n)

    def begin_again(self, number: int) -> None:
        """A group of the task was begun in vain."""
        self._order.again(number)

    def _begin(self, number: int) -> None:
        while number >= len(self._rounds):  # tasks may be fed
            self._rounds.append(0)
        first = self._rounds[number] * self._width
        self._rounds[number] += 1
        progress = self._progress
        samples = range(first, first + self._width)
        if progress is None:
            task = self._tasks[number]
            self.fresh += self._width
            self._group.extend([Job(task, number, sample) for sample in samples])
        else:
            owed = [sample for sample in samples if not progress.done(number, sample)]
            if self._width - len(owed) >= (1 if self._order.whole else self._samples):
                self._order.passed(number)
                return  # the others were stragglers
            task = self._tasks[number]
            jobs = [Job(task, number, s, progress.attempts(number, s)) for s in owed]
            self.fresh += sum(not job.attempt for job in jobs)
            self._group.extend(jobs)
        if self._groups is not None:
            self._groups.begin(self._group)
