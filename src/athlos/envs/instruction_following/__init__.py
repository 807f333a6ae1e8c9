"""Instructions whose obedience a program can check."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

# needed by some checks: missed when the environment is loaded, loaded before a first verification
import emoji  # noqa: F401
import langdetect  # type: ignore[import-untyped]  # noqa: F401
import syllapy  # type: ignore[import-untyped]  # noqa: F401

from athlos import Config as BaseConfig
from athlos import ConfigError, Environment, Rollout, Task, reward
from athlos.envs.directives import directed
from athlos.envs.instruction_following.catalogue import CATALOGUE
from athlos.envs.seeds import split_seeds
from athlos.envs.texts import last_block
from athlos.scoring.instructions import follows_all

GradingMode = Literal["binary", "fraction"]


class InstructionFollowing(Environment):
    """Write a text that obeys several instructions."""

    version = "1"
    check_exceptions: ClassVar[dict[str, str]] = {
        "attack.characters": "any text that follows the instructions is right",
        "attack.long": "any text that follows the instructions is right",
        "attack.other_gold": "any text that follows the instructions is right",
        "attack.near_miss": "any text that follows the instructions is right",
        "attack.guesses": "any text that follows the instructions is right",
        "attack.options": "any text that follows the instructions is right",
        "attack.mention": "any text that follows the instructions is right",
        "attack.think_tags": "any text that follows the instructions is right",
    }

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
        if config.level is not None and not 1 <= config.level <= 5:
            raise ConfigError(f"level must be 1 to 5, not {config.level}")
        for seed in split_seeds(split, config.size):
            level = config.level or 1 + seed % 5
            made = directed("instruction_following", seed, CATALOGUE, level)
            yield Task(
                prompt=made.prompt,
                info={
                    "instruction_id_list": made.instruction_ids,
                    "kwargs": made.arguments,
                    "prompt": made.prompt,
                    "sample_answer": made.sample_answer,
                },
                id=f"level-{level}-{seed}",
            )

    # a row's keywords are patterns, and some checks take long on texts made for that
    @reward(process=True, timeout=20.0, on_timeout=0.0)
    def followed(self, rollout: Rollout) -> float:
        """1 if all instructions are followed, or the share of them that is."""
        info = self.task.info
        asked = info.get("instruction_id_list") or []
        found = follows_all(asked, info.get("kwargs") or [None] * len(asked), last_block(rollout))
        rollout.extra["follow_instruction_list"] = found
        rollout.extra["follow_all_instructions"] = bool(found) and all(found)
        mode = info.get("grading_mode") or self.config.grading_mode
        if mode == "fraction":
            return sum(found) / len(found) if found else 0.0
        return float(bool(found) and all(found))
