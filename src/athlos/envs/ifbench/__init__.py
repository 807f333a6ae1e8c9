"""IFBench: unusual instructions whose obedience a program can check."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from athlos import Config as BaseConfig
from athlos import Rollout, Task, metric, reward
from athlos.envs.ifbench.catalogue import CATALOGUE
from athlos.envs.ifbench.published import published_tasks
from athlos.envs.instructed import GradingMode, Instructed, instructed_tasks

_LEVELS = (1, 2)


class Ifbench(Instructed):
    """Write a text that obeys unusual instructions."""

    required_info = ("instruction_id_list",)
    version = "1"

    class Config(BaseConfig):
        """Settings.

        Attributes:
            size: Number of generated tasks.
            level: How many instructions a task has, 1 or 2; both in turn if it is not set.
            source: `generated` tasks, or those of `IFBench` (split `test` only).
            grading_mode: `binary`: all must be followed; `fraction`: the share that is. For rows
                that do not say.
        """

        size: int = 300
        level: int | None = None
        source: Literal["generated", "IFBench"] = "generated"
        grading_mode: GradingMode = "fraction"

    @classmethod
    def tasks(cls, config: Config, split: str) -> Iterator[Task]:
        """Generated tasks, `train` and `test` with none in common; or the published ones."""
        if config.source == "IFBench":
            return published_tasks(split)
        wanted = (split, config.size)
        return instructed_tasks("ifbench", CATALOGUE, wanted, config.level, _LEVELS, each=True)

    # some checks take long on texts made for that
    @reward(process=True, timeout=20.0, on_timeout=0.0)
    def followed(self, rollout: Rollout) -> float:
        """The share of the instructions that is followed, or 1 if all are."""
        mode = self.config.grading_mode
        rollout.extra["reward_loose"] = self.share(rollout, mode, loose=True)
        return self.share(rollout, mode)

    @metric
    def reward_loose(self, rollout: Rollout) -> float:
        """The same, where an instruction counts that a variant of the text follows."""
        return float(rollout.extra.pop("reward_loose", 0.0))
