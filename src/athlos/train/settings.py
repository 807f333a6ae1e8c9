"""Options of a run as a trainer's configuration has them: plain values, in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from athlos.agents import ToolLoop
from athlos.errors import ConfigError
from athlos.models.client import Model

__all__ = ["check_names", "read_options"]

_MODEL = frozenset({"base_url", "name", "api_key_env", "sampling"})


def read_options(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Options of `athlos.collect`: `agent` becomes a tool loop, and each of `models` a model.

    Args:
        given: As they were written.
        where: For messages.

    Raises:
        ConfigError: One of them is wrong.
    """
    made = dict(given)
    if "agent" in made:
        try:
            made["agent"] = ToolLoop(**made["agent"])
        except TypeError as error:
            raise ConfigError(f"{where}.agent: {error}") from error
    models = {}
    for role, one in (made.pop("models", None) or {}).items():
        check_names(one, _MODEL, f"{where}.models.{role}")
        models[role] = Model(**one)
    return {**made, "models": models} if models else made


def check_names(given: Mapping[str, Any], names: frozenset[str], where: str) -> None:
    """Checks that there are no other settings.

    Raises:
        ConfigError: There is another one.
    """
    for name in given:
        if name not in names:
            known = ", ".join(sorted(names))
            raise ConfigError(f"{where} has no setting {name!r}", hint=f"There are: {known}.")
