"""From the calls of a rollout to the sequences that a trainer takes."""

from athlos.sequences.advantages import AdvantageMode, advantages
from athlos.sequences.build import build
from athlos.sequences.check import check
from athlos.sequences.report import Built, Dropped

__all__ = ["AdvantageMode", "Built", "Dropped", "advantages", "build", "check"]
