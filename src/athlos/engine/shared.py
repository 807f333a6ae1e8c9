"""What the attempts of a run share: an environment's `shared`, entered once and left once."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

from athlos.environment import Environment
from athlos.errors import AthlosError, EnvError

__all__ = ["enter_shared"]


async def enter_shared(env: type[Environment], config: Any, stack: AsyncExitStack) -> Any:
    """Enters `env.shared(config)`, sync or async, for as long as the stack is open.

    Raises:
        EnvError: It raised; also when the stack is closed.
    """
    entered = AsyncExitStack()

    async def leave() -> None:
        with _blame(env):
            await entered.aclose()

    with _blame(env):
        manager: Any = env.shared(config)
        if inspect.isawaitable(manager):
            manager = await manager
        if hasattr(manager, "__aenter__"):
            value = await entered.enter_async_context(manager)
        else:
            value = entered.enter_context(manager)
    stack.push_async_callback(leave)
    return value


@contextmanager
def _blame(env: type[Environment]) -> Iterator[None]:
    try:
        yield
    except AthlosError:
        raise
    except (Exception, SystemExit) as error:  # an author's code may raise anything
        raise EnvError(f"shared() of {env.name} raised {type(error).__name__}: {error}") from error
