"""The engine: `collect` joins environments, agents and models, and owns everything that waits."""

from athlos.engine.collect import collect
from athlos.engine.collection import Collection

__all__ = ["Collection", "collect"]
