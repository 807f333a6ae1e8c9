"""Chat messages as items of the Responses API, and back: the form in which NeMo Gym has them.

Sources: OpenAI's API reference for the items; NeMo Gym's types for the token fields of an item.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from athlos.errors import ConfigError
from athlos.types import Call, FunctionCall, Message, ToolCall, Usage

__all__ = [
    "Item",
    "TokenFields",
    "read_items",
    "read_turns",
    "response",
    "tool_item",
    "write_items",
]

Item = dict[str, Any]
TokenFields = tuple[list[int], list[int], list[float]]
"""Token ids of the prompt and of what was generated, and the log-probabilities of the latter."""

_TOKEN_FIELDS = ("prompt_token_ids", "generation_token_ids", "generation_log_probs")
_WHERE = "`responses_create_params.input`"
_TEXTS = ("input_text", "output_text", "summary_text", "text")
_UNFINISHED = {"length": "max_output_tokens", "content_filter": "content_filter"}


def read_items(
    items: Any, instructions: Any = None, *, where: str = _WHERE, keep_blocks: bool = False
) -> Iterator[Message]:
    """Yields items as chat messages.

    Calls, text and reasoning beside each other are one message.

    Args:
        items: A list of items, or the text of a user's message.
        instructions: Text of a system message that comes first.
        where: What an error names.
        keep_blocks: Whether assistant text that came in several blocks stays a list of parts, each
            with the number of its item as `item`; an item behind that has no text adds an empty
            part. Some verifiers read the first block of the last item only.

    Raises:
        ConfigError: An item is malformed, or cannot be said in a chat.
    """
    for message, _ in read_turns(items, instructions, where=where, keep_blocks=keep_blocks):
        yield message


def read_turns(
    items: Any, instructions: Any = None, *, where: str = _WHERE, keep_blocks: bool = False
) -> Iterator[tuple[Message, TokenFields | None]]:
    """As `read_items`, each message with the token fields of its last item that has some."""
    if instructions:
        yield Message("system", str(instructions)), None
    if isinstance(items, str):
        yield Message("user", items), None
        return
    assistant: Message | None = None
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict):
            raise ConfigError(f"an entry of {where} is no object")
        kind = item.get("type", "message")
        role = item.get("role") if kind == "message" else None
        if role == "assistant" or kind == "function_call" or kind == "reasoning":
            assistant = assistant or Message("assistant")
            _extend(assistant, item, kind, where, keep_blocks)
            found = _token_fields(item)
            if found is not None:  # the last item of a call has those of all of it
                yield assistant, found
                assistant = None
            continue
        if assistant is not None:
            yield assistant, None
            assistant = None
        if kind == "function_call_output":
            content = _content(item.get("output"), where)
            yield Message("tool", content, tool_call_id=str(item.get("call_id", ""))), None
        elif role in ("user", "system", "developer"):
            yield Message(role, _content(item.get("content"), where)), None
        else:
            raise ConfigError(
                f"an entry of {where} has type {kind!r} and role {item.get('role')!r}, "
                "which is not supported"
            )
    if assistant is not None:
        yield assistant, None


def write_items(messages: Sequence[Message], calls: Mapping[int, Call] | None = None) -> list[Item]:
    """Messages as items.

    Args:
        messages: What was said.
        calls: By position of the message that they came to: their token ids, if they have all of
            them, become fields of the message's last item.
    """
    items: list[Item] = []
    for number, message in enumerate(messages):
        if message.role == "tool":
            output = _parts(message.content, "input_text")
            call_id = message.tool_call_id or ""
            items.append({"type": "function_call_output", "call_id": call_id, "output": output})
        elif message.role != "assistant":
            content = _parts(message.content, "input_text")
            items.append({"type": "message", "role": message.role, "content": content})
        else:
            said = _assistant(message, number)
            if calls is not None and (call := calls.get(number)) is not None:
                said[-1] |= _fields(call)
            items += said
    return items


def response(
    output: list[Item],
    *,
    name: str,
    model: str,
    created: float,
    finish_reason: str = "",
    usage: Usage | None = None,
    tools: Sequence[Item] = (),
) -> dict[str, Any]:
    """A response object that holds these items.

    Args:
        output: Items of the model's, and, for a whole trajectory, of the environment's.
        name: Makes the id.
        model: What the model is called.
        created: Unix time.
        finish_reason: Of the last call; `length` and `content_filter` make it incomplete.
        usage: Of all calls.
        tools: That were offered, as items.
    """
    reason = _UNFINISHED.get(finish_reason)
    made: dict[str, Any] = {
        "id": f"resp_{name}",
        "created_at": created,
        "model": model,
        "object": "response",
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": list(tools),
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
    }
    if usage is not None:
        made["usage"] = {
            "input_tokens": usage.prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        }
    return made


def tool_item(wire: Mapping[str, Any]) -> Item:
    """A tool as the Responses API has it, from the form of chat completions."""
    function = wire["function"]
    return {
        "type": "function",
        "name": function["name"],
        "description": function.get("description"),
        "parameters": function.get("parameters"),
        "strict": function.get("strict", False),
    }


def _assistant(message: Message, number: int) -> list[Item]:
    items: list[Item] = []
    if message.reasoning_content:
        summary = [{"type": "summary_text", "text": message.reasoning_content}]
        items.append({"type": "reasoning", "id": f"rs_{number}", "summary": summary})
    if message.text or not (message.tool_calls or items):
        text = {"type": "output_text", "text": message.text, "annotations": []}
        items.append(
            {
                "type": "message",
                "id": f"msg_{number}",
                "role": "assistant",
                "status": "completed",
                "content": [text],
            }
        )
    for call in message.tool_calls:
        items.append(
            {
                "type": "function_call",
                "id": call.id,
                "call_id": call.id,
                "name": call.function.name,
                "arguments": call.function.arguments,
                "status": "completed",
            }
        )
    return items


def _fields(call: Call) -> dict[str, Any]:
    """The token fields of a call: all of them, or none."""
    values = (call.prompt_token_ids, call.token_ids, call.logprobs)
    if not call.complete or any(value is None for value in values):
        return {}
    return dict(zip(_TOKEN_FIELDS, values, strict=True))


def _token_fields(item: Item) -> TokenFields | None:
    if _TOKEN_FIELDS[1] not in item:
        return None
    prompt, generated, logprobs = (item.get(name) for name in _TOKEN_FIELDS)
    if isinstance(prompt, list) and isinstance(generated, list) and isinstance(logprobs, list):
        return prompt, generated, logprobs
    return None


def _extend(message: Message, item: Item, kind: str, where: str, keep_blocks: bool) -> None:
    if kind == "function_call":
        function = FunctionCall(str(item.get("name", "")), str(item.get("arguments", "")))
        message.tool_calls = [*message.tool_calls, ToolCall(str(item.get("call_id", "")), function)]
    elif kind == "reasoning":
        summary = _text(item.get("summary") or [], where)
        message.reasoning_content = (message.reasoning_content or "") + summary
        if keep_blocks and message.content is not None:
            _add_blocks(message, [""])
    else:
        content = item.get("content")
        if not keep_blocks:
            message.content = message.text + _text(content, where)
        elif isinstance(content, list):
            _add_blocks(message, [_text([part], where) for part in content])
        else:
            _add_blocks(message, [_text(content, where)])


def _add_blocks(message: Message, texts: Sequence[str]) -> None:
    """Adds the blocks of an item; as long as there is one block, it is the content."""
    if message.content is None and len(texts) <= 1:
        message.content = "".join(texts)
        return
    if isinstance(message.content, list):
        parts = message.content
    else:
        before = message.content
        parts = [] if before is None else [{"type": "text", "text": before, "item": 0}]
    number = parts[-1]["item"] + 1 if parts else 0
    # an item without a block is one with an empty block
    added = [{"type": "text", "text": text, "item": number} for text in texts or [""]]
    message.content = [*parts, *added]


def _text(value: Any, where: str) -> str:
    content = _content(value, where)
    return content if isinstance(content, str) else Message("assistant", content).text


def _content(value: Any, where: str) -> str | list[dict[str, Any]]:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise ConfigError(f"a message of {where} has no content")
    if len(value) == 1 and isinstance(part := value[0], dict) and part.get("type") in _TEXTS:
        return str(part.get("text") or "")  # as nearly all are
    parts: list[dict[str, Any]] = []
    for part in value:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in _TEXTS:
            parts.append({"type": "text", "text": str(part.get("text") or "")})
        elif kind == "refusal":
            parts.append({"type": "text", "text": str(part.get("refusal") or "")})
        elif kind == "input_image":
            url = {"url": part.get("image_url"), "detail": part.get("detail") or "auto"}
            parts.append({"type": "image_url", "image_url": url})
        elif isinstance(part, dict):
            parts.append(part)
        else:
            raise ConfigError(f"a content part of {where} is no object")
    if all(part.get("type") == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _parts(content: str | list[dict[str, Any]] | None, text: str) -> str | list[dict[str, Any]]:
    """Content of a message as that of an item."""
    if not isinstance(content, list):
        return content or ""
    parts: list[dict[str, Any]] = []
    for part in content:
        if part.get("type") == "text":
            parts.append({"type": text, "text": part.get("text", "")})
        elif part.get("type") == "image_url":
            image = part.get("image_url") or {}
            url, detail = image.get("url"), image.get("detail") or "auto"
            parts.append({"type": "input_image", "image_url": url, "detail": detail})
        else:
            parts.append(part)
    return parts
