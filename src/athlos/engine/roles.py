"""Models by role, as an environment gets them: their failures are not the policy's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from athlos.errors import ConfigError, JudgeError, ModelError
from athlos.models.budget import Budget
from athlos.models.chat import Reply
from athlos.models.client import Model
from athlos.types import Usage

__all__ = ["RoleModel", "Roles"]


class RoleModel:
    """A model in a role, for one attempt. What it cannot answer is a `JudgeError`.

    Attributes:
        usage: What it sampled and read in this attempt.
    """

    def __init__(self, role: str, model: Model, budget: Budget | None) -> None:
        self.role = role
        self.usage = Usage()
        self._session = model.session(budget=budget)

    @property
    def name(self) -> str:
        """What the server calls the model."""
        return self._session.name

    async def chat(self, *args: Any, **kwargs: Any) -> Reply:
        """As `Model.chat`.

        Raises:
            JudgeError: The model failed.
        """
        try:
            reply = await self._session.chat(*args, **kwargs)
        except ModelError as error:
            failed = JudgeError(f"the model in the role {self.role!r}: {error.message}")
            failed.retryable = error.retryable
            raise failed from error
        self.usage.add(reply.usage)
        return reply


class Roles(dict[str, RoleModel]):
    """Models by role, with an error that helps where there is none.

    Args:
        models: All of them.
        budget: The run's ceiling, if it has one.
    """

    def __init__(self, models: Mapping[str, Model], budget: Budget | None = None) -> None:
        super().__init__({role: RoleModel(role, m, budget) for role, m in models.items()})

    def usage(self) -> dict[str, Usage]:
        """The tokens of each role that was asked."""
        return {role: m.usage for role, m in self.items() if m.usage != _NOTHING}

    def __missing__(self, role: str) -> RoleModel:
        raise missing(role, self)


_NOTHING = Usage()


def missing(role: str, have: Mapping[str, Any]) -> ConfigError:
    """What to say when an environment needs a role that nobody fills."""
    return ConfigError(
        f"the environment asks for a model in the role {role!r}; there is none "
        f"(there are: {', '.join(have) or 'none'})",
        hint=f"Pass models={{{role!r}: Model(...)}}, or write `models:` into a run file.",
    )
