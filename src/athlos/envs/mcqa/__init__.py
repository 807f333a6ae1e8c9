"""Multiple-choice questions, graded by the letter that was chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, cast

from athlos import Config as BaseConfig
from athlos import Environment, Rollout, Task, reward
from athlos.envs.mcqa.questions import question
from athlos.envs.seeds import split_seeds
from athlos.envs.texts import drop_open_thought
from athlos.scoring import GradingMode, extract_choice, score_choice

# no letter as an example: whoever repeats the prompt must not have answered
_REQUEST = "Answer with the letter of the right option alone in a box: \\boxed{}."


class Mcqa(Environment):
    """Choose the one right option."""

    version = "1"
    check_exceptions: ClassVar[dict[str, str]] = {
        "attack.think_tags": "all text is read, as elsewhere; a server can keep thoughts out of it",
    }

    class Config(BaseConfig):
        """Settings.

        Attributes:
            size: Number of generated questions.
            grading_mode: How the letter is found where a row does not say.
        """

        size: int = 300
        grading_mode: GradingMode = "strict_single_letter_boxed"

    @classmethod
    def tasks(cls, config: Config, split: str) -> Iterator[Task]:
        """Generated questions; `train` and `test` have different seeds."""
        for seed in split_seeds(split, config.size):
            made = question(seed)
            options = "\n".join(f"{letter}: {text}" for letter, text in made.options.items())
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
            drop_open_thought(rollout.completion),
            info.get("options"),
            cast(GradingMode, info.get("grading_mode") or self.config.grading_mode),
            output_regex=template.get("output_regex"),
            answer_prefix=template.get("answer_prefix"),
        )
        rollout.extra["extracted_answer"] = choice
        return score_choice(str(info["expected_answer"]), choice)
