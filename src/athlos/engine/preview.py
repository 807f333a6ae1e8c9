"""One task as the model would see it, without asking a model."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from msgspec import Struct

from athlos.engine.attempt import guard, teardown
from athlos.engine.plan import Source, TaskSource
from athlos.engine.roles import Roles
from athlos.engine.shared import enter_shared, sandboxes_for
from athlos.environment import Environment
from athlos.errors import ConfigError
from athlos.timeouts import time_limit
from athlos.types import Message

__all__ = ["Preview", "preview"]

_TIMEOUT = 60.0
_SEARCHED = 10_000


class Preview(Struct):
    """What an attempt at a task begins with.

    Attributes:
        messages: The opening messages, after `setup`.
        tools: As they go over the wire.
        info: What the verifier has and the model does not see.
        sampling: Sampling parameters that the task asks for.
    """

    task_id: str
    messages: list[Message]
    tools: list[dict[str, Any]]
    info: dict[str, Any]
    sampling: dict[str, Any]


async def preview(
    env: type[Environment],
    config: Any,
    *,
    split: str = "test",
    tasks: Source = None,
    task: str = "0",
) -> Preview:
    """Prepares one attempt up to the first call of the model, and takes it down again.

    Args:
        env: The environment.
        config: Its settings.
        split: Which of its tasks.
        tasks: Other tasks, as for `collect`.
        task: The id of a task, or its position.

    Raises:
        ConfigError: There is no such task.
    """
    source = TaskSource(env, config, split, tasks)
    position = int(task) if task.isdecimal() and task.isascii() else None
    found = await source.read(_SEARCHED if position is None else position + 1)
    chosen = next((t for t in found if t.id == task), None)
    if chosen is None and position is not None and position < len(found):
        chosen = found[position]
    if chosen is None:
        raise ConfigError(f"{env.name} has no task {task!r} (it has {len(found)} here)")
    async with AsyncExitStack() as stack:
        stack.enter_context(time_limit(_TIMEOUT))
        shared = await enter_shared(env, config, stack)
        instance = env(chosen, config=config, shared=shared, models=Roles({}))
        if (sandboxes := sandboxes_for(env, config)) is not None:
            stack.push_async_callback(sandboxes.close)
            instance.sandbox = sandboxes.lend()
        try:
            await guard("setup", instance.setup)
            return Preview(
                task_id=chosen.id,
                messages=instance.task.messages(),
                tools=[tool.wire for tool in instance.offered_tools().values()],
                info=chosen.info,
                sampling=chosen.sampling,
            )
        finally:
            await teardown(instance)
