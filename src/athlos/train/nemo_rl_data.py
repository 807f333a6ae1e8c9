"""An environment's tasks as the rows that NeMo RL trains on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from athlos.environment import Environment
from athlos.errors import ConfigError
from athlos.registry import load
from athlos.runs.gym_export import AGENT, gym_row
from athlos.train.tables import TaskTable

__all__ = ["write_rows"]


def write_rows(
    environment: str | type[Environment],
    out: str | Path,
    *,
    agent: str = AGENT,
    split: str = "train",
    limit: int | None = None,
    config: Any = None,
) -> int:
    """Writes a JSONL file for `data.train.data_path`, and returns how many rows it has.

    Args:
        environment: As for `athlos.collect`.
        out: The file.
        agent: The name that the rows have in `agent_ref`.
        split: Of the environment's tasks.
        limit: How many of them.
        config: The environment's settings.

    Raises:
        ConfigError: The environment has no tasks, or the file cannot be written.
    """
    env = load(environment)
    table = TaskTable(env, None, config=config, split=split, limit=limit)
    tools = {name: tool.wire for name, tool in env.tools.items()}
    ref = {"type": "responses_api_agents", "name": agent}
    lines = [
        msgspec.json.encode({**gym_row(task, {}, tools), "agent_ref": ref}) + b"\n"
        for task in table.tasks.values()
    ]
    try:
        Path(out).write_bytes(b"".join(lines))
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}") from error
    return len(lines)
