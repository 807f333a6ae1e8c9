"""Installed environments of the library verifiers: `verifiers:NAME`, those of its in-process line.

The environment's own loop drives the attempt, and asks Athlos's model. That line ends with 0.1.14;
later versions start a program for each rollout.
"""

from __future__ import annotations

import contextvars
import logging
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from athlos.errors import ConfigError

if not version("verifiers").startswith("0.1."):
    raise ConfigError(
        f"verifiers {version('verifiers')} is installed, and starts a program for each rollout",
        hint="pip install 'athlos[verifiers]' brings 0.1, whose environments run in process.",
    )

import verifiers  # type: ignore[import-not-found,unused-ignore]
from msgspec import Struct, field
from verifiers.clients import Client  # type: ignore[import-not-found,unused-ignore]
from verifiers.types import (  # type: ignore[import-not-found,unused-ignore]
    Response,
    ResponseMessage,
    ToolCall,
    Usage,
)

from athlos.environment import Config, Environment, reward
from athlos.errors import ContextOverflow, EnvError, VerifierError
from athlos.rows import row_to_task
from athlos.types import FunctionCall, Message, Rollout, Task
from athlos.types import ToolCall as OurCall

if TYPE_CHECKING:
    from athlos.agents.base import Chat

__all__ = ["load"]

_REASONS = ("stop", "length", "tool_calls")
_swallowed: contextvars.ContextVar[list[str]] = contextvars.ContextVar("swallowed")


class VerifiersConfig(Config):
    """Settings of an environment.

    Attributes:
        args: Of its `load_environment`.
    """

    args: dict[str, Any] = field(default_factory=dict)


def load(name: str) -> type[Environment]:
    """The environment of one name, as `load_environment` of the library takes it."""
    return type(
        "Verifiers",
        (Verifiers,),
        {
            "__doc__": f"The environment {name} of verifiers.",
            "__module__": __name__,
            "name": f"verifiers:{name}",
            "version": version("verifiers"),
            "vf_name": name,
        },
    )


class Verifiers(Environment):
    """One row of the environment's data set."""

    Config = VerifiersConfig
    vf_name: str
    state: Any

    @classmethod
    def inner(cls, config: VerifiersConfig) -> Any:
        """The library's environment.

        Raises:
            ConfigError: There is none of that name, or it needs what is not there.
        """
        try:
            with _own_signals():
                made = verifiers.load_environment(cls.vf_name, **config.args)
        except (Exception, SystemExit) as error:  # their code may raise anything
            raise ConfigError(
                f"{cls.name} cannot be loaded: {type(error).__name__}: {error}",
                hint=f"Is the environment installed? pip install {cls.vf_name}",
            ) from error
        if made.rubric.has_group_rewards:
            raise ConfigError(f"{cls.name} rewards groups of rollouts, which is not supported")
        return made

    @classmethod
    def tasks(cls, config: VerifiersConfig, split: str) -> Iterator[Task]:
        """The rows: of the evaluation data set, or, if the split is `train`, of the other."""
        inner = cls.inner(config)
        rows = inner.get_dataset() if split == "train" else inner.get_eval_dataset()
        for index, row in enumerate(rows):
            prompt = row.get("prompt")
            name = row.get("example_id", index)
            read = row_to_task({"prompt": _said(prompt)})
            yield Task(prompt=read.prompt, info={"row": dict(row)}, id=f"{split}-{name}")

    @classmethod
    @contextmanager
    def shared(cls, config: VerifiersConfig) -> Iterator[Any]:
        """The environment, for all attempts, and an ear for what its rewards keep to themselves."""
        logger = logging.getLogger("verifiers")
        ear = _Ear()
        logger.addHandler(ear)
        try:
            yield cls.inner(config)
        finally:
            logger.removeHandler(ear)

    @classmethod
    def own_agent(cls, agent: Any) -> Any:
        """The environment's own loop."""
        return _Loop()

    @reward
    async def score(self, rollout: Rollout) -> float:
        """The rubric's reward; its components are metrics."""
        inner: Any = self.shared
        swallowed: list[str] = []
        token = _swallowed.set(swallowed)
        try:
            await inner.rubric.score_rollout(self.state)
        finally:
            _swallowed.reset(token)
        if swallowed:  # the library makes a 0 of it
            raise VerifierError(f"{self.name}: {swallowed[0]}")
        value = self.state["reward"]
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise VerifierError(f"{self.name} gave the reward {value!r}")
        for name, part in (self.state["metrics"] or {}).items():
            if isinstance(part, int | float) and math.isfinite(part):
                rollout.metrics[name] = float(part)
        return float(value)


class _Loop(Struct, frozen=True):
    """Lets the environment make the attempt, with a client that asks our model."""

    def settings(self) -> dict[str, Any]:
        return {"name": "verifiers"}

    async def run(
        self, env: Environment, model: Chat, rollout: Rollout, sampling: Mapping[str, Any]
    ) -> None:
        assert isinstance(env, Verifiers)
        inner: Any = env.shared
        client = _Client(model, rollout)
        state = await inner.rollout(
            env.task.info["row"], client, rollout.model, sampling_args=dict(sampling)
        )
        env.state = state
        if (error := state.get("error")) is not None:
            raise EnvError(f"{env.name}: {type(error).__name__}: {error}") from (
                error if isinstance(error, BaseException) else None
            )
        _finish(rollout, state)


class _Client(Client):  # type: ignore[misc,unused-ignore]
    """The library's seam for models, with ours behind it; what is said is recorded."""

    def __init__(self, model: Chat, rollout: Rollout) -> None:
        super().__init__(model)
        self._rollout = rollout

    async def get_response(
        self, prompt: Any, model: str, sampling_args: Any, tools: Any = None, **kwargs: Any
    ) -> Any:
        """Asks the model."""
        rollout = self._rollout
        rollout.messages = [_message(one) for one in prompt]
        wire = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            }
            for tool in tools or ()
        ]
        given = {k: v for k, v in dict(sampling_args).items() if v is not None}
        started, clock = time.time(), time.monotonic()
        try:
            reply = await self._client.chat(rollout.messages, tools=wire, sampling=given)
        except ContextOverflow as error:
            rollout.extra["context_overflow"] = error.message
            raise verifiers.OverlongPromptError(error.message) from error
        finally:
            rollout.timing.model += time.monotonic() - clock
        rollout.calls.append(reply.call(len(rollout.messages), started))
        rollout.usage.add(reply.usage)
        message, reason = reply.message, reply.choices[0].finish_reason
        rollout.messages.append(message)
        rollout.turns += 1
        rollout.tool_calls += len(message.tool_calls)
        usage = reply.usage
        return Response(
            id=f"{rollout.id}.{rollout.turns}",
            created=int(started),
            model=model,
            usage=Usage(
                prompt_tokens=usage.prompt_tokens,
                reasoning_tokens=0,
                completion_tokens=usage.completion_tokens,
                total_tokens=usage.prompt_tokens + usage.completion_tokens,
            ),
            message=ResponseMessage(
                content=message.content,
                reasoning_content=message.reasoning_content,
                finish_reason=reason if reason in _REASONS else None,
                is_truncated=reason == "length",
                tool_calls=[
                    ToolCall(id=c.id, name=c.function.name, arguments=c.function.arguments)
                    for c in message.tool_calls
                ]
                or None,
            ),
        )

    # The rest of the seam is what `get_response` of the library would call.

    def setup_client(self, config: Any) -> Any:
        raise NotImplementedError

    async def to_native_tool(self, tool: Any) -> Any:
        raise NotImplementedError

    async def to_native_prompt(self, messages: Any) -> Any:
        raise NotImplementedError

    async def get_native_response(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    async def raise_from_native_response(self, response: Any) -> None:
        raise NotImplementedError

    async def from_native_response(self, response: Any) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        """The model is the run's, which closes it."""


class _Ear(logging.Handler):
    """Hears of rewards that raised: the library only logs it."""

    def emit(self, record: logging.LogRecord) -> None:
        heard = _swallowed.get(None)
        message = record.getMessage()
        if heard is not None and "reward function" in message:
            heard.append(message)


def _finish(rollout: Rollout, state: Any) -> None:
    completion = state.get("completion") or []
    rollout.messages = [_message(one) for one in (*(state.get("prompt") or ()), *completion)]
    reason = str(state.get("stop_condition") or "")
    if "context_overflow" in rollout.extra:
        rollout.status, rollout.stop_reason = "truncated", "context_overflow"
    elif rollout.calls and rollout.calls[-1].finish_reason == "length":
        rollout.status, rollout.stop_reason = "truncated", "max_tokens"
    elif reason == "max_turns_reached" and len(rollout.calls) > 1:
        rollout.status, rollout.stop_reason = "truncated", "max_turns"
    else:
        rollout.stop_reason = "environment" if completion and rollout.turns > 1 else "answered"
    if reason:
        rollout.extra["stop_condition"] = reason


def _message(one: Any) -> Message:
    """A message of the library's, an object or a mapping, as ours."""
    fields = one if isinstance(one, dict) else one.model_dump()
    calls = [
        OurCall(
            str(call.get("id", "")),
            FunctionCall(
                str(call.get("name") or call.get("function", {}).get("name", "")),
                str(call.get("arguments") or call.get("function", {}).get("arguments", "")),
            ),
        )
        for call in fields.get("tool_calls") or ()
    ]
    return Message(
        "user" if fields["role"] == "text" else fields["role"],
        fields.get("content"),
        reasoning_content=fields.get("reasoning_content"),
        tool_calls=calls,
        tool_call_id=fields.get("tool_call_id"),
    )


def _said(prompt: Any) -> Any:
    """A prompt without what the data set fills up with nothing."""
    if not isinstance(prompt, list):
        return prompt
    return [{k: v for k, v in one.items() if v is not None} for one in prompt]


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keeps our handlers of signals: the library puts its own in their place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
