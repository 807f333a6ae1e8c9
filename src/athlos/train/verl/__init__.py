"""verl: an agent loop and a data set (tested with verl 0.9.1).

`rollout.agent.agent_loop_config_path` names a YAML file with

    - name: athlos
      _target_: athlos.train.verl.AthlosAgentLoop
      environment: ./counter.py

and `data.custom_cls` names `TaskDataset`, whose rows carry the tasks. verl is imported when one of
these names is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from athlos.train.versions import require

if TYPE_CHECKING:
    from athlos.train.verl.hooks import AthlosAgentLoop, TaskDataset, close

__all__ = ["TESTED", "AthlosAgentLoop", "TaskDataset", "close"]

TESTED = ("verl", "0.9.1", "0.9.2")
"""The versions of verl that this was tested with: from, and up to but without."""


def __getattr__(name: str) -> Any:
    """The classes that are derived from verl's.

    Raises:
        ConfigError: verl is not installed, or of another version than was tested.
    """
    if name not in __all__:
        raise AttributeError(f"module 'athlos.train.verl' has no attribute {name!r}")
    require(*TESTED)
    from athlos.train.verl import hooks

    return getattr(hooks, name)
