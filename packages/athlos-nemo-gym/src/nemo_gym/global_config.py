"""The configuration that is in force, for those who ask which agents there are."""

from __future__ import annotations

from typing import Any

from nemo_gym._engine import Engine

__all__ = ["get_global_config_dict"]


def get_global_config_dict() -> dict[str, Any]:
    """What `RunHelper.start` was given, with an entry for each agent, as a server would have.

    Raises:
        RuntimeError: Nobody has begun an engine.
    """
    engine = Engine.running(None)
    agents = {
        name: {"responses_api_agents": {"athlos": {"entrypoint": "athlos"}}}
        for name in engine.agents
    }
    return {**engine.config, **agents}
