"""One attempt that goes turn by turn: the tool loop runs here, and its model is the client."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec

from athlos.agents import ToolLoop
from athlos.agents.base import Chat
from athlos.engine.attempt import Attempts
from athlos.environment import Environment
from athlos.errors import AttemptTimeout
from athlos.models.chat import Choice, Reply
from athlos.models.client import Model
from athlos.serve.refused import Refused
from athlos.serve.rows import Answer, Row
from athlos.serve.session import Router, Session
from athlos.types import Failure, Message, Rollout, Usage

__all__ = ["Dialogue", "Turn"]


class Turn(NamedTuple):
    """What the environment did after an answer of the model's.

    Attributes:
        messages: Its own, tool replies included.
        rollout: The attempt, if it is over.
    """

    messages: list[Message]
    rollout: Rollout | None


class Dialogue(Session):
    """An attempt that goes turn by turn: the tool loop runs here, and the client is its model.

    Args:
        loop: Decides what happens after each answer, and when the attempt ends.
    """

    version = None
    offers_tools = True
    sampling: Mapping[str, Any] = {}

    def __init__(
        self, name: str, attempts: Attempts, router: Router, row: Row, loop: ToolLoop
    ) -> None:
        self._agent = loop
        self._rollout: Rollout | None = None
        self._seen = 0
        self._asked: asyncio.Future[None] | None = None
        self._reply: asyncio.Future[Reply] | None = None
        super().__init__(name, attempts, router, row)

    async def run(
        self, env: Environment, model: Chat, rollout: Rollout, sampling: Mapping[str, Any]
    ) -> None:
        """See `Agent.run`."""
        self._rollout = rollout
        self._begin(env, rollout)
        self._seen = len(rollout.messages)
        await self._agent.run(env, cast(Model, self), rollout, sampling)

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | msgspec.Raw = (),
        sampling: Mapping[str, Any] | None = None,
    ) -> Reply:
        """As `Model.chat`: the client answers."""
        self._reply = self._loop.create_future()
        if not self._open.done():
            self._open.set_result(None)
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(None)
        return await self._reply

    def _ended(self, settled: asyncio.Task[Rollout | Failure | None]) -> None:
        super()._ended(settled)
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(None)

    async def step(self, answer: Answer) -> Turn:
        """Hands over an answer; returns what the environment made of it.

        Raises:
            Refused: The attempt failed, or is over.
        """
        async with self.alone():
            rollout = self._rollout
            assert rollout is not None
            assert self._reply is not None
            if answer.model:
                rollout.model = answer.model
            reply = _as_reply(answer)
            self._asked = self._loop.create_future()
            self._reply.set_result(reply)
            try:
                await self._asked
            except BaseException:
                self.fail(AttemptTimeout("the step did not end in time"))
                raise
            if self.settled.done():
                scored = self._scored()
                if scored is None:
                    raise self.failed()
                rollout = scored
            news = rollout.messages[self._seen + 1 :]
            self._seen = len(rollout.messages)
            return Turn(news, rollout if self.settled.done() else None)


def _as_reply(answer: Answer) -> Reply:
    said = [message for message in answer.messages if message.role == "assistant"]
    if len(said) > 1:
        raise Refused(422, "invalid_response", "`response.output` must be one turn of the model's")
    message = said[0] if said else Message("assistant", "")
    reason = "stop"
    if answer.cut:
        reason = "length" if answer.cut == "max_tokens" else answer.cut
    usage = Usage(answer.usage.prompt_tokens, answer.usage.completion_tokens)
    return Reply(answer.model, [Choice(message, reason)], usage, latency=0.0, version=None)
