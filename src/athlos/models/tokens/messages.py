"""Messages on their way to a template."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from athlos.errors import ConfigError
from athlos.types import Message, ToolCall

__all__ = ["Form", "check_text", "to_dicts"]

_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})


class Form(NamedTuple):
    """How a template wants its messages.

    Attributes:
        developer: It knows that role; if not, it gets `system`.
        parts: Content is a list of parts, as templates of models that see images have it.
        text_arguments: Arguments of tool calls are JSON text, not values.
    """

    developer: bool = True
    parts: bool = False
    text_arguments: bool = False


def check_text(messages: Sequence[Message]) -> None:
    """Raises if a message has anything but text.

    Raises:
        ConfigError: It names the message and the kind of part.
    """
    for i, message in enumerate(messages):
        if not isinstance(message.content, list):
            continue
        for part in message.content:
            kind = part.get("type", "text")
            if kind not in _TEXT_PARTS:
                raise ConfigError(
                    f"Exact mode is for text: message {i} ({message.role}) has a {kind!r} part",
                    hint="Use capture mode where messages carry images, audio or files",
                )


_PLAIN = Form()


def to_dicts(
    messages: Sequence[Message], before: Sequence[Message] = (), *, form: Form = _PLAIN
) -> list[dict[str, Any]]:
    """Messages as templates take them: content as text, arguments as JSON values.

    Args:
        messages: What to convert.
        before: The conversation before them: tool messages get the names of its tool calls.
        form: What the template wants otherwise.
    """
    names = {call.id: call.function.name for m in before for call in m.tool_calls}
    out: list[dict[str, Any]] = []
    for message in messages:
        role = "system" if message.role == "developer" and not form.developer else message.role
        content: Any = [{"type": "text", "text": message.text}] if form.parts else message.text
        entry: dict[str, Any] = {"role": role, "content": content}
        if message.reasoning_content:
            entry["reasoning_content"] = message.reasoning_content
        if message.tool_calls:
            entry["tool_calls"] = [_call(call, form) for call in message.tool_calls]
            names.update((call.id, call.function.name) for call in message.tool_calls)
        if message.tool_call_id is not None:
            entry["tool_call_id"] = message.tool_call_id
        name = message.name
        if name is None and role == "tool":
            name = names.get(message.tool_call_id or "")
        if name is not None:
            entry["name"] = name
        out.append(entry)
    return out


def _call(call: ToolCall, form: Form) -> dict[str, Any]:
    arguments: Any = call.function.arguments
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        value = None
    if (
        isinstance(value, dict) and not form.text_arguments
    ):  # what is no JSON object goes into the template as text
        arguments = value
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.function.name, "arguments": arguments},
    }
