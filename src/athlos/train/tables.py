"""Which task a prompt is of, for trainers that hand their prompts back and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from athlos.engine.plan import TaskSource
from athlos.environment import Environment
from athlos.errors import ConfigError
from athlos.rows import row_to_task
from athlos.train.loop_thread import LoopThread
from athlos.types import Task

__all__ = ["TaskTable"]

_MARK = "task_id"
_PATIENCE = 3600.0  # seconds that an environment may take to say its tasks


class TaskTable:
    """The tasks of a data set, by prompt and by id.

    Args:
        env: The environment. Its `from_row`, if it has one, makes tasks of rows.
        source: Rows with their columns (a Hugging Face data set is one such), tasks, a JSONL file,
            or None for the environment's own tasks.
        config: The environment's settings.
        split: Of the environment's own tasks.
        limit: How many of them; None for all.

    Attributes:
        tasks: By id, in their order.

    Raises:
        ConfigError: A row is no task, or there are none.
    """

    def __init__(
        self,
        env: type[Environment],
        source: Any = None,
        *,
        config: Any = None,
        split: str = "train",
        limit: int | None = None,
    ) -> None:
        given = source
        if source is not None and not isinstance(source, str | Path):
            given = list(_tasks(env, source))
        tasks = TaskSource(env, env.make_config(config), split, given)
        thread = LoopThread("athlos-tasks")  # a notebook has a loop of its own already
        try:
            found = thread.run(tasks.read(limit), _PATIENCE)
        finally:
            thread.close()
        self.tasks = {task.id: task for task in found}
        self._prompts: dict[str, str | None] = {}
        for task in self.tasks.values():
            key = _key(_messages(task))
            self._prompts[key] = None if key in self._prompts else task.id

    def rows(self) -> list[dict[str, Any]]:
        """Rows for the trainer: `prompt` as messages, and `task_id`.

        Where several tasks have one prompt, its last message has the `task_id` as well.
        """
        rows = []
        for task in self.tasks.values():
            messages = _messages(task)
            if self._prompts[_key(messages)] is None:
                messages[-1][_MARK] = task.id
            rows.append({"prompt": messages, _MARK: task.id})
        return rows

    def find(self, prompt: Any) -> Task:
        """The task of a prompt: text, or messages.

        Raises:
            ConfigError: There is none, or there are several.
        """
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        marked = messages[-1].get(_MARK) if messages else None
        if marked is not None:
            return self.get(marked)
        key = _key(messages)
        if key not in self._prompts:
            raise ConfigError(
                f"no task has this prompt: {_text(messages):.200}",
                hint="Give the adapter the same data set as the trainer, in `tasks`.",
            )
        name = self._prompts[key]
        if name is None:
            raise ConfigError(
                f"several tasks have this prompt: {_text(messages):.200}",
                hint=f"Use the adapter's own `dataset`, or put a {_MARK!r} into its last message.",
            )
        return self.tasks[name]

    def get(self, name: str) -> Task:
        """The task of an id.

        Raises:
            ConfigError: There is none.
        """
        found = self.tasks.get(name)
        if found is None:
            raise ConfigError(f"there is no task {name!r} in the adapter's data set")
        return found


def _tasks(env: type[Environment], rows: Iterable[Any]) -> Iterable[Task]:
    to_task = getattr(env, "from_row", None) or row_to_task
    for number, row in enumerate(rows):
        if isinstance(row, Task):
            yield row
            continue
        try:
            yield to_task(_filled(row) if isinstance(row, Mapping) else row)
        except ConfigError as error:
            raise ConfigError(f"row {number}: {error.message}", hint=error.hint) from error


def _filled(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without the empty fields that a table gives its messages where others have some."""
    prompt = row.get("prompt")
    if not isinstance(prompt, list):
        return dict(row)
    said = [
        {k: v for k, v in one.items() if v is not None} if isinstance(one, Mapping) else one
        for one in prompt
    ]
    return {**row, "prompt": said}


def _messages(task: Task) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = msgspec.to_builtins(task.messages())
    return found


def _key(messages: Iterable[Mapping[str, Any]]) -> str:
    """What is said in the messages, whatever empty fields a table has put beside it."""
    said = [{k: v for k, v in one.items() if v is not None and k != _MARK} for one in messages]
    return msgspec.json.encode(said, order="deterministic").decode()


def _text(messages: Iterable[Mapping[str, Any]]) -> str:
    return " ".join(str(one.get("content")) for one in messages)
