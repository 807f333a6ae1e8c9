r"""Mathematics with a final answer, compared by meaning; generated problems of five levels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

# Verification needs it: imported here so that it is missed when the environment is loaded, and so
# that a worker process has it before the clock of its first verification runs.
import math_verify  # noqa: F401

from athlos import Config as BaseConfig
from athlos import ConfigError, Environment, Rollout, Task, reward
from athlos.envs.math_with_judge.problems import LEVELS, problem
from athlos.envs.seeds import split_seeds
from athlos.envs.texts import all_text
from athlos.scoring import verify_math


class MathWithJudge(Environment):
    """Solve a mathematics problem; the answer counts, not the way."""

    required_info = ("expected_answer",)
    version = "1"
    check_exceptions: ClassVar[dict[str, str]] = {
        "attack.think_tags": "all text is read, as elsewhere; a server can keep thoughts out of it",
        "attack.options": "the same: the prompt is echoed with them",
        "attack.guesses": "of a list outside of boxes the library reads one number, as elsewhere",
        "attack.mention": "any number in the text is an answer if nothing else is, as elsewhere",
    }

    class Config(BaseConfig):
        """Settings.

        Attributes:
            size: Number of generated problems.
            level: 1 (one sum) to 5 (matrices, integrals); all levels in turn if it is not set.
            request: What is said after the problem about the form of the answer.
        """

        size: int = 500
        level: int | None = None
        request: str = "Put the final answer into \\boxed{}."

    @classmethod
    def tasks(cls, config: Config, split: str) -> Iterator[Task]:
        """Generated problems; `train` and `test` have none in common."""
        if config.level is not None and config.level not in LEVELS:
            raise ConfigError(f"level must be {LEVELS[0]} to {LEVELS[-1]}, not {config.level}")
        for seed in split_seeds(split, config.size):
            level = config.level or LEVELS[seed % len(LEVELS)]
            made = problem(seed, level)
            yield Task(
                prompt=f"{made.question} {config.request}".strip(),
                info={
                    "question": made.question,
                    "expected_answer": made.expected_answer,
                    "topic": made.topic,
                    "level": level,
                },
                id=f"level-{level}-{seed}",
            )

    # an answer such as 9^{9^{9^9}} keeps any verifier busy: that is a wrong answer, not a failure
    @reward(process=True, timeout=15.0, on_timeout=0.0)
    def correct(self, rollout: Rollout) -> float:
        """1 if the answer equals the expected one."""
        verdict = verify_math(str(self.task.info["expected_answer"]), all_text(rollout))
        rollout.extra["extracted_answer"] = verdict.extracted
        return verdict.score
