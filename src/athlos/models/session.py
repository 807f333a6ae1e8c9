"""A model as one attempt sees it."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from athlos.models.budget import Budget
from athlos.models.chat import Reply
from athlos.models.replicas import Replica
from athlos.types import Message

if TYPE_CHECKING:
    import msgspec

    from athlos.models.client import Model

__all__ = ["Session"]


class Session:
    """The calls of one attempt: to one replica as far as possible, and within one budget.

    Attributes:
        budget: What the calls may spend; None is no limit.
        replica: Where the last call went; the next one goes there, too.
    """

    __slots__ = ("_model", "budget", "replica")

    def __init__(self, model: Model, budget: Budget | None, replica: Replica | None) -> None:
        self._model = model
        self.budget = budget
        self.replica = replica

    @property
    def name(self) -> str:
        """What the server calls the model."""
        return self._model.name

    @property
    def sampling(self) -> dict[str, Any]:
        """Parameters of every call."""
        return self._model.sampling

    @property
    def offers_tools(self) -> bool:
        """False if it is known that the model is not told of tools."""
        return self._model.offers_tools

    def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | msgspec.Raw = (),
        sampling: Mapping[str, Any] | None = None,
    ) -> Coroutine[Any, Any, Reply]:
        """As `Model.chat`.

        Raises:
            BudgetError: The call does not fit into what is left of the budget.
        """
        return self._model.call(self, messages, tools, sampling)
