"""Arguments of a resolver in `${name:...}`: texts become numbers, truth values, lists and mappings.

Source of the grammar: OmegaConf's documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

__all__ = ["argument_value", "closing", "split_arguments"]

_INT = re.compile(r"[+-]?(0|[1-9](_?\d)*)")
_POINT = r"(\d(_?\d)*\.(\d(_?\d)*)?|\.\d(_?\d)*)"
_FLOAT = re.compile(
    rf"[+-]?({_POINT}|({_POINT}|0|[1-9](_?\d)*)e[+-]?\d(_?\d)*|inf|nan)", re.IGNORECASE
)
_WORDS: dict[str, Any] = {"null": None, "true": True, "false": False}
_PAIRS = {"[": "]", "{": "}"}


def argument_value(text: str, interpolate: Callable[[str], Any]) -> Any:
    """The value that an argument stands for.

    Args:
        text: As it was written.
        interpolate: Replaces the `${...}` in a text.
    """
    text = text.strip()
    if len(text) >= 2 and text[0] in "'\"" and text[-1] == text[0]:
        inner = text[1:-1].replace(f"\\{text[0]}", text[0])
        return str(interpolate(inner)) if "${" in inner else inner
    if "${" in text and not (text[0] in _PAIRS and text[-1] == _PAIRS[text[0]]):
        return interpolate(text)
    if text.startswith("[") and text.endswith("]"):
        return [argument_value(one, interpolate) for one in _inner(text)]
    if text.startswith("{") and text.endswith("}"):
        pairs = (one.partition(":") for one in _inner(text))
        return {
            argument_value(key, interpolate): argument_value(value, interpolate)
            for key, _, value in pairs
        }
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def split_arguments(text: str) -> list[str]:
    """The arguments that commas separate; those within quotes and brackets separate nothing."""
    found = [""]
    ends: list[str] = []
    quote = ""
    for place, sign in enumerate(text):
        escaped = place > 0 and text[place - 1] == "\\"
        if quote:
            quote = "" if sign == quote and not escaped else quote
        elif sign in "'\"" and not found[-1].strip():
            quote = sign
        elif sign in _PAIRS:
            ends.append(_PAIRS[sign])
        elif ends and sign == ends[-1]:
            ends.pop()
        elif sign == "," and not ends:
            found.append("")
            continue
        found[-1] += sign
    return found


def closing(text: str, start: int) -> int:
    """Where the brace is that closes the interpolation which begins before `start`; -1 if none."""
    depth = 1
    at = start
    while at < len(text):
        if text[at] == "{":
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if not depth:
                return at
        at += 1
    return -1


def _inner(text: str) -> list[str]:
    inside = text[1:-1]
    return split_arguments(inside) if inside.strip() else []
