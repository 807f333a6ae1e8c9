"""Hard science questions with four options, read as GPQA's answers are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from athlos import Config as BaseConfig
from athlos import Environment, Rollout, Task, reward
from athlos.envs.gpqa_diamond.questions import question
from athlos.envs.seeds import split_seeds
from athlos.envs.texts import all_text
from athlos.scoring import extract_choice, score_choice

# no example letter: whoever repeats the prompt must not have answered
_REQUEST = "Think it through, then put the letter of the right option alone into \\boxed{}."


class GpqaDiamond(Environment):
    """Choose the one right option of a science question."""

    version = "1"
    check_exceptions: ClassVar[dict[str, str]] = {
        "attack.echo": "the last capital that stands alone in a box counts, as elsewhere",
        "attack.options": "the same: the prompt is put into a box with them",
        "attack.think_tags": "all text is read, as elsewhere; a server can keep thoughts out of it",
    }

    class Config(BaseConfig):
        """Settings.

        Attributes:
            size: Number of generated questions.
        """

        size: int = 300

    @classmethod
    def tasks(cls, config: Config, split: str) -> Iterator[Task]:
        """Generated questions; `train` and `test` have different seeds."""
        for seed in split_seeds(split, config.size):
            made = question(seed)
            options = "\n".join(f"{letter}) {text}" for letter, text in made.options.items())
            yield Task(
                prompt=f"{made.question}\n\n{options}\n\n{_REQUEST}",
                info={
                    "options": [{letter: text} for letter, text in made.options.items()],
                    "expected_answer": made.answer,
                    "topic": made.topic,
                },
                id=f"question-{seed}",
            )

    @reward
    def correct(self, rollout: Rollout) -> float:
        """1 if the chosen letter is the right one."""
        info = self.task.info
        template: dict[str, Any] = info.get("template_metadata") or {}
        choice = extract_choice(
            all_text(rollout),
            info.get("options"),
            "gpqa_diamond",
            output_regex=template.get("output_regex"),
        )
        rollout.extra["extracted_answer"] = choice
        return score_choice(str(info.get("expected_answer") or ""), choice)
