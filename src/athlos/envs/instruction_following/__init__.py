"""Instructions whose obedience a program can check."""

from __future__ import annotations

from collections.abc import Iterator

from athlos import Config as BaseConfig
from athlos import Rollout, Task, reward
from athlos.envs.instructed import GradingMode, Instructed, instructed_tasks
from athlos.envs.instruction_following.catalogue import CATALOGUE

_LEVELS = (1, 2, 3, 4, 5)


class InstructionFollowing(Instructed):
    """Write a text that obeys several instructions."""

    required_info = ("instruction_id_list",)
    version = "1"

    class Config(BaseConfig):
        """Settings.

        Attributes:
            size: Number of generated tasks.
            level: How many instructions a task has, 1 to 5; 1 to 5 in turn if it is not set.
            grading_mode: `binary`: all must be followed; `fraction`: the share that is. For rows
                that do not say.
        """

        size: int = 300
        level: int | None = None
        grading_mode: GradingMode = "binary"

    @classmethod
    def tasks(cls, config: Config, split: str) -> Iterator[Task]:
        """Generated tasks; `train` and `test` have none in common."""
        return instructed_tasks(
            "instruction_following", CATALOGUE, (split, config.size), config.level, _LEVELS
        )

    # a row's keywords are patterns, and some checks take long on texts made for that
    @reward(process=True, timeout=20.0, on_timeout=0.0)
    def followed(self, rollout: Rollout) -> float:
        """1 if all instructions are followed, or the share of them that is."""
        return self.share(rollout, self.config.grading_mode)
