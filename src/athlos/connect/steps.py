"""The loop for environments that are stepped: each message of the model's is one step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import Struct

from athlos.environment import Environment
from athlos.errors import ContextOverflow
from athlos.tools import encode_tools
from athlos.types import Message, Rollout

if TYPE_CHECKING:
    from athlos.agents import ToolLoop
    from athlos.agents.base import Chat

__all__ = ["StepLoop", "Stepped", "with_steps"]


class Stepped(Protocol):
    """What an environment has for this loop.

    Attributes:
        steps: Whether this attempt is stepped; else the tool loop drives it.
        truncated: Whether the environment itself cut the attempt off.
    """

    steps: bool
    truncated: bool

    async def step(self, rollout: Rollout, finish_reason: str) -> list[Message]:
        """Takes the last message; returns the replies to its calls, and what else is said.

        It sets `done` when the attempt is over.
        """
        ...


def with_steps(agent: Any) -> Any:
    """The tool loop, able to step as well; other agents are left as they are."""
    return StepLoop(loop=agent) if agent.settings()["name"] == "tool_loop" else agent


class StepLoop(Struct, frozen=True, kw_only=True):
    """The tool loop, or, where the environment has steps, a loop of steps with its limits."""

    loop: ToolLoop

    def settings(self) -> dict[str, Any]:
        """What identifies this agent in a run's configuration."""
        return self.loop.settings()

    async def run(
        self, env: Environment, model: Chat, rollout: Rollout, sampling: Mapping[str, Any]
    ) -> None:
        """Drives one attempt; see `Agent.run`."""
        stepped: Stepped = env  # type: ignore[assignment]
        if not stepped.steps:
            return await self.loop.run(env, model, rollout, sampling)
        tools = env.offered_tools()
        wire: msgspec.Raw | tuple[()] = encode_tools(tools) if tools else ()
        timing = rollout.timing
        while True:
            started, clock = time.time(), time.monotonic()
            try:
                reply = await model.chat(rollout.messages, tools=wire, sampling=sampling)
            except ContextOverflow as error:
                rollout.extra["context_overflow"] = error.message
                rollout.status, rollout.stop_reason = "truncated", "context_overflow"
                return None
            finally:
                timing.model += time.monotonic() - clock
            rollout.calls.append(reply.call(len(rollout.messages), started))
            rollout.usage.add(reply.usage)
            message = reply.choices[0].message
            rollout.messages.append(message)
            rollout.turns += 1
            rollout.tool_calls += len(message.tool_calls)
            clock = time.monotonic()
            said = await stepped.step(rollout, reply.choices[0].finish_reason)
            timing.environment += time.monotonic() - clock
            rollout.messages += said
            if env.done:
                rollout.status = "truncated" if stepped.truncated else "completed"
                rollout.stop_reason = "environment"
                return None
            if rollout.turns >= self.loop.max_turns:
                rollout.status, rollout.stop_reason = "truncated", "max_turns"
                return None
            budget = self.loop.token_budget
            if budget is not None and rollout.usage.completion_tokens >= budget:
                rollout.status, rollout.stop_reason = "truncated", "token_budget"
                return None
