"""JSON inside other text: finding its objects, and parsing what a model wrote without surprises."""

import json
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["brace_groups", "fenced_objects", "parse_json"]

_BRACE = re.compile("[{}]")
_FENCE_AND_BRACE = re.compile(r"```(?:json)?\s*\{")
_BRACE_AND_FENCE = re.compile(r"\}\s*```")


def parse_json(text: str) -> Any:
    """The value that a text is in JSON, as Python's ``json`` reads it (``NaN`` included).

    Raises:
        ValueError: It is no JSON, or too deeply nested.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("too deeply nested") from None


def brace_groups(text: str) -> Iterator[str]:
    """The outermost ``{...}`` of a text, from left to right, whatever is in them.

    Every brace counts, those in strings as well. What follows a brace that is never closed is not
    looked at.
    """
    start = depth = 0
    for match in _BRACE.finditer(text):
        if match.group() == "{":
            if depth == 0:
                start = match.start()
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                yield text[start : match.end()]


def fenced_objects(text: str) -> Iterator[str]:
    """The ``{...}`` that fill a fenced block (three backticks, ``json`` or no language)."""
    end = 0
    while opening := _FENCE_AND_BRACE.search(text, end):
        start = opening.end() - 1
        closing = _BRACE_AND_FENCE.search(text, start)
        if closing is None:
            return
        yield text[start : closing.start() + 1]
        end = closing.end()
