"""The fields that a row must have to be scored, said in one line before an environment's class."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from athlos import ConfigError, Environment, Task
from athlos.rows import row_to_task

__all__ = ["needs"]

E = TypeVar("E", bound=type[Environment])


def needs(*fields: str) -> Callable[[E], E]:
    """Refuses tasks of an environment that lack what they are scored by.

    Rows are refused when they are read, before a model is asked; tasks that were made in another
    way, when their attempt begins.

    Args:
        fields: Of `Task.info`, where null is as good as absent; "a|b" is one of several.
    """

    def mark(env: E) -> E:
        to_task = inspect.unwrap(env.from_row or row_to_task)
        setup = inspect.unwrap(env.setup)

        @functools.wraps(to_task)
        def from_row(row: Any) -> Task:
            task: Task = to_task(row)
            _check(env, fields, task.info)
            return task

        @functools.wraps(setup)
        def checked_setup(self: Environment) -> Awaitable[None] | None:
            _check(type(self), fields, self.task.info)
            done: Awaitable[None] | None = setup(self)
            return done

        env.from_row = staticmethod(from_row)
        env.setup = checked_setup  # type: ignore[method-assign]
        return env

    return mark


def _check(env: type[Environment], fields: tuple[str, ...], info: Mapping[str, Any]) -> None:
    missing = [
        field for field in fields if all(info.get(name) is None for name in field.split("|"))
    ]
    if not missing:
        return
    said = ", ".join(" or ".join(f"`{name}`" for name in one.split("|")) for one in missing)
    found = ", ".join(f"{name!r:.40}" for name in list(info)[:20]) or "nothing"
    name = env.__dict__.get("name") or env.__name__
    raise ConfigError(
        f"{name}: the row has no {said}, which this environment needs",
        hint=f"It stands at the top level, in `info` or in `verifier_metadata`; found: {found}.",
    )
