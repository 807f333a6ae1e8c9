"""Environments of the library Gymnasium that can be shown as text: `gymnasium:FrozenLake-v1`.

Observations are rendered (`ansi`), or written as numbers; actions are read from <action> tags.
Discrete action spaces and those of a few numbers work.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator
from typing import Any

import gymnasium  # type: ignore[import-not-found,unused-ignore]
import numpy
from gymnasium import spaces  # type: ignore[import-not-found,unused-ignore]
from msgspec import field

from athlos import (
    Config,
    ConfigError,
    EnvError,
    Environment,
    Message,
    Rollout,
    Task,
    metric,
    reward,
)

__all__ = ["load"]

_ACTION = re.compile(r"<action>\s{0,9}([^<]{1,200}?)\s{0,9}</action>", re.IGNORECASE)
_ESCAPES = re.compile(r"\x1b\[([0-9;]*)m")
_FEW = 64  # numbers of an observation or action that can be written down


class GymConfig(Config):
    """Settings of an environment.

    Attributes:
        size: Number of tasks; each is the environment from another seed.
        options: Of `gymnasium.make`: `{is_slippery: false}`.
        actions: Names of discrete actions, in their order; their numbers if there are none.
        instructions: Put before the first observation.
    """

    size: int = 100
    options: dict[str, Any] = field(default_factory=dict)
    actions: list[str] = field(default_factory=list)
    instructions: str = ""


def load(name: str) -> type[Environment]:
    """The environment of one id, `MODULE:ID` for those that a module registers.

    Raises:
        ConfigError: There is no such environment.
    """
    try:
        spec = gymnasium.spec(name.rpartition(":")[2]) if ":" not in name else None
    except gymnasium.error.Error as error:
        raise ConfigError(f"Gymnasium: {error}") from error
    return type(
        "Gymnasium",
        (Gymnasium,),
        {
            "__doc__": f"The environment {name} of Gymnasium.",
            "__module__": __name__,
            "name": f"gymnasium:{spec.id if spec else name}",
            "version": gymnasium.__version__,
            "gym_id": name,
        },
    )


class Gymnasium(Environment):
    """One episode: an assistant message is an action."""

    Config = GymConfig
    gym_id: str

    @classmethod
    def tasks(cls, config: GymConfig, split: str) -> Iterator[Task]:
        """Episodes; those of different splits have different seeds."""
        for index in range(config.size):
            seed = random.Random(f"{split}-{index}").getrandbits(31)
            yield Task(prompt=f"Play {cls.gym_id}.", info={"seed": seed}, id=f"{split}-{index}")

    def setup(self) -> None:
        """Resets the environment; the opening message has the rules and the first observation."""
        self._total, self._ended, self._unread = 0.0, "", 0
        self._gym = self._make()
        self._space = self._gym.action_space
        self._check()
        seen, _ = self._gym.reset(seed=self.task.info.get("seed", self.seed))
        text = "\n\n".join(
            part for part in (self.config.instructions, self._rules(), self._shown(seen)) if part
        )
        self.task = Task(text, info=self.task.info, id=self.task.id, sampling=self.task.sampling)

    def reply(self, message: Message) -> str | None:
        """Takes the action; the next observation, or None at the end of the episode."""
        action = self._action(message.text)
        if action is None:
            self._unread += 1
            return f"No action could be read. {self._rules()}"
        seen, value, terminated, truncated, _ = self._gym.step(action)
        if not math.isfinite(float(value)):
            raise EnvError(f"{self.name} gave the reward {value}")
        self._total += float(value)
        if terminated or truncated:
            self._ended = "terminated" if terminated else "truncated"
            return None
        return self._shown(seen)

    def teardown(self) -> None:
        """Closes the environment."""
        if hasattr(self, "_gym"):
            self._gym.close()

    @reward
    def result(self, rollout: Rollout) -> float:
        """The sum of the episode's rewards."""
        rollout.extra["episode"] = self._ended or "not ended"
        return self._total

    @metric
    def unread(self, rollout: Rollout) -> float:
        """Messages without an action that could be read."""
        return float(self._unread)

    def _make(self) -> Any:
        options = dict(self.config.options)
        try:
            made = gymnasium.make(self.gym_id, **options)
            if "render_mode" not in options and "ansi" in made.metadata.get("render_modes", ()):
                made.close()
                made = gymnasium.make(self.gym_id, **options, render_mode="ansi")
            return made
        except (TypeError, ValueError, ImportError, gymnasium.error.Error) as error:
            raise ConfigError(f"{self.name} cannot be made: {error}") from error

    def _check(self) -> None:
        space = self._space
        if isinstance(space, spaces.Discrete):
            if self.config.actions and len(self.config.actions) != int(space.n):
                raise ConfigError(
                    f"{self.name} has {space.n} actions, and {len(self.config.actions)} are named"
                )
        elif not (isinstance(space, spaces.Box) and int(numpy.prod(space.shape)) <= _FEW):
            raise ConfigError(
                f"{self.name} has actions of the kind {type(space).__name__}, which cannot be "
                "written as text here"
            )

    def _rules(self) -> str:
        """How an action is written."""
        space = self._space
        if isinstance(space, spaces.Discrete):
            first, count = int(space.start), int(space.n)
            names = self.config.actions or [str(first + n) for n in range(count)]
            said = f"one of: {', '.join(names)}"
        else:
            count = int(numpy.prod(space.shape))
            said = f"{count} numbers with commas between them" if count > 1 else "a number"
        return f"Answer with <action>...</action>, which holds {said}."

    def _action(self, text: str) -> Any:
        """The last action in a text, or None."""
        found = _ACTION.findall(text)
        if not found:
            return None
        space, word = self._space, found[-1].strip()
        if isinstance(space, spaces.Discrete):
            names = [name.lower() for name in self.config.actions]
            if word.lower() in names:
                return int(space.start) + names.index(word.lower())
            if not re.fullmatch(r"-?\d{1,9}", word):
                return None
            number = int(word)
            return number if space.contains(number) else None
        try:
            values = numpy.array([float(part) for part in word.split(",")], dtype=space.dtype)
            action = values.reshape(space.shape)
        except ValueError:
            return None
        return action if space.contains(action) else None

    def _shown(self, seen: Any) -> str:
        """An observation as text: rendered if the environment can, else its numbers."""
        if self._gym.render_mode == "ansi":
            drawn = self._gym.render()
            if isinstance(drawn, str):
                return _plain(drawn)
        if isinstance(seen, str):
            return seen
        if isinstance(seen, numpy.ndarray) and seen.size > _FEW:
            raise ConfigError(
                f"{self.name} shows arrays of the shape {seen.shape}, which are no text"
            )
        return f"Observation: {_written(seen)}"


def _plain(drawn: str) -> str:
    """Text without colours; what stood on a coloured ground stands in brackets."""
    marked = re.sub(r"\x1b\[4[0-7]m(.*?)\x1b\[0m", r"[\1]", drawn, flags=re.DOTALL)
    return _ESCAPES.sub("", marked).strip("\n")


def _written(seen: Any) -> str:
    if isinstance(seen, numpy.ndarray | numpy.generic):
        seen = seen.tolist()
    if isinstance(seen, dict):
        return ", ".join(f"{key}: {_written(value)}" for key, value in seen.items())
    if isinstance(seen, tuple | list):
        return f"({', '.join(_written(value) for value in seen)})"
    return f"{seen:.4g}" if isinstance(seen, float) else str(seen)
