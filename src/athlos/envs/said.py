"""What the model said in an attempt, without the assistant turns that its task opens with."""

from __future__ import annotations

import json
from collections.abc import Iterable

from athlos import Message, Rollout
from athlos.scoring.calls import ToolUse
from athlos.types import FunctionCall, ToolCall

__all__ = ["blocks", "calling", "first_block", "said", "said_text", "tool_uses"]


def said(rollout: Rollout) -> list[Message]:
    """The model's messages: the last `turns` of those of the assistant."""
    found = [message for message in rollout.messages if message.role == "assistant"]
    return found[max(len(found) - rollout.turns, 0) :]


def said_text(rollout: Rollout) -> str:
    """The text of all of them, without anything between."""
    return "".join(message.text for message in said(rollout))


def blocks(message: Message) -> list[str]:
    """The texts of a message, one for each block in which it came."""
    if isinstance(message.content, list):
        return [str(part.get("text") or "") for part in message.content]
    return [message.content] if message.content else []


def first_block(rollout: Rollout) -> str:
    """The first text of the last item of the answer; "" if that is a call or a thought."""
    messages = said(rollout)
    if not messages or messages[-1].tool_calls:
        return ""
    content = messages[-1].content
    if not isinstance(content, list):
        return content or ""
    # over HTTP, parts say to which item of the response they belong
    last = content[-1].get("item") if content else None
    texts = (str(part.get("text") or "") for part in content if part.get("item") == last)
    return next(texts, "")


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
