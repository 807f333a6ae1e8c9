"""From sampled ids to an assistant message."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from athlos.models.tokens.tokenizer import Tokenizer
from athlos.types import FunctionCall, Message, ToolCall

__all__ = ["call_id", "json_text", "read_reply"]


def read_reply(
    format: Any,
    tokenizer: Tokenizer,
    prompt_ids: Sequence[int],
    token_ids: Sequence[int],
    tools: Sequence[Mapping[str, Any]] | None,
    *,
    of: Sequence[int] | None = None,
) -> Message:
    """The reply that a format of the library reads from sampled ids.

    `of` is the real prompt, where `prompt_ids` is only what the format needs to see of it.

    Tool calls that are malformed (no JSON, no name, not closed), and all of them if no tool was
    offered, are put back into the content as the model wrote them, so that whoever reads the
    message sees them.
    """
    offered = tools is None or bool(tools)
    ids, length = list(token_ids), len(prompt_ids if of is None else of)
    stop = set(format.get_stop_token_ids())
    body = ids[:-1] if ids and ids[-1] in stop else ids
    try:
        parsed = format.parse_response(
            ids, tools=list(tools or ()) or None, prompt_ids=list(prompt_ids)
        )
        content, reasoning = parsed.content or "", parsed.reasoning_content
        attempts = parsed.tool_calls
    except Exception:  # noqa: BLE001 - the ids are the model's: nothing in them may raise
        return _reply(tokenizer.decode(body), None, (), prompt_length=length, token_ids=ids)
    calls: list[tuple[str | None, str, str]] = []
    for attempt in attempts:
        arguments = json_text(attempt.arguments if attempt.arguments is not None else {})
        usable = str(attempt.status) in ("ok", "unknown_tool")
        if offered and usable and arguments is not None and _is_name(attempt.name):
            native = attempt.id if isinstance(attempt.id, str) and attempt.id else None
            calls.append((native, attempt.name, arguments))
            continue
        written = attempt.raw
        if attempt.token_span is not None:
            start, end = attempt.token_span
            written = tokenizer.decode(ids[max(start, 0) : end]) or written
        content = f"{content}\n{written}" if content else written
    return _reply(content, reasoning, calls, prompt_length=length, token_ids=ids)


def _is_name(name: Any) -> bool:
    if not isinstance(name, str) or not name:
        return False
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def json_text(arguments: Any) -> str | None:
    """Arguments as JSON text, None if they have no such form (NaN, not serialisable)."""
    try:
        if isinstance(arguments, str):
            text = arguments
        else:
            text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError:  # lone surrogates: as escapes they are JSON, else they are nothing
        return None if isinstance(arguments, str) else json.dumps(arguments, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None
    return text


def call_id(prompt_length: int, token_ids: Sequence[int], number: int) -> str:
    """An id for a tool call that was sampled without one.

    The same sample gets the same id again. It has nine letters and digits, because some templates
    (Mistral's) accept nothing else.
    """
    seed = f"{prompt_length}:{number}:{','.join(map(str, token_ids))}"
    return "c" + blake2b(seed.encode(), digest_size=4).hexdigest()


def _reply(
    content: str,
    reasoning: str | None,
    calls: Sequence[tuple[str | None, str, str]],
    *,
    prompt_length: int,
    token_ids: Sequence[int],
) -> Message:
    """An assistant message from what was read from a sample; calls are (id, name, arguments)."""
    return Message(
        "assistant",
        content if content or not calls else None,
        reasoning_content=reasoning or None,
        tool_calls=[
            ToolCall(id or call_id(prompt_length, token_ids, i), FunctionCall(name, arguments))
            for i, (id, name, arguments) in enumerate(calls)
        ],
    )
