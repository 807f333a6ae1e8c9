"""What is wrong with tools: how they are described, and what they do with calls they refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from athlos.environment import Environment
from athlos.quality.play import Policy, state_of
from athlos.quality.report import Finding
from athlos.tools import Tool
from athlos.types import FunctionCall, Message, Task, ToolCall

__all__ = ["Probe", "reading_calls", "sample_calls", "schemas"]

_NAME = re.compile(r"[a-z][a-z0-9_]*|[a-z][a-zA-Z0-9]*")
_LONGEST_NAME = 64
_VAGUE_NAMES = frozenset({"do", "run", "call", "tool", "func", "function", "foo", "bar", "test"})
_READING = re.compile(
    r"(get|list|read|search|show|find|look|view|browse|open|query|fetch|describe|count|check)"
    r"(_|$|[A-Z])"
)
_MOST_CALLS = 40


def schemas(tools: Mapping[str, Tool]) -> Iterator[Finding]:
    """Names, descriptions and types that a model cannot make sense of."""

    def warn(code: str, message: str, shown: Any) -> Finding:
        text = shown if isinstance(shown, str) else msgspec.json.encode(shown).decode()
        return Finding(code=f"tools.{code}", severity="warning", message=message, input=text)

    described: dict[str, str] = {}
    for name, tool in tools.items():
        function = tool.wire["function"]
        if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
            yield warn("name", f"the tool {name!r} should have a name in lower case", name)
        elif name in _VAGUE_NAMES or len(name) < 2:
            yield warn("name", f"the name {name!r} says nothing", name)
        text = function["description"].strip()
        if len(text) < 8:
            yield warn("description", f"the tool {name!r} has no description", function)
        elif text in described:
            yield warn("description", f"{described[text]!r} and {name!r} read the same", text)
        described.setdefault(text, name)
        for parameter, schema in function["parameters"]["properties"].items():
            where = f"the parameter {parameter!r} of the tool {name!r}"
            if not schema.get("description", "").strip():
                yield warn("argument", f"{where} has no description", function)
            if not (schema.keys() - {"description", "default"}):
                yield warn("type", f"{where} may be anything: give it a type", schema)
            elif schema.get("type") == "object" and not (
                schema.get("properties") or isinstance(schema.get("additionalProperties"), dict)
            ):
                yield warn("type", f"{where} is an object of unknown form", schema)
            elif schema.get("type") == "array" and not schema.get("items"):
                yield warn("type", f"{where} is a list of unknown things", schema)


def _sample(schema: Mapping[str, Any], words: Sequence[str], variant: int) -> Any:
    if options := schema.get("enum"):
        return options[variant % len(options)]
    if either := schema.get("anyOf"):
        return _sample(either[variant % len(either)], words, variant)
    match schema.get("type"):
        case "integer" | "number":
            return (1, 0, -1, 10**9, 3)[variant % 5]
        case "string":
            return [*words, "", "x"][variant % (len(words) + 2)]
        case "boolean":
            return variant % 2 == 0
        case "array":
            count = variant % 2
            return [_sample(schema.get("items") or {}, words, variant)] * count
        case "object":
            fields = schema.get("properties", {})
            return {name: _sample(each, words, variant) for name, each in fields.items()}
    return None


def sample_calls(tool: Tool, task: Task, variants: int) -> Iterator[tuple[str, str]]:
    """Calls with arguments that fit the schema: ordinary ones, and extreme ones."""
    words = [value for value in task.info.values() if isinstance(value, str) and len(value) < 60]
    parameters = tool.wire["function"]["parameters"]
    seen = set()
    for variant in range(variants):
        made = _sample(parameters, words[:3], variant)
        text = msgspec.json.encode(made).decode()
        if text not in seen:
            seen.add(text)
            yield tool.name, text


def reading_calls(tools: Mapping[str, Tool], task: Task) -> list[tuple[str, str]]:
    """Calls of the tools that only read, as far as their names and parameters say so."""
    found: list[tuple[str, str]] = []
    for name, tool in tools.items():
        if not tool.wire["function"]["parameters"]["required"] or _READING.match(name):
            found += sample_calls(tool, task, 2)
    return found


class Probe:
    """Calls every tool with many arguments, and notes which refused call changed the state.

    Args:
        task: The task that it is tried on.
        solved: Right calls, if any are known: they are repeated with other numbers and names.

    Attributes:
        findings: What was found.
    """

    def __init__(self, task: Task, solved: Sequence[Message]) -> None:
        self.findings: list[Finding] = []
        self._task = task
        self._solved = solved

    async def script(self, env: Environment) -> Policy:
        """For `Player.play`: one call a turn."""
        planned: list[tuple[str, str]] = []
        for message in self._solved:
            for call in message.tool_calls:
                planned += _mutations(call.function)
        for tool in env.offered_tools().values():
            planned += sample_calls(tool, self._task, 6)
        queue = iter(planned[:_MOST_CALLS])
        last: tuple[str, str] | None = None
        before = state_of(env)

        def policy(messages: list[Message]) -> Message | str:
            nonlocal last, before
            after = state_of(env)
            if last is not None and messages[-1].role == "tool":
                self._judge(last, messages[-1].text, before != after and before is not None)
            before = after
            last = next(queue, None)
            if last is None:
                return "Done."
            return Message("assistant", tool_calls=[ToolCall("call_0", FunctionCall(*last))])

        return policy

    @property
    def turns(self) -> int:
        """Assistant messages that it may take."""
        return _MOST_CALLS + 1

    def _judge(self, call: tuple[str, str], reply: str, changed: bool) -> None:
        shown = f"{call[0]}({call[1]}) -> {reply}"
        if reply.startswith("Error: ") and changed:
            self.findings.append(
                Finding(
                    code="tools.refused",
                    severity="error",
                    message=f"a call of {call[0]!r} that was refused changed the state",
                    task=self._task.id,
                    input=shown,
                )
            )


def _mutations(function: FunctionCall) -> Iterator[tuple[str, str]]:
    try:
        arguments = msgspec.json.decode(function.arguments or "{}")
    except msgspec.DecodeError:
        return
    if not isinstance(arguments, dict):
        return
    for name, value in arguments.items():
        others: tuple[Any, ...] = ()
        if isinstance(value, int | float) and not isinstance(value, bool):
            others = (10**9, -1, 0)
        elif isinstance(value, str):
            others = ("no-such-thing", "")
        for other in others:
            changed = {**arguments, name: other}
            yield function.name, msgspec.json.encode(changed).decode()
