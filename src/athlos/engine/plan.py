"""The plan of a run: which tasks, under which names."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import msgspec

from athlos.environment import Environment
from athlos.errors import AthlosError, ConfigError
from athlos.rows import check_task, read_task_file
from athlos.types import Task

__all__ = ["Source", "TaskSource", "plan_tasks"]

Source = str | Path | Iterable[Task] | None

_MANY = 1_000_000


class TaskSource:
    """Where tasks come from: the environment, a JSONL file, or objects.

    Attributes:
        file: Path of the file, or "".
        digest: Hash of tasks that are not the environment's own, or "".
    """

    def __init__(
        self, env: type[Environment], config: Any, split: str, source: Source = None
    ) -> None:
        self._env = env
        self._config = config
        self._split = split
        self._tasks: list[Task] | None = None
        self.file = ""
        self.digest = ""
        if isinstance(source, str | Path):
            self.file = str(source)
            try:
                data = Path(source).read_bytes()
            except OSError as error:
                raise ConfigError(f"cannot read tasks from {source}: {error.strerror}") from error
            self.digest = hashlib.blake2b(data, digest_size=8).hexdigest()
        elif source is not None:
            self._tasks = list(source)
            encoded = msgspec.json.encode(self._tasks)
            self.digest = hashlib.blake2b(encoded, digest_size=8).hexdigest()

    async def read(self, limit: int | None) -> list[Task]:
        """The first `limit` tasks, each with an id that is unique and the same every time.

        Raises:
            ConfigError: A task is malformed, or there are none.
        """
        tasks: list[Task] = []
        ids: set[str] = set()
        if limit != 0:
            async for task in self._raw():
                tasks.append(_named(task, ids, f"{self._env.name}: task {len(tasks)}"))
                if len(tasks) == limit:
                    break
                if len(tasks) >= _MANY and limit is None:
                    raise ConfigError(
                        f"{self._env.name} has more than {_MANY:,} tasks", hint="Give a --limit."
                    )
        if not tasks and limit != 0:
            raise ConfigError(f"{self._env.name} has no tasks in split {self._split!r}")
        return tasks

    async def _raw(self) -> AsyncIterator[Task]:
        if self.file:
            for task in read_task_file(Path(self.file), self._env.tools):
                yield task
            return
        if self._tasks is not None:
            for task in self._tasks:
                yield self._checked(task)
            return
        try:
            found = self._env.tasks(self._config, self._split)
            if isinstance(found, AsyncIterable):
                async for task in found:
                    yield self._checked(task)
            else:
                for task in found:
                    yield self._checked(task)
        except AthlosError:
            raise
        except (Exception, SystemExit) as error:  # an author's code may raise anything
            raise ConfigError(
                f"{self._env.name}: tasks() raised {type(error).__name__}: {error}"
            ) from error

    def _checked(self, task: Any) -> Task:
        if not isinstance(task, Task):
            raise ConfigError(
                f"{self._env.name}: tasks() must yield Task objects, not {type(task).__name__}"
            )
        check_task(task, self._env.tools)
        return task


def plan_tasks(stored: list[Task], wanted: list[Task], name: str) -> list[Task]:
    """The tasks that are not stored yet.

    Raises:
        ConfigError: The stored ones are not the first of those wanted.
    """
    hint = "tasks() must yield the same tasks each time; seed its random numbers."
    for index, (before, now) in enumerate(zip(stored, wanted, strict=False)):
        if before != now:
            change = f"was {before.id}, is now {now.id}"
            if before.id == now.id:
                change = f"{now.id}, has another content"
            raise ConfigError(
                f"{name} yields other tasks than when the run began (task {index} {change})",
                hint=hint,
            )
    if len(wanted) < len(stored):
        raise ConfigError(
            f"{name} yields fewer tasks than when the run began ({len(wanted)}, not {len(stored)})",
            hint=hint,
        )
    return wanted[len(stored) :]


def _named(task: Task, ids: set[str], where: str) -> Task:
    """The task as JSON gives it back, so that a resumed run sees the same, with a unique id."""
    if not task.prompt:
        raise ConfigError(f"{where} has no prompt")
    try:
        encoded = msgspec.json.encode(task)
        task = msgspec.json.decode(encoded, type=Task)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{where} cannot be written as JSON: {error}",
            hint="Task.info may hold text, numbers, booleans, None, lists and dicts.",
        ) from error
    name = task.id or hashlib.blake2b(encoded, digest_size=6).hexdigest()
    names = itertools.chain((name,), (f"{name}-{count}" for count in itertools.count(1)))
    task.id = next(name for name in names if name not in ids)
    ids.add(task.id)
    return task
