"""What the model said in an attempt, without the assistant turns that its task opens with."""

from __future__ import annotations

import json
from collections.abc import Iterable

from athlos import Message, Rollout
from athlos.scoring.calls import ToolUse
from athlos.types import FunctionCall, ToolCall

__all__ = ["calling", "last_text", "said", "said_text", "tool_uses"]


def said(rollout: Rollout) -> list[Message]:
    """The model's messages: the last `turns` of those of the assistant."""
    found = [message for message in rollout.messages if message.role == "assistant"]
    return found[max(len(found) - rollout.turns, 0) :]


def said_text(rollout: Rollout) -> str:
    """The text of all of them, without anything between."""
    return "".join(message.text for message in said(rollout))


def last_text(rollout: Rollout) -> str:
    """The text that the attempt ends with; "" if it ends with a call or with a thought."""
    messages = said(rollout)
    return messages[-1].text if messages and not messages[-1].tool_calls else ""


def tool_uses(rollout: Rollout) -> list[ToolUse]:
    """All tool calls of the model, in order."""
    return [
        ToolUse(call.function.name, call.function.arguments)
        for message in said(rollout)
        for call in message.tool_calls
    ]


def calling(uses: Iterable[ToolUse]) -> Message:
    """A message of the model's that makes these calls."""
    calls = [
        ToolCall(
            f"call_{number}",
            FunctionCall(name, arguments if isinstance(arguments, str) else json.dumps(arguments)),
        )
        for number, (name, arguments) in enumerate(uses)
    ]
    return Message("assistant", tool_calls=calls)
