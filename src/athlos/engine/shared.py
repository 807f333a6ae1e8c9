"""What the attempts of a run share: an environment's `shared`, entered once."""

from __future__ import annotations

import inspect
from contextlib import AsyncExitStack
from typing import Any

from athlos.environment import Environment
from athlos.errors import AthlosError, EnvError

__all__ = ["enter_shared"]


async def enter_shared(env: type[Environment], config: Any, stack: AsyncExitStack) -> Any:
    """Enters `env.shared(config)`, sync or async, for as long as the stack is open.

    Raises:
        EnvError: It raised.
    """
    try:
        manager: Any = env.shared(config)
        if inspect.isawaitable(manager):
            manager = await manager
        if hasattr(manager, "__aenter__"):
            return await stack.enter_async_context(manager)
        return stack.enter_context(manager)
    except AthlosError:
        raise
    except (Exception, SystemExit) as error:  # an author's code may raise anything
        raise EnvError(f"shared() of {env.name} raised {type(error).__name__}: {error}") from error
