"""Tasks that are asked for one by one while a run goes, as trainers with a loop of their own do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from athlos.engine.order import Order
from athlos.errors import ConfigError
from athlos.runs.folder import RunFolder
from athlos.types import Task

__all__ = ["Feed"]


class Feed(Order):
    """In place of a list of tasks: `collect(..., tasks=Feed())` attempts what `ask` is given.

    The collection has no end until `close` is called. A task that is asked for again gets a new
    group, with samples of its own.

    Attributes:
        opened: Is set when a collection has begun with it, so that `ask` may be called.
    """

    whole = True

    def __init__(self) -> None:
        super().__init__(0)
        self._due: deque[int] = deque()
        self._known: list[Task] | Sequence[Task] = []
        self._numbers: dict[str, int] = {}
        self._folder: RunFolder | None = None
        self._name: Callable[[Task, str], Task] | None = None
        self._wake: Callable[[], None] = lambda: None
        self._closed = False
        self.opened = asyncio.Event()

    @property
    def more(self) -> bool:
        """Whether tasks may come that are not there yet."""
        return not self._closed

    def open(self, name: Callable[[Task, str], Task], folder: RunFolder | None) -> Sequence[Task]:
        """Begins; the collection's turn.

        Args:
            name: Checks a task and gives it its id.
            folder: Has the tasks of earlier parts of the run, and gets those to come.

        Returns:
            The tasks, which grow.
        """
        if self._name is not None:
            raise ConfigError("a Feed is for one collection", hint="Make another one.")
        self._name = name
        self.opened.set()
        if folder is not None:
            self._folder, self._known = folder, folder.tasks
            self._numbers = folder.tasks.numbers()
            folder.settle_tasks(len(folder.tasks))
        return self._known

    def on_task(self, wake: Callable[[], None]) -> None:
        """`wake` is called when a task is due."""
        self._wake = wake
        wake()

    def ask(self, task: Task) -> int:
        """One more group of a task is wanted; returns the number that its `Group` will have.

        Raises:
            ConfigError: The task is malformed, another one has its id, or the run has not begun or
                has ended.
        """
        if self._name is None or self._closed:
            raise ConfigError("the run that this Feed is of has not begun, or has ended")
        task = self._name(task, "the task")
        number = self._numbers.get(task.id)
        if number is None:
            number = self._numbers[task.id] = len(self._known)
            if self._folder is not None:
                self._folder.add_tasks([task])
            elif isinstance(self._known, list):
                self._known.append(task)
        elif self._known[number] != task:
            raise ConfigError(
                f"two different tasks have the id {task.id!r}",
                hint="Leave the id out: it is made of the content then.",
            )
        self._due.append(number)
        self._wake()
        return number

    def close(self) -> None:
        """No more tasks come: the collection ends when those that did have their groups."""
        self._closed = True
        self._wake()

    def next(self) -> int | None:
        """The task of the next group; None if there is none now."""
        return self._due.popleft() if self._due else None

    def again(self, number: int) -> None:
        """A group of this task was begun in vain; it is due another one."""
        self._due.append(number)
        self._wake()

    def passed(self, number: int) -> None:
        """An earlier part of the run has done this group: the next one of the task is meant."""
        self._due.appendleft(number)
