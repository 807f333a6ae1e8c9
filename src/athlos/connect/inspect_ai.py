"""Tasks of Inspect, their data set and scorer: `inspect:package.module:task`, or of a file.

The solver of the task has no part in it: the attempt is made by Athlos's own agent.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inspect_ai import Task as InspectTask  # type: ignore[import-not-found,unused-ignore]
from inspect_ai.dataset import Sample  # type: ignore[import-not-found,unused-ignore]
from inspect_ai.model import (  # type: ignore[import-not-found,unused-ignore]
    ChatMessageAssistant,
    ChatMessageUser,
    ModelName,
    ModelOutput,
)
from inspect_ai.scorer import Target, value_to_float  # type: ignore[import-not-found,unused-ignore]
from inspect_ai.solver import TaskState  # type: ignore[import-not-found,unused-ignore]
from msgspec import field

from athlos.environment import Config, Environment, reward
from athlos.errors import ConfigError, VerifierError
from athlos.types import Message, Rollout, Task

__all__ = ["load"]

_ANSWER = re.compile(r"ANSWER\s*:\s*\(?([A-Z])\b", re.IGNORECASE)
_CHOOSE = "Choose one answer. End with a line `ANSWER: LETTER`."
_MODEL = ModelName("athlos/policy")


class InspectConfig(Config):
    """Settings of a task.

    Attributes:
        args: Arguments of the task's function.
    """

    args: dict[str, Any] = field(default_factory=dict)


def load(name: str) -> type[Environment]:
    """The environment of one task.

    Raises:
        ConfigError: There is no such task.
    """
    module, _, function = name.rpartition(":")
    make = getattr(_module(module or name, name), function, None) if module else None
    if not callable(make):
        raise ConfigError(
            f"inspect:{name} names no task",
            hint="inspect:package.module:task, or inspect:./file.py:task",
        )
    return type(
        "Inspect",
        (Inspect,),
        {
            "__doc__": f"The task {name} of Inspect.",
            "__module__": __name__,
            "name": f"inspect:{function}",
            "version": _version(),
            "digested": _files(module),
            "make": staticmethod(make),
        },
    )


class Inspect(Environment):
    """One sample of the task's data set."""

    Config = InspectConfig
    make: Any

    @classmethod
    def inspect_task(cls, config: InspectConfig) -> Any:
        """The task.

        Raises:
            ConfigError: Its function refuses its arguments, or needs what is not there.
        """
        try:
            made = cls.make(**config.args)
        except Exception as error:  # their function may raise anything
            raise ConfigError(
                f"{cls.name} cannot be made: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(made, InspectTask):
            raise ConfigError(f"{cls.name} made no task but {type(made).__name__}")
        if not made.scorer:
            raise ConfigError(f"{cls.name} has no scorer")
        return made

    @classmethod
    def tasks(cls, config: InspectConfig, split: str) -> Iterator[Task]:
        """The samples; which split the data set has is up to the task's arguments."""
        for index, sample in enumerate(cls.inspect_task(config).dataset):
            kept = sample.model_dump(
                mode="json", include={"input", "choices", "target", "metadata"}
            )
            name = index if sample.id is None else sample.id
            yield Task(prompt=_prompt(sample), info={"sample": kept}, id=str(name))

    @classmethod
    def shared(cls, config: InspectConfig) -> Any:
        """The task's scorers, for all attempts."""
        from contextlib import nullcontext

        return nullcontext(list(cls.inspect_task(config).scorer))

    @reward
    async def score(self, rollout: Rollout) -> float:
        """The task's first scorer; those after it are metrics."""
        sample = Sample.model_validate(self.task.info["sample"])
        state = _state(sample, self.task.id, rollout)
        scorers: Any = self.shared
        values: list[float] = []
        for number, scorer in enumerate(scorers):
            found = await scorer(state, Target(sample.target))
            if found is None:
                raise VerifierError(f"scorer {number} of {self.name} gave no score")
            values.append(_number(found.value, rollout, self.name))
            if not number:
                said = {"answer": found.answer, "explanation": found.explanation}
                rollout.extra |= {key: value for key, value in said.items() if value is not None}
            else:
                rollout.metrics[f"score_{number + 1}"] = values[-1]
        return values[0]


def _number(value: Any, rollout: Rollout, name: str) -> float:
    """A score as a number: letters as Inspect has them, several by their mean."""
    if isinstance(value, dict):
        parts = {key: _number(one, rollout, name) for key, one in value.items()}
        rollout.metrics |= {str(key): part for key, part in parts.items()}
        return sum(parts.values()) / max(len(parts), 1)
    if isinstance(value, list | tuple):
        numbers = [_number(one, rollout, name) for one in value]
        return sum(numbers) / max(len(numbers), 1)
    found = float(value_to_float()(value))
    if not math.isfinite(found):
        raise VerifierError(f"{name}: the score {value!r} is no finite number")
    return found


def _prompt(sample: Any) -> str | list[Message]:
    options = ""
    if sample.choices:
        lines = [
            f"{letter}) {choice}"
            for letter, choice in zip(string.ascii_uppercase, sample.choices, strict=False)
        ]
        options = "\n\n" + "\n".join(lines) + f"\n\n{_CHOOSE}"
    if isinstance(sample.input, str):
        return sample.input + options
    messages = [Message(one.role, _content(one)) for one in sample.input]
    if options:
        messages.append(Message("user", options.strip()))
    return messages


def _content(message: Any) -> str:
    if not isinstance(message.content, str) and any(c.type != "text" for c in message.content):
        raise ConfigError("a sample has content that is no text, which is not supported")
    return str(message.text)


def _state(sample: Any, name: str, rollout: Rollout) -> Any:
    """What a scorer looks at: the conversation, and the last answer as the output."""
    answer = rollout.answer
    messages: list[Any] = []
    for message in rollout.messages:
        if message.role == "user":
            messages.append(ChatMessageUser(content=message.text))
        elif message.role == "assistant":
            messages.append(ChatMessageAssistant(content=message.text))
    state = TaskState(
        model=_MODEL,
        sample_id=name,
        epoch=1,
        input=sample.input,
        messages=messages,
        target=Target(sample.target),
        choices=sample.choices,
        output=ModelOutput.from_content(str(_MODEL), answer),
        metadata=sample.metadata or {},
        completed=True,
    )
    if sample.choices:
        found = _ANSWER.findall(answer)
        chosen = string.ascii_uppercase.index(found[-1].upper()) if found else -1
        for number in range(len(sample.choices)):
            state.choices.mark_choice(number, number == chosen)
    return state


def _module(place: str, name: str) -> Any:
    try:
        if place.endswith(".py") or "/" in place:
            path = Path(place).expanduser().resolve()
            if not path.is_file():
                raise ConfigError(f"inspect:{name}: no file {place}")
            spec = importlib.util.spec_from_file_location(f"athlos_inspect_{path.stem}", path)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"inspect:{name} needs the module {error.name!r}, which is not installed"
        ) from error


def _files(place: str) -> tuple[Path, ...]:
    """The file of a task, whose content is part of the environment."""
    if place.endswith(".py") or "/" in place:
        return (Path(place).expanduser().resolve(),)
    return ()


def _version() -> str:
    from importlib.metadata import version

    return version("inspect-ai")
