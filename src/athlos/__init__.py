"""Athlos runs language models and agents against environments and keeps scored rollouts.

Everything public is here. Names load their module when first used, so `import athlos` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from athlos._version import __version__

if TYPE_CHECKING:
    from athlos.agents import Agent, ToolLoop
    from athlos.engine import Collection, Curriculum, Group, GroupPolicy, collect
    from athlos.environment import Config, Environment, group_reward, metric, reward
    from athlos.errors import (
        AgentError,
        AthlosError,
        AttemptTimeout,
        BudgetError,
        Cancelled,
        ConfigError,
        ContextOverflow,
        EnvError,
        JudgeError,
        ModelError,
        SandboxError,
        TokenError,
        ToolError,
        VerifierError,
    )
    from athlos.metrics import Summary
    from athlos.models import Budget, Deadlines, Model, Retry
    from athlos.registry import load
    from athlos.runs import read_failures, read_rollouts
    from athlos.tools import tool
    from athlos.types import (
        Call,
        Failure,
        Message,
        Rollout,
        Sequence,
        Task,
        ToolCall,
        Usage,
        VersionSpan,
    )

_HOMES = {
    "agents": ("Agent", "ToolLoop"),
    "engine": ("Collection", "Curriculum", "Group", "GroupPolicy", "collect"),
    "environment": ("Config", "Environment", "group_reward", "metric", "reward"),
    "errors": (
        "AgentError",
        "AthlosError",
        "AttemptTimeout",
        "BudgetError",
        "Cancelled",
        "ConfigError",
        "ContextOverflow",
        "EnvError",
        "JudgeError",
        "ModelError",
        "SandboxError",
        "TokenError",
        "ToolError",
        "VerifierError",
    ),
    "metrics": ("Summary",),
    "models": ("Budget", "Deadlines", "Model", "Retry"),
    "registry": ("load",),
    "runs": ("read_failures", "read_rollouts"),
    "tools": ("tool",),
    "types": (
        "Call",
        "Failure",
        "Message",
        "Rollout",
        "Sequence",
        "Task",
        "ToolCall",
        "Usage",
        "VersionSpan",
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Agent",
    "AgentError",
    "AthlosError",
    "AttemptTimeout",
    "Budget",
    "BudgetError",
    "Call",
    "Cancelled",
    "Collection",
    "Config",
    "ConfigError",
    "ContextOverflow",
    "Curriculum",
    "Deadlines",
    "EnvError",
    "Environment",
    "Failure",
    "Group",
    "GroupPolicy",
    "JudgeError",
    "Message",
    "Model",
    "ModelError",
    "Retry",
    "Rollout",
    "SandboxError",
    "Sequence",
    "Summary",
    "Task",
    "TokenError",
    "ToolCall",
    "ToolError",
    "ToolLoop",
    "Usage",
    "VerifierError",
    "VersionSpan",
    "__version__",
    "collect",
    "group_reward",
    "load",
    "metric",
    "read_failures",
    "read_rollouts",
    "reward",
    "tool",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'athlos' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"athlos.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
