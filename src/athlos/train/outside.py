"""Attempts whose loop runs elsewhere: in a trainer that holds the conversation by itself.

The attempt is one as any other: the engine sets the environment up, scores it, takes it down and
records it. Only what an agent does in between is asked for from outside.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from athlos.agents.base import Chat
from athlos.agents.tools import execute
from athlos.environment import Environment
from athlos.errors import AthlosError, Cancelled
from athlos.models.client import Model
from athlos.models.transport import Response
from athlos.types import Message, Rollout

__all__ = ["OutsideLoop", "Seat", "nobody"]

_OVER = "Error: the attempt is over."


class Seat:
    """An attempt that waits for somebody to drive it.

    Attributes:
        opening: The messages with which it begins.
    """

    def __init__(self, env: Environment, rollout: Rollout) -> None:
        self.opening = list(rollout.messages)
        self._env = env
        self._rollout = rollout
        self._tools = env.offered_tools()
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def call(self, name: str, arguments: str) -> str:
        """Runs a tool for the model and returns what it is told.

        What fails in a way that the model cannot mend ends the attempt as a failure.

        Args:
            name: As the model wrote it.
            arguments: JSON, as the model wrote it.
        """
        if self._end.done() or self._env.done:
            return _OVER
        self._rollout.tool_calls += 1
        try:
            text, failed = await execute(self._env, self._tools, name, arguments)
        except AthlosError as error:
            if not self._end.done():
                self._end.set_exception(error)
            return _OVER
        self._rollout.tool_errors += failed
        return text

    def finish(self, messages: list[Message]) -> None:
        """The conversation is over; what was said after the opening is scored."""
        if self._end.done():
            return
        rollout = self._rollout
        rollout.messages += messages
        rollout.turns = sum(message.role == "assistant" for message in messages)
        rollout.stop_reason = "environment" if self._env.done else "answered"
        self._end.set_result(None)

    def leave(self, reason: str) -> None:
        """Nobody drives it any more; it ends as cancelled."""
        if not self._end.done():
            self._end.set_exception(Cancelled(reason))

    async def wait(self) -> None:
        """Until it is over; the attempt's turn."""
        await self._end


class OutsideLoop:
    """The agent of such attempts. One object serves all of a run."""

    def __init__(self) -> None:
        self._free: dict[str, deque[Seat]] = {}
        self._arrived: dict[str, asyncio.Event] = {}

    async def run(
        self, env: Environment, model: Chat, rollout: Rollout, sampling: Mapping[str, Any]
    ) -> None:
        """Offers a seat, and waits until it is left; see `Agent.run`."""
        seat = Seat(env, rollout)
        self._free.setdefault(rollout.task_id, deque()).append(seat)
        self._event(rollout.task_id).set()
        try:
            await seat.wait()
        finally:
            seat.leave("the attempt ended")
            waiting = self._free[rollout.task_id]
            if seat in waiting:
                waiting.remove(seat)

    async def take(self, task_id: str) -> Seat:
        """An attempt at a task that nobody drives yet; attempts at one task are alike."""
        event = self._event(task_id)
        while not (free := self._free.get(task_id)):
            event.clear()
            await event.wait()
        return free.popleft()

    def settings(self) -> dict[str, Any]:
        """What identifies this agent in a run's configuration."""
        return {"name": "outside"}

    def _event(self, task_id: str) -> asyncio.Event:
        return self._arrived.setdefault(task_id, asyncio.Event())


def nobody(name: str) -> Model:
    """A model for runs that never call one, since the trainer does."""
    return Model("in-process", name, transport=_Nobody(name))


class _Nobody:
    def __init__(self, name: str) -> None:
        self._models = msgspec.json.encode({"data": [{"id": name, "object": "model"}]})

    async def send(self, method: str, path: str, body: bytes | None = None) -> Response:
        if path == "/models":
            return Response(200, {}, self._models)
        said = b'{"error": {"message": "the trainer calls the model, not the run"}}'
        return Response(404, {}, said)

    async def close(self) -> None:
        """Frees nothing."""
