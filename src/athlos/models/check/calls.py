"""Tries of tool calls and reasoning: whether the server's parsers are on."""

from __future__ import annotations

from typing import Any

import msgspec

from athlos.models.check.capability import Result, capability, no, partly, unknown, yes
from athlos.models.check.target import NoAnswer, Refused, Target, Unusable, dig, text_of
from athlos.timeouts import time_limit

__all__ = ["ASK", "TOOLS", "parallel_calls", "parsed_calls", "reasoning", "streamed_calls", "tools"]

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
ASK: list[dict[str, Any]] = [
    {"role": "user", "content": "What is the weather in Paris? Call get_weather to find out."}
]
_TWICE: list[dict[str, Any]] = [
    {
        "role": "user",
        "content": "What is the weather in Paris and in Rome? Call get_weather for both at once.",
    }
]
# What models write for a call, if nothing parses it.
_MARKS = (
    "<tool_call>",
    "[TOOL_CALLS]",
    "<|python_tag|>",
    "<function=",
    '"get_weather"',
    "functools[",
)
_CALL = (
    r'<tool_call>\n\{"name": "get_weather", "arguments": \{"city": "(Paris|Rome)"\}\}\n</tool_call>'
)


def _constrained(calls: int) -> dict[str, Any]:
    """Lets vLLM's model write nothing but calls, in the form of the `hermes` parser."""
    return {
        "structured_outputs": {"regex": r"\n".join([_CALL] * calls)},
        "skip_special_tokens": False,
        "max_tokens": 64 * calls,
    }


_NAMED = {"type": "function", "function": {"name": "get_weather"}}
_THOUGHTLESS = {"chat_template_kwargs": {"enable_thinking": False}}
_WAYS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("", {"max_tokens": 128}),
    ("with thinking off", {"max_tokens": 128, **_THOUGHTLESS}),
    ("after long thought", {"max_tokens": 1024}),
    ("its text was constrained to a call", _constrained(1)),
    ("only with tool_choice=required", {"tool_choice": "required", "max_tokens": 64}),
    ("only with a named tool_choice", {"tool_choice": _NAMED, "max_tokens": 64}),
)

_PARSER = {
    "vllm": "--enable-auto-tool-choice --tool-call-parser NAME",
    "sglang": "--tool-call-parser NAME",
    "llamacpp": "--jinja, and a model whose chat template has tools",
    "local": "a model whose chat template has tools: local:/path/model.gguf",
    "nemo-rl": "policy.generation.vllm_cfg.http_server_serving_chat_kwargs",
}


def parsed_calls(reply: Any, choice: int = 0) -> list[str]:
    """The arguments of each parsed call of `get_weather`."""
    calls = dig(reply, "choices", choice, "message", "tool_calls")
    found = []
    for call in calls if isinstance(calls, list) else ():
        arguments = dig(call, "function", "arguments")
        if isinstance(arguments, dict):
            arguments = msgspec.json.encode(arguments).decode()
        if dig(call, "function", "name") == "get_weather" and isinstance(arguments, str):
            found.append(arguments)
    return found


def _readable(arguments: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(arguments), dict)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


@capability(
    "tool calls",
    unlocks="environments with tools",
    switch_on=_PARSER,
    required=True,
    after=("token ids",),
)
async def tools(target: Target) -> Result:
    """A tool is offered; if no call comes, ways to force one."""
    replies: list[dict[str, Any]] = []
    refusals: dict[str, str] = {}
    ids = target.notes.ids_request or {}
    bare = ""
    for way, fields in _WAYS:
        if "constrained" in way and target.kind not in ("", "vllm", "nemo-rl"):
            continue
        if ("thinking" in way or "thought" in way) and not (replies and _cut_off(replies[0])):
            continue
        try:
            with time_limit(target.timeout / 3):  # a model may go on and on
                reply = await target.chat(ASK, tools=TOOLS, **ids, **fields)
        except TimeoutError:
            refusals[way] = f"no answer within {target.timeout / 3:g} s; see --timeout"
            continue
        except (Refused, NoAnswer, Unusable) as error:
            refusals[way] = str(error)
            if not ids:
                continue
            try:  # llama.cpp takes no tools with log-probabilities
                reply = await target.chat(ASK, tools=TOOLS, **fields)
            except (Refused, NoAnswer, Unusable):
                continue
            bare = refusals.pop(way)
            ids = {}
        calls = parsed_calls(reply)
        if calls:
            target.notes.tool_request, target.notes.tool_reply = fields, reply
            return _forced(way, calls[0], bare, refusals.get(""))
        replies.append(reply)
    if "" in refusals:
        return no(refusals[""], refusals=refusals)
    said = text_of(replies[0])
    mark = next((mark for mark in _MARKS if mark in said), None)
    if mark:
        return no(f"not parsed: the call came back as text with {mark}", text=said)
    plain = await target.chat(ASK, max_tokens=1)
    with_tools, without = (dig(r, "usage", "prompt_tokens") for r in (replies[0], plain))
    if isinstance(without, int) and with_tools == without:
        return no(
            f"the model never sees the tools: {without} prompt tokens with and without them",
            prompt_tokens=without,
        )
    if _cut_off(replies[0]):
        return unknown("the model never got past its reasoning", refusals=refusals)
    return unknown("the model made no call, and could not be made to", refusals=refusals)


def _cut_off(reply: dict[str, Any]) -> bool:
    """Whether the tokens were spent on reasoning."""
    message = dig(reply, "choices", 0, "message")
    reasons = message.get("reasoning_content") or message.get("reasoning")
    marked = "<think>" in (message.get("content") or "")
    return bool(reasons or marked) and dig(reply, "choices", 0, "finish_reason") == "length"


def _forced(way: str, arguments: str, bare: str, refused: str | None) -> Result:
    """A call came.

    Args:
        way: How it was brought about; "" if the model made it freely.
        arguments: Of the call.
        bare: Why it came without token ids, if it did.
        refused: Why free calls were refused, if they were.
    """
    if not _readable(arguments):
        return partly(f"a call came, {way}, but its arguments are no JSON", arguments=arguments)
    if way.startswith("only"):
        why = f"free calls are refused: {refused}" if refused else "no free call came"
        return partly(f"{way}; {why}", way=way)
    if bare:
        return partly(f"a call was parsed, but not with token ids: {bare}", way=way or "free")
    return yes(f"a call was parsed{f' ({way})' if way else ''}", way=way or "free")


@capability(
    "parallel tool calls",
    unlocks="several calls in one turn",
    switch_on={"vllm": "a --tool-call-parser that knows them"},
    needs=("chat", "tool calls"),
)
async def parallel_calls(target: Target) -> Result:
    """Asks for two calls at once."""
    fields = target.notes.tool_request or {}
    if "structured_outputs" in fields:
        fields = _constrained(2)
    reply = await target.chat(_TWICE, tools=TOOLS, **fields)
    count = len(parsed_calls(reply))
    if count > 1:
        return yes(f"{count} calls in one reply")
    said = text_of(reply)
    if any(mark in said for mark in _MARKS):
        return no("not parsed: a call came back as text", text=said)
    return unknown(f"the model made {count} call{'s' * (count != 1)}")


@capability(
    "tool-call streaming",
    unlocks="agents that stream and call tools, through the gateway",
    needs=("chat", "tool calls", "streaming"),
)
async def streamed_calls(target: Target) -> Result:
    """The way that gave a call, streamed."""
    events = await target.stream(ASK, tools=TOOLS, **(target.notes.tool_request or {}))
    name = arguments = text = ""
    pieces = 0
    for event in events:
        delta = dig(event, "choices", 0, "delta")
        text += dig(delta, "content") or ""
        if dig(delta, "tool_calls", 0, "index") == 0:
            pieces += 1
            name += dig(delta, "tool_calls", 0, "function", "name") or ""
            arguments += dig(delta, "tool_calls", 0, "function", "arguments") or ""
    if name == "get_weather" and _readable(arguments):
        return yes(f"a call in {pieces} event{'s' * (pieces != 1)}", events=pieces)
    if pieces:
        return no(f"the pieces of a call make no call: {name}({arguments[:60]})")
    if any(mark in text for mark in _MARKS):
        return no("not parsed: a call came back as text", text=text)
    return unknown("the model made no call")


@capability(
    "reasoning field",
    unlocks="reasoning kept apart from the answer",
    switch_on={
        "vllm": "--reasoning-parser NAME",
        "sglang": "--reasoning-parser NAME",
        "llamacpp": "--reasoning-format deepseek",
    },
)
async def reasoning(target: Target) -> Result:
    """Which field has it."""
    question = "Which is larger, 9.9 or 9.11? Think step by step."
    reply = await target.chat([{"role": "user", "content": question}], max_tokens=48)
    message = dig(reply, "choices", 0, "message")
    for name in ("reasoning_content", "reasoning"):
        if isinstance(message.get(name), str) and message[name]:
            return yes(f"message.{name}", field=name)
    content = message.get("content") or ""
    for mark in ("<think>", "</think>", "<|channel|>", "[THINK]"):
        if mark in content:
            return no(f"reasoning is left in the content, with {mark}")
    empty = [name for name in ("reasoning_content", "reasoning") if name in message]
    there = f"; the field {empty[0]} is there, empty" if empty else ""
    return unknown(f"the model did not reason{there}", field=empty[0] if empty else None)
