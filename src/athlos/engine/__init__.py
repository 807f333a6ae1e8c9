"""The engine: `collect` joins environments, agents and models, and owns everything that waits."""

from athlos.engine.collect import collect
from athlos.engine.collection import Collection
from athlos.engine.feed import Feed
from athlos.engine.groups import Group, GroupPolicy
from athlos.engine.order import Curriculum

__all__ = ["Collection", "Curriculum", "Feed", "Group", "GroupPolicy", "collect"]
