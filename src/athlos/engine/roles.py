"""Models by role, as an environment gets them: their failures are not the policy's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from athlos.errors import ConfigError, JudgeError, ModelError
from athlos.models.chat import Reply
from athlos.models.client import Model

__all__ = ["RoleModel", "Roles"]


class RoleModel:
    """A model in a role. What it cannot answer is a `JudgeError`."""

    def __init__(self, role: str, model: Model) -> None:
        self.role = role
        self.model = model

    @property
    def name(self) -> str:
        """What the server calls the model."""
        return self.model.name

    async def chat(self, *args: Any, **kwargs: Any) -> Reply:
        """As `Model.chat`.

        Raises:
            JudgeError: The model failed.
        """
        try:
            return await self.model.chat(*args, **kwargs)
        except ModelError as error:
            failed = JudgeError(f"the model in the role {self.role!r}: {error.message}")
            failed.retryable = error.retryable
            raise failed from error


class Roles(dict[str, RoleModel]):
    """Models by role, with an error that helps where there is none."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        super().__init__({role: RoleModel(role, model) for role, model in models.items()})

    def __missing__(self, role: str) -> RoleModel:
        raise missing(role, self)


def missing(role: str, have: Mapping[str, Any]) -> ConfigError:
    """What to say when an environment needs a role that nobody fills."""
    return ConfigError(
        f"the environment asks for a model in the role {role!r}; there is none "
        f"(there are: {', '.join(have) or 'none'})",
        hint=f"Pass models={{{role!r}: Model(...)}}, or write `models:` into a run file.",
    )
