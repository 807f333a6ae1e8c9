"""What the stub's "model" says: functions from what it sees to text or token ids."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from athlos.testing.stub.view import View

__all__ = ["Policy", "ToolPolicy", "arguments_for", "call_text", "turns", "value_for"]

Policy = Callable[[View], str | list[int]]
Schema = dict[str, Any]

_WORDS = ("apple", "river", "seven", "Paris", "blue", "answer", "stone", "SF", "café", "north")
_DEEPEST = 4


class ToolPolicy:
    """Calls a tool in the first turns, then answers.

    Args:
        calls: In how many turns of a question it calls tools, if there are any.
        think: Whether each turn begins with reasoning.
        parallel: Whether it makes two calls in a turn.
    """

    def __init__(self, *, calls: int = 2, think: bool = False, parallel: bool = False) -> None:
        self._calls = calls
        self._think = think
        self._parallel = parallel

    def __call__(self, view: View) -> str:
        """The text of the next turn."""
        rng = view.rng
        number = rng.randrange(100)
        thought = f"<think>\nI should find {number} first.\n</think>\n\n" if self._think else ""
        if view.tools and (view.must_call or view.rounds < self._calls):
            made = []
            for _ in range(1 + self._parallel):
                function = rng.choice(view.tools).get("function") or {}
                schema = function.get("parameters") or {}
                made.append(call_text(str(function.get("name")), arguments_for(schema, rng)))
            return thought + "\n".join(made)
        return f"{thought}The {rng.choice(_WORDS)} answer is {number}."


def turns(*texts: str | list[int]) -> Policy:
    """A policy that says the texts one after another, a turn each, and then the last one again."""

    def policy(view: View) -> str | list[int]:
        return texts[min(view.replies, len(texts) - 1)]

    return policy


def call_text(name: str, arguments: dict[str, Any]) -> str:
    """A tool call as a Hermes or Qwen3 model writes it, and as its template writes it again."""
    said = json.dumps(arguments, ensure_ascii=False)
    return f'<tool_call>\n{{"name": {json.dumps(name)}, "arguments": {said}}}\n</tool_call>'


def arguments_for(schema: Schema, rng: random.Random) -> dict[str, Any]:
    """Arguments that a JSON Schema of an object allows: the required ones, and some others."""
    made = value_for({**schema, "type": "object"}, rng)
    assert isinstance(made, dict)
    return made


def value_for(schema: Schema, rng: random.Random) -> Any:
    """A value that a JSON Schema allows."""
    return _value(schema, rng, schema.get("$defs") or {}, 0)


def _value(schema: Schema, rng: random.Random, named: Schema, depth: int) -> Any:
    if "$ref" in schema:
        schema = named.get(str(schema["$ref"]).rsplit("/", 1)[-1]) or {}
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _value(schema[key][0], rng, named, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return rng.choice(schema["enum"])
    kind = schema.get("type", "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return _object(schema, rng, named, depth)
    if kind == "array":
        least = schema.get("minItems", 1 if depth < _DEEPEST else 0)
        return [_value(schema.get("items") or {}, rng, named, depth + 1) for _ in range(least)]
    if kind in ("integer", "number"):
        return _number(schema, rng, kind)
    if kind == "boolean":
        return rng.random() < 0.5
    return None if kind == "null" else _text(schema, rng)


def _object(schema: Schema, rng: random.Random, named: Schema, depth: int) -> dict[str, Any]:
    required: Sequence[str] = schema.get("required") or ()
    return {
        name: _value(part, rng, named, depth + 1)
        for name, part in (schema.get("properties") or {}).items()
        if name in required or (depth < _DEEPEST and rng.random() < 0.5)
    }


def _number(schema: Schema, rng: random.Random, kind: str) -> int | float:
    low = math.ceil(schema.get("minimum") or schema.get("exclusiveMinimum") or 0)
    low += "exclusiveMinimum" in schema
    high = int(schema.get("maximum", max(low, 99)))
    whole = rng.randint(low, max(low, high))
    return whole if kind == "integer" or whole >= high else whole + 0.5


def _text(schema: Schema, rng: random.Random) -> str:
    text = rng.choice(_WORDS)
    while len(text) < schema.get("minLength", 0):
        text += " " + rng.choice(_WORDS)
    return text[: schema.get("maxLength", len(text))]
