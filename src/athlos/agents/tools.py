"""Running the tools of an attempt: what goes wrong in them is said to the model."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Mapping
from typing import Any

import msgspec

from athlos.environment import Environment
from athlos.errors import AthlosError, EnvError, ToolError
from athlos.timeouts import time_limit
from athlos.tools import Tool
from athlos.types import Message, Rollout, ToolCall

__all__ = ["clean", "execute", "run_tool", "run_tools"]

_PLAIN = frozenset((str, int, float, bool, type(None), dict, list))  # no awaitables


async def run_tools(
    env: Environment, tools: Mapping[str, Tool], calls: list[ToolCall], rollout: Rollout
) -> list[Message]:
    """Runs the calls of one turn; a reply each, in their order."""
    if len(calls) == 1 or not env.parallel_tools:
        return [await run_tool(env, tools, call, rollout) for call in calls]
    replies = await asyncio.gather(
        *(_run_apart(env, tools, call, rollout) for call in calls), return_exceptions=True
    )
    for reply in replies:  # all have ended; the first infrastructure failure ends the attempt
        if isinstance(reply, BaseException):
            raise reply
    return [reply for reply in replies if isinstance(reply, Message)]


async def _run_apart(
    env: Environment, tools: Mapping[str, Tool], call: ToolCall, rollout: Rollout
) -> Message | KeyboardInterrupt:
    """Runs one call in a task of its own, out of which a KeyboardInterrupt would end the loop."""
    try:
        return await run_tool(env, tools, call, rollout)
    except KeyboardInterrupt as error:
        return error


async def run_tool(
    env: Environment, tools: Mapping[str, Tool], call: ToolCall, rollout: Rollout
) -> Message:
    """Runs one call. What goes wrong in it is said to the model, and counted."""
    rollout.tool_calls += 1
    text, failed = await execute(env, tools, call.function.name, call.function.arguments)
    rollout.tool_errors += failed
    return Message("tool", text, tool_call_id=call.id)


async def execute(
    env: Environment, tools: Mapping[str, Tool], name: str, arguments: str
) -> tuple[str, bool]:
    """Runs a tool, if it is offered and the arguments fit it.

    Args:
        env: Whose tool it is.
        tools: Those that may be called.
        name: As the model wrote it.
        arguments: JSON, as the model wrote it.

    Returns:
        What the model is told, and whether the call failed.

    Raises:
        AthlosError: A judge, a sandbox or a model failed: nothing that the policy could mend.
    """
    failed = False
    try:
        tool = tools.get(name)
        if tool is None:
            raise _no_tool(name, tools)
        found = tool.parse(arguments)
        result = getattr(env, tool.method)(**found)
        if type(result) not in _PLAIN and inspect.isawaitable(result):
            result = await (result if tool.timeout is None else _in_time(tool, result))
        text = result if isinstance(result, str) else _as_text(tool, result)
    except AthlosError:
        raise
    except ToolError as error:
        failed = True
        text = f"Error: {error}"
    except (Exception, SystemExit) as error:  # noqa: BLE001 - an author's code may raise anything
        failed = True
        text = f"Error: {type(error).__name__}: {error}"
    return clean(text), failed


def _no_tool(name: str, tools: Mapping[str, Tool]) -> ToolError:
    offered = f"The tools are: {', '.join(tools)}." if tools else "There are no tools."
    return ToolError(f"there is no tool named {name[:100]!r}. {offered}")


async def _in_time(tool: Tool, result: Awaitable[Any]) -> Any:
    limit = time_limit(tool.timeout)
    try:
        with limit:
            return await result
    except TimeoutError:
        if not limit.expired:
            raise
        raise ToolError(f"{tool.name} took longer than {tool.timeout:g} s") from None


def _as_text(tool: Tool, result: Any) -> str:
    try:
        return msgspec.json.encode(result).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise EnvError(
            f"tool {tool.name} returned a {type(result).__name__} that cannot be written as JSON: "
            f"{error}"
        ) from error


def clean(text: str) -> str:
    """The text without lone surrogates, which no wire can carry."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
