"""The 100+ procedural generators of the library reasoning-gym, each with its own scorer.

`reasoning-gym:leg_counting` is the data set `leg_counting`; its settings are those of the library's
own configuration class (`--env.max_animals 5`), with `size` and `seed` among them.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import msgspec

from athlos import ConfigError, Environment, Rollout, Task, reward
from athlos.scoring.reasoning_gym import score_answer
from athlos.scoring.tagged import tagged_answer

with warnings.catch_warnings():
    warnings.simplefilter("ignore", SyntaxWarning)  # of one of the library's dependencies
    from reasoning_gym.factory import DATASETS

__all__ = ["load"]

_SPLIT_SEEDS = {"test": 1_000_003, "train": 42}
_FORMAT = "Put your final answer between <answer> and </answer>."


def load(name: str) -> type[Environment]:
    """The environment of one data set.

    Raises:
        ConfigError: There is no such data set.
    """
    if name not in DATASETS or name == "composite":
        close = difflib.get_close_matches(name, DATASETS, n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(close)}?" if close else f"There are: {_names()}"
        raise ConfigError(f"reasoning-gym has no data set {name!r}", hint=hint)
    dataset, settings = DATASETS[name]
    return type(
        "ReasoningGym",
        (_ReasoningGym,),
        {
            "__doc__": f"The data set {name} of reasoning-gym.",
            "__module__": __name__,
            "name": f"reasoning-gym:{name}",
            "version": _version(),
            "Config": settings,
            "dataset_class": dataset,
            "settings_class": settings,
        },
    )


class _ReasoningGym(Environment):
    dataset_class: Any
    settings_class: Any
    check_exceptions: ClassVar[dict[str, str]] = {
        "attack.near_miss": "the library's own scorers: some give credit for what is nearly right",
        "attack.think_tags": "all text is read where there are no answer tags, as elsewhere",
        "tasks": "the library's own generators, some of which have few tasks",
    }

    @classmethod
    def _dataset(cls, config: Any) -> Any:
        try:
            settings = cls.settings_class(**msgspec.structs.asdict(config))
            if hasattr(settings, "validate"):
                settings.validate()
            return cls.dataset_class(config=settings)
        except (AssertionError, ValueError, TypeError) as error:
            raise ConfigError(f"{cls.name}: the library refuses these settings: {error}") from error

    @classmethod
    def tasks(cls, config: Any, split: str) -> Iterator[Task]:
        """`size` tasks; the split decides the seed if none is set."""
        config = _seeded(config, split)
        dataset = cls._dataset(config)
        for index in range(config.size):
            entry = dataset[index]
            yield Task(
                prompt=f"{entry['question'].strip()}\n\n{_FORMAT}",
                info={"index": index, "seed": config.seed, "answer": entry["answer"]},
                id=f"{config.seed}-{index}",
            )

    @classmethod
    @contextmanager
    def shared(cls, config: Any) -> Iterator[dict[int, Any]]:
        """Data sets by seed: a scorer needs its entry as the library made it, not as JSON."""
        yield {}

    def _entry(self) -> tuple[Any, Any]:
        info = self.task.info
        seed = info.get("seed", 0)
        datasets: Any = self.shared
        if seed not in datasets:
            datasets[seed] = self._dataset(_seeded(self.config, "test", seed))
        dataset = datasets[seed]
        # a row that was made elsewhere brings its own entry
        return dataset, dataset[info["index"]] if "index" in info else info

    def oracle(self) -> str | None:
        """Gives the library's own answer, if it has one."""
        answer = self.task.info.get("answer")
        return None if answer in (None, "") else f"<answer>{answer}</answer>"

    @reward
    def correct(self, rollout: Rollout) -> float:
        """The library's own score of the answer, 0 to 1; some data sets give partial credit."""
        answer = tagged_answer(_without_open_thought(rollout.answer))
        rollout.extra["extracted_answer"] = answer
        dataset, entry = self._entry()
        return score_answer(type(self).name.partition(":")[2], dataset, answer, entry)


def _without_open_thought(text: str) -> str:
    """The text up to a <think> that is never closed: what follows was not said as an answer."""
    start = text.find("<think>", text.rfind("</think>") + 1)
    return text if start < 0 else text[:start]


def _seeded(config: Any, split: str, seed: int | None = None) -> Any:
    if seed is None:
        seed = config.seed
    if seed is None:
        seed = _SPLIT_SEEDS.get(split)
        if seed is None:
            raise ConfigError(
                f"reasoning-gym has no split {split!r}", hint="It has: train, test (or --env.seed)"
            )
    return msgspec.structs.replace(config, seed=seed)


def _names() -> str:
    return ", ".join(sorted(DATASETS.keys() - {"composite"}))


def _version() -> str:
    from importlib.metadata import version

    return version("reasoning-gym")
