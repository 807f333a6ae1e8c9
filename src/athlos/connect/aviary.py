"""Task data sets of the library aviary: `aviary:gsm8k`, or any that an installed package registers.

The model acts by tool calls, the environment answers and rewards each step.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
from aviary.core import (  # type: ignore[import-not-found,unused-ignore]
    TaskDataset,
    ToolCall,
    ToolCallFunction,
    ToolRequestMessage,
)
from msgspec import field

from athlos.connect.declared import DeclaredTool
from athlos.connect.steps import with_steps
from athlos.environment import Config, Environment, reward
from athlos.errors import ConfigError, EnvError, ToolError
from athlos.tools import Tool
from athlos.types import Message, Rollout, Task

__all__ = ["load"]


class AviaryConfig(Config):
    """Settings of a data set.

    Attributes:
        options: Of the data set itself: `{split: train}`.
        size: Number of tasks of a data set without end.
    """

    options: dict[str, Any] = field(default_factory=dict)
    size: int = 100


def load(name: str) -> type[Environment]:
    """The environment of one data set, by the name that it is registered under."""
    return type(
        "Aviary",
        (Aviary,),
        {
            "__doc__": f"The data set {name} of aviary.",
            "__module__": __name__,
            "name": f"aviary:{name}",
            "version": _version(),
            "dataset_name": name,
        },
    )


class Aviary(Environment):
    """One environment of the data set."""

    Config = AviaryConfig
    dataset_name: str
    steps = True
    truncated = False

    @classmethod
    def dataset(cls, config: AviaryConfig) -> Any:
        """The data set.

        Raises:
            ConfigError: There is none of that name, or it refuses its options.
        """
        try:
            return TaskDataset.from_name(cls.dataset_name, **config.options)
        except (ValueError, TypeError, ImportError, AttributeError) as error:
            raise ConfigError(
                f"{cls.name} cannot be made: {error}",
                hint="pip install aviary.NAME brings the data set NAME.",
            ) from error

    @classmethod
    def tasks(cls, config: AviaryConfig, split: str) -> Iterator[Task]:
        """Places in the data set; which split it has is one of its options."""
        dataset = cls.dataset(config)
        try:
            count = len(dataset)
        except TypeError:
            count = config.size
        for index in range(count):
            yield Task(prompt=f"Task {index} of {cls.name}.", info={"index": index}, id=str(index))

    @classmethod
    @contextmanager
    def shared(cls, config: AviaryConfig) -> Iterator[Any]:
        """The data set, for all attempts."""
        yield cls.dataset(config)

    @classmethod
    def own_agent(cls, agent: Any) -> Any:
        """The loop of steps: the environment runs the calls of a message together."""
        return with_steps(agent)

    async def setup(self) -> None:
        """Resets an environment; its first messages open the conversation."""
        dataset: Any = self.shared
        self._total, self._over = 0.0, False
        index = self.task.info.get("index", 0)
        try:
            self._inner = dataset.get_new_env_by_idx(index)
        except NotImplementedError:
            self._inner = dataset.get_new_env()
        messages, tools = await self._inner.reset()
        self._tools = {tool.name: tool for tool in map(_tool, tools)}
        opening = [_message(one) for one in messages]
        self.task = msgspec.structs.replace(self.task, prompt=opening)

    def offered_tools(self) -> Mapping[str, Tool]:
        """Those of this environment."""
        return self._tools

    async def call(self, name: str, arguments: dict[str, Any]) -> str:
        """Takes a step of one call, for other agents than the tool loop."""
        calls = [ToolCall(id="call", function=ToolCallFunction(name=name, arguments=arguments))]
        said = await self._step("", calls)
        return "\n".join(message.text for message in said)

    async def step(self, rollout: Rollout, finish_reason: str) -> list[Message]:
        """Takes a step; calls that cannot be made are answered here."""
        message = rollout.messages[-1]
        calls: list[Any] = []
        refused: list[Message] = []
        for one in message.tool_calls:
            try:
                name = one.function.name
                if name not in self._tools:
                    raise ToolError(
                        f"there is no tool named {name[:100]!r}. The tools are: "
                        f"{', '.join(self._tools)}."
                    )
                given = self._tools[name].parse(one.function.arguments)["arguments"]
                function = ToolCallFunction(name=name, arguments=given)
                calls.append(ToolCall(id=one.id, function=function))
            except ToolError as error:
                rollout.tool_errors += 1
                refused.append(Message("tool", f"Error: {error}", tool_call_id=one.id))
        if refused and not calls:
            return refused
        said = refused + await self._step(message.text, calls)
        answered = {one.tool_call_id for one in said}
        said += [Message("tool", "", tool_call_id=c.id) for c in calls if c.id not in answered]
        return sorted(said, key=lambda one: one.role != "tool")

    async def teardown(self) -> None:
        """Closes the environment."""
        if (inner := getattr(self, "_inner", None)) is not None:
            await inner.close()

    @reward
    def result(self, rollout: Rollout) -> float:
        """The sum of the rewards of all steps."""
        rollout.extra["episode"] = "done" if self._over else "not ended"
        return self._total

    async def _step(self, text: str, calls: list[Any]) -> list[Message]:
        action = ToolRequestMessage(content=text, tool_calls=calls)
        try:
            found = self._inner.step(action)
            messages, value, done, truncated = await found if inspect.isawaitable(found) else found
        except Exception as error:
            said = f"Error: {type(error).__name__}: {error}"
            if not calls:
                raise EnvError(f"{self.name}: {said}") from error
            return [Message("tool", said, tool_call_id=call.id) for call in calls]
        if not math.isfinite(value):
            raise EnvError(f"{self.name} gave the reward {value}")
        self._total += float(value)
        self.truncated = bool(truncated)
        self.done = self._over = bool(done) or self.truncated
        return [_message(one) for one in messages]


def _tool(tool: Any) -> DeclaredTool:
    info = tool.info
    parameters = info.parameters.model_dump(exclude_none=True, by_alias=True)
    return DeclaredTool(info.name, "call", description=info.description, parameters=parameters)


def _message(one: Any) -> Message:
    content: Any = one.content or ""
    if one.content_is_json_str and content.startswith("["):  # parts, not a value in JSON
        parts = msgspec.json.decode(content)
        if all(isinstance(part, dict) and "type" in part for part in parts):
            content = parts
    call_id = getattr(one, "tool_call_id", None)
    if one.role == "tool" and call_id:
        return Message("tool", content, tool_call_id=call_id)
    return Message("user" if one.role in ("tool", "function") else one.role, content)


def _version() -> str:
    from importlib.metadata import version

    return version("fhaviary")
