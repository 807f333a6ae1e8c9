"""Rows in, results out."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from typing import Any

from nemo_gym._engine import Engine
from nemo_gym.server_utils import BaseServerConfig

__all__ = ["RolloutCollectionHelper"]

Row = dict[str, Any]


class RolloutCollectionHelper:
    """Attempts rows on the engine that a `RunHelper` of this process has begun."""

    def run_examples(
        self, examples: list[Row], head_server_config: BaseServerConfig | None = None
    ) -> Iterator[Awaitable[tuple[Row, Row]]]:
        """Begins with all rows at once.

        Args:
            examples: Rows; each gets its `agent_ref`, if it has none and there is one environment.
            head_server_config: Says by its port which engine, if there are several.

        Returns:
            Awaitables of row and result, in the order in which they come to an end.

        Raises:
            RuntimeError: Nobody has begun an engine.
            athlos.train.nemo_rl.GymError: A row is no task; its `status` is 422.
        """
        port = None if head_server_config is None else head_server_config.port
        return Engine.running(port).run(examples)
