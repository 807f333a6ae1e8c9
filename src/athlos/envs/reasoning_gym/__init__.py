"""Many data sets of the library reasoning-gym in one environment, each with its own scorer."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from athlos import Config as BaseConfig
from athlos import ConfigError, Environment, Rollout, Task, reward
from athlos.envs.seeds import split_seeds
from athlos.envs.texts import drop_open_thought
from athlos.scoring.reasoning_gym import score_answer
from athlos.scoring.tagged import tagged_answer

_FORMAT = "Put your final answer between <answer> and </answer>."
_DATASETS = (
    "basic_arithmetic", "chain_sum", "leg_counting", "gcd", "lcm", "prime_factorization",
    "base_conversion", "number_sorting", "spell_backward", "word_sorting", "caesar_cipher",
    "simple_equations", "count_bits", "fraction_simplification", "decimal_arithmetic",
    "letter_counting", "bitwise_arithmetic", "products",
)  # fmt: skip


class ReasoningGym(Environment):
    """Answer questions of many procedural data sets."""

    version = "1"
    check_exceptions: ClassVar[Mapping[str, str]] = {
        "attack": "the library's own scorers, some of which give credit for what is nearly right",
        "tasks": "the library's own generators, some of which have few tasks",
    }

    class Config(BaseConfig):
        """Settings.

        Attributes:
            size: Number of tasks.
            datasets: Names of data sets, taken in turn; none are eighteen of the library.
        """

        size: int = 360
        datasets: tuple[str, ...] = ()

    @classmethod
    def tasks(cls, config: Config, split: str) -> Iterator[Task]:
        """Questions of the data sets in turn; `train` and `test` have different seeds."""
        names = config.datasets or _DATASETS
        for number, seed in enumerate(split_seeds(split, config.size)):
            name = names[number % len(names)]
            entry = _dataset(name, seed)[0]
            yield Task(
                prompt=f"{entry['question'].strip()}\n\n{_FORMAT}",
                info={
                    "question": entry["question"],
                    "answer": entry["answer"],
                    "metadata": {"source_dataset": name, "source_index": 0},
                    "generated_seed": seed,
                },
                id=f"{name}-{seed}",
            )

    @classmethod
    @contextmanager
    def shared(cls, config: Config) -> Iterator[dict[str, Any]]:
        """Data sets that only score, by name."""
        yield {}

    def oracle(self) -> str:
        """Gives the library's own answer."""
        return f"<answer>{self.task.info['answer']}</answer>"

    @reward
    def correct(self, rollout: Rollout) -> float:
        """The library's own score of the answer, 0 to 1; some data sets give partial credit."""
        text = drop_open_thought(rollout.answer)
        answer = tagged_answer(text)
        rollout.extra["extracted_answer"] = answer
        if not text.strip():
            return 0.0
        info = self.task.info
        name = str((info.get("metadata") or {}).get("source_dataset"))
        if "generated_seed" in info:  # a scorer needs its entry as the library made it, not as JSON
            dataset = _dataset(name, int(info["generated_seed"]))
            entry = dataset[0]
        else:
            scorers: Any = self.shared
            dataset = scorers[name] = scorers.get(name) or _dataset(name, 0)
            entry = info
        return score_answer(name, dataset, answer, entry)


def _dataset(name: str, seed: int) -> Any:
    """A data set with one entry.

    Raises:
        ConfigError: The library is missing, or has no such data set.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of one of its dependencies
            from reasoning_gym.factory import DATASETS
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"reasoning_gym needs the library reasoning-gym: {error}",
            hint="pip install 'athlos[reasoning-gym]'",
        ) from error
    if name not in DATASETS or name == "composite":
        raise ConfigError(
            f"reasoning-gym has no data set {name!r:.100}",
            hint="`athlos show reasoning-gym:x` lists them.",
        )
    dataset, settings = DATASETS[name]
    return dataset(config=settings(seed=seed, size=1))
