"""Begins and ends what a trainer calls the Gym: here, attempts in a thread of this process."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nemo_gym._engine import Engine
from nemo_gym.server_utils import HEAD_SERVER_KEY_NAME

__all__ = ["GlobalConfigDictParserConfig", "RunHelper"]


@dataclass
class GlobalConfigDictParserConfig:
    """What NeMo Gym makes its configuration of.

    Attributes:
        dotenv_path: Not read here.
        initial_global_config_dict: A mapping, or one of OmegaConf's; its key `athlos` counts.
        skip_load_from_cli: Not read here: the command line is never looked at.
    """

    dotenv_path: Path | None = None
    initial_global_config_dict: Any = field(default_factory=dict)
    skip_load_from_cli: bool = False


class RunHelper:
    """Begins the attempts' engine, looks whether it works, and ends it."""

    def __init__(self) -> None:
        self._engine: Engine | None = None

    def start(self, global_config_dict_parser_config: GlobalConfigDictParserConfig) -> None:
        """Makes the environments ready.

        Raises:
            athlos.ConfigError: The configuration has no `athlos`, or what it says is wrong.
        """
        if self._engine is not None:
            raise RuntimeError("start() was called twice; call shutdown() first")
        config = plain(global_config_dict_parser_config.initial_global_config_dict)
        head = config.get(HEAD_SERVER_KEY_NAME) or {}
        self._engine = Engine(config, head.get("port"))

    def poll(self) -> None:
        """Raises what keeps rollouts from coming about.

        Raises:
            athlos.train.nemo_rl.GymError: Nothing but failures came, or the engine has ended.
        """
        if self._engine is None:
            raise RuntimeError("start() was not called, or shutdown() was")
        self._engine.check()

    def shutdown(self) -> None:
        """Gives up what is under way. May be called twice."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()


def plain(config: Any) -> dict[str, Any]:
    """A configuration as a dict, whatever it was written in."""
    if isinstance(config, dict):
        return dict(config)
    from omegaconf import OmegaConf

    made: dict[str, Any] = OmegaConf.to_container(config, resolve=True)
    return made
