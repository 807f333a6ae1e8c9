"""Scoring what was said elsewhere: takes an environment through a conversation that is over."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import msgspec

from athlos.agents.base import Chat
from athlos.agents.tool_loop import take_turn
from athlos.agents.tools import run_tools
from athlos.environment import Environment
from athlos.errors import AthlosError
from athlos.serve.rows import Answer
from athlos.types import Message, Rollout

__all__ = ["Diverged", "Replay", "begin", "end", "walk"]


class Diverged(AthlosError):
    """A tool answered otherwise than the conversation says: its state was that of a session."""

    failure_class = "not_reproduced"


class Replay:
    """An agent for which the model has spoken already, and nobody has run its tool calls.

    They are run now. Where the conversation says what a tool answered, it must answer the same:
    otherwise the state that is scored would not be that of the attempt.

    Args:
        answer: What the model said.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def run(
        self, env: Environment, model: Chat, rollout: Rollout, sampling: Mapping[str, Any]
    ) -> None:
        """See `Agent.run`."""
        begin(rollout, self._answer)
        tools = env.offered_tools()
        replies = type(env).reply is not Environment.reply
        cut = _cut(self._answer)
        over = False
        last = None
        for place, message in enumerate(self._answer.messages):
            if message.role == "tool" or (message.role == "user" and replies):
                continue  # the environment says it again
            rollout.messages.append(message)
            if message.role != "assistant":
                continue
            last = message
            rollout.turns += 1
            if message is cut:
                break
            if message.tool_calls:
                said = _tool_replies(self._answer.messages, place + 1)
                for reply in await run_tools(env, tools, message.tool_calls, rollout):
                    if not _same_reply(said.get(reply.tool_call_id, reply.text), reply.text):
                        raise Diverged(
                            "a tool answers otherwise than `response.output` says: what it knows "
                            "is in a session; POST /verify with that session"
                        )
                    rollout.messages.append(reply)
            elif replies and not _only_thought(message):
                turn = await take_turn(env, message)
                rollout.messages += turn
                over = not turn
            if over or env.done:
                break  # the environment had ended the attempt here
        end(env, rollout, self._answer, last, over=over, replies=replies)

    def settings(self) -> dict[str, Any]:
        """See `Agent.settings`."""
        return {"name": "replay"}


def begin(rollout: Rollout, answer: Answer) -> None:
    """What is known before the walk."""
    rollout.usage.add(answer.usage)
    if answer.model:
        rollout.model = answer.model


async def walk(env: Environment, rollout: Rollout, answer: Answer, spoken: int) -> None:
    """Takes over a conversation whose tool calls were run on `env`, one by one.

    Args:
        env: Of the session.
        rollout: Gets the messages.
        answer: The conversation.
        spoken: How many of the assistant's messages `env` has replied to already.
    """
    begin(rollout, answer)
    replies = type(env).reply is not Environment.reply
    cut = _cut(answer)
    over = env.done
    last: Message | None = None
    for message in answer.messages:
        if message.role == "user" and replies and rollout.turns > spoken:
            continue  # the environment says it again
        rollout.messages.append(message)
        if message.role != "assistant":
            continue
        last = message
        rollout.turns += 1
        if message is cut:
            break
        if rollout.turns <= spoken or message.tool_calls or not replies or _only_thought(message):
            continue
        turn = await take_turn(env, message)
        rollout.messages += turn
        over = env.done or not turn
        if over:
            break
    end(env, rollout, answer, last, over=over, replies=replies)


def end(
    env: Environment,
    rollout: Rollout,
    answer: Answer,
    last: Message | None,
    *,
    over: bool,
    replies: bool,
) -> None:
    """Sets the status and the reason, in the words of the tool loop."""
    rollout.status = "completed"
    if over or env.done:
        rollout.stop_reason = "environment"
    elif answer.cut:
        rollout.status, rollout.stop_reason = "truncated", answer.cut
    elif last is not None and last.tool_calls:
        rollout.status, rollout.stop_reason = "truncated", "max_turns"
    elif last is not None and _only_thought(last):
        rollout.stop_reason = "reasoning_only"
    elif replies:  # the environment would go on, the agent did not
        rollout.status, rollout.stop_reason = "truncated", "max_turns"
    else:
        rollout.stop_reason = "answered"


def _cut(answer: Answer) -> Message | None:
    """The message that is incomplete, whose calls are not run and which gets no reply."""
    if not answer.cut:
        return None
    return next((m for m in reversed(answer.messages) if m.role == "assistant"), None)


def _only_thought(message: Message) -> bool:
    return not message.text and not message.tool_calls and bool(message.reasoning_content)


def _same_reply(one: str, other: str) -> bool:
    """Whether two texts of a tool are the same, or the same JSON."""
    if one == other:
        return True
    try:
        return bool(msgspec.json.decode(one) == msgspec.json.decode(other))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False


def _tool_replies(messages: list[Message], place: int) -> dict[str | None, str]:
    """What tools answered from a place on, until the model speaks again; ids may come again."""
    found = itertools.takewhile(lambda m: m.role != "assistant", messages[place:])
    return {message.tool_call_id: message.text for message in found if message.role == "tool"}
