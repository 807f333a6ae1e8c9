"""A request of Anthropic's messages API as a chat request.

Source: Anthropic's API reference, as their Python SDK's types have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from athlos.gateway.refusal import Refusal

__all__ = ["Written", "to_chat"]

Written = Callable[[str, Any], str | None]
"""The arguments of an earlier tool call, as the model wrote them: from its id and its input."""

_SAMPLING = ("temperature", "top_p", "top_k", "max_tokens")
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def to_chat(body: Mapping[str, Any], written: Written) -> dict[str, Any]:
    """The chat request.

    What has no counterpart and changes no text (`metadata`, `cache_control`) is left out, and so
    are tools that Anthropic itself would run.

    Raises:
        Refusal: It is no request of that API.
    """
    messages: list[dict[str, Any]] = []
    if system := _text(body.get("system")):
        messages.append({"role": "system", "content": system})
    given = body.get("messages")
    if not isinstance(given, list) or not given:
        raise Refusal(400, "messages must be a list that is not empty")
    for message in given:
        if not isinstance(message, dict):
            raise Refusal(400, "each of messages must be an object")
        role = message.get("role")
        blocks = _blocks(message.get("content"))
        if role == "assistant":
            messages.append(_assistant(blocks, written))
        elif role == "user":
            messages += _user(blocks)
        elif role == "system":
            messages.append({"role": "system", "content": _text(blocks)})
        else:
            raise Refusal(400, f"there is no role {str(role)[:40]!r}")
    chat: dict[str, Any] = {"messages": messages, "stream": body.get("stream") is True}
    for name in _SAMPLING:
        if body.get(name) is not None:
            chat[name] = body[name]
    if body.get("stop_sequences"):
        chat["stop"] = body["stop_sequences"]
    output = body.get("output_config")
    format = output.get("format") if isinstance(output, dict) else None
    if isinstance(format, dict) and format.get("type") == "json_schema":
        schema = {"name": "output", "schema": format.get("schema")}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    if tools := [_tool(tool) for tool in body.get("tools") or () if "input_schema" in tool]:
        chat["tools"] = tools
        _choose(chat, body.get("tool_choice"))
    return chat


def _choose(chat: dict[str, Any], choice: Any) -> None:
    if not isinstance(choice, dict):
        return
    kind = choice.get("type")
    if kind == "tool":
        chat["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif kind in _CHOICES and kind != "auto":
        chat["tool_choice"] = _CHOICES[kind]
    if choice.get("disable_parallel_tool_use"):
        chat["parallel_tool_calls"] = False


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": tool.get("name"), "parameters": tool["input_schema"]}
    if tool.get("description"):
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


def _blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if isinstance(content, list) and all(isinstance(block, dict) for block in content):
        return content
    raise Refusal(400, "content must be text, or a list of blocks")


def _text(content: Any) -> str:
    """The text in a system prompt or a tool's result."""
    if not content:
        return ""
    blocks = _blocks(content)
    return "\n".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")


def _assistant(blocks: list[dict[str, Any]], written: Written) -> dict[str, Any]:
    texts, thoughts, calls = [], [], []
    for block in blocks:
        kind = block.get("type")
        if kind == "text":
            texts.append(str(block.get("text", "")))
        elif kind == "thinking":
            thoughts.append(str(block.get("thinking", "")))
        elif kind == "tool_use":
            call_id, given = str(block.get("id", "")), block.get("input", {})
            arguments = written(call_id, given)
            if arguments is None:
                arguments = msgspec.json.encode(given).decode()
            function = {"name": str(block.get("name", "")), "arguments": arguments}
            calls.append({"id": call_id, "type": "function", "function": function})
        elif kind != "redacted_thinking":
            raise Refusal(400, f"the model has no blocks of type {str(kind)[:40]!r}")
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None}
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    elif message["content"] is None:
        message["content"] = ""
    return message


def _user(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The user's turn: first the results of tools, a message each, then what was said."""
    messages: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for block in blocks:
        kind = block.get("type")
        if kind == "tool_result":
            content = block.get("content")
            call_id = str(block.get("tool_use_id", ""))
            messages.append({"role": "tool", "tool_call_id": call_id, "content": _text(content)})
            if isinstance(content, list):  # tools' messages have no room for pictures
                parts += [_image(part) for part in content if part.get("type") == "image"]
        elif kind == "text":
            parts.append({"type": "text", "text": str(block.get("text", ""))})
        elif kind == "image":
            parts.append(_image(block))
        else:
            raise Refusal(400, f"the model has no blocks of type {str(kind)[:40]!r}")
    if parts:
        plain = all(part["type"] == "text" for part in parts)
        content = "\n".join(part["text"] for part in parts) if plain else parts
        messages.append({"role": "user", "content": content})
    return messages


def _image(block: Mapping[str, Any]) -> dict[str, Any]:
    source = block.get("source")
    if not isinstance(source, dict):
        raise Refusal(400, "an image needs a source")
    url = source.get("url")
    if source.get("type") == "base64":
        url = f"data:{source.get('media_type')};base64,{source.get('data')}"
    return {"type": "image_url", "image_url": {"url": str(url)}}
