"""The models that the server asks by itself: the policy of `/run`, and roles such as a judge."""

from __future__ import annotations

import asyncio

from athlos.errors import ConfigError
from athlos.models.client import Model
from athlos.serve.options import Policy
from athlos.serve.refused import Refused

__all__ = ["Policies", "make_model"]

_MOST = 16  # models of one server, each with its own connections


def make_model(policy: Policy, name: str | None = None) -> Model:
    """A model as the options describe it; it is not connected."""
    tokens = None
    if policy.tokens != "off":
        from athlos.models.token_modes import token_mode

        tokens = token_mode(policy.tokens)
    return Model(
        policy.base_url or None, name or policy.model, api_key_env=policy.api_key_env,
        sampling=policy.sampling, tokens=tokens,
    )  # fmt: skip


class Policies:
    """The policy, by the name that a request gives it, if the options leave that open.

    Args:
        policy: The model server.
        model: A policy that is there already; it wins.

    Raises:
        ConfigError: The address is malformed, or the variable with the key is not set.
    """

    def __init__(self, policy: Policy, model: Model | None = None) -> None:
        self._policy = policy
        self._models: dict[str, Model] = {}
        self._fixed = model
        self._ready = make_model(policy) if model is None else None  # it is not connected
        self._connecting = asyncio.Lock()
        self._connected = False

    async def get(self, name: str | None) -> Model:
        """The model of that name; that of the options, if they name one, as NeMo Gym has it.

        Raises:
            Refused: There is no such model, or its server does not answer.
        """
        key = "" if self._policy.model or self._fixed or name is None else name
        if (model := self._models.get(key)) is not None:
            return model
        async with self._connecting:
            if (model := self._models.get(key)) is not None:
                return model
            if len(self._models) >= _MOST:
                raise Refused(422, "too_many_models", f"{_MOST} models were asked for already")
            model = self._fixed
            if model is None and not key:
                model, self._ready = self._ready, None
            model = model or make_model(self._policy, key or None)
            try:
                await model.connect()
            except ConfigError as error:
                if model is not self._fixed:
                    await model.close()
                raise Refused(
                    502, "model_error", error.message, failure_class="model_error", retryable=True
                ) from None
            self._models[key] = model
            return model

    async def close(self) -> None:
        """Frees the connections."""
        unused = [] if self._ready is None else [self._ready]
        for model in (*self._models.values(), *unused):
            if model is not self._fixed:
                await model.close()
