"""The engine: `collect` joins environments, agents and models, and owns everything that waits."""

from athlos.engine.collect import Collection, collect

__all__ = ["Collection", "collect"]
