"""IFBench: unusual instructions whose obedience a program can check."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

# needed by some checks: missed when the environment is loaded, loaded before a first verification
import emoji  # noqa: F401
import langdetect  # type: ignore[import-untyped]  # noqa: F401
import syllapy  # type: ignore[import-untyped]  # noqa: F401

from athlos import Config as BaseConfig
from athlos import ConfigError, Environment, Rollout, Task, metric, reward
from athlos.envs.directives import directed
from athlos.envs.ifbench.catalogue import CATALOGUE
from athlos.envs.ifbench.published import published_tasks
from athlos.envs.seeds import split_seeds
from athlos.envs.texts import last_block
from athlos.scoring.instructions import follows_all

GradingMode = Literal["binary", "fraction"]


class Ifbench(Environment):
    """Write a text that obeys unusual instructions."""

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
            yield from published_tasks(split)
            return
        if config.level not in (None, 1, 2):
            raise ConfigError(f"level must be 1 or 2, not {config.level}")
        for seed in split_seeds(split, config.size):
            level = config.level or 1 + seed % 2
            made = directed("ifbench", seed, CATALOGUE, level, each=True)
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

    def _share(self, rollout: Rollout, *, loose: bool) -> float:
        info = self.task.info
        asked = info.get("instruction_id_list") or []
        given = info.get("kwargs") or [None] * len(asked)
        found = follows_all(asked, given, last_block(rollout), loose=loose)
        suffix = "_loose" if loose else ""
        rollout.extra[f"follow_instruction_list{suffix}"] = found
        rollout.extra[f"follow_all_instructions{suffix}"] = bool(found) and all(found)
        mode = info.get("grading_mode") or self.config.grading_mode
        if mode == "fraction":
            return sum(found) / len(found) if found else 0.0
        return float(bool(found) and all(found))

    # some checks take long on texts made for that
    @reward(process=True, timeout=20.0, on_timeout=0.0)
    def followed(self, rollout: Rollout) -> float:
        """The share of the instructions that is followed, or 1 if all are."""
        rollout.extra["reward_loose"] = self._share(rollout, loose=True)
        return self._share(rollout, loose=False)

    @metric
    def reward_loose(self, rollout: Rollout) -> float:
        """The same, where an instruction counts that a variant of the text follows."""
        return float(rollout.extra.pop("reward_loose", 0.0))
