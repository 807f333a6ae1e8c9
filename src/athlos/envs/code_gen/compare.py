"""Whether the output of a program is the expected one: printed lines, or values as JSON.

The rules are those of LiveCodeBench, as NeMo Gym's environment applies them.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal, InvalidOperation
from typing import Any

__all__ = ["code_of", "same_lines", "same_value"]

_RELATIVE, _ABSOLUTE = 1e-5, 1e-8


def code_of(text: str) -> str | None:
    """The lines between the last two lines with three backticks; None if there are not two."""
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if "```" in line]
    if len(fences) < 2:
        return None
    return "\n".join(lines[fences[-2] + 1 : fences[-1]])


def same_lines(printed: str, expected: str) -> bool:
    """Whether texts have equal lines; lines of numbers may be written in another way."""
    printed, expected = printed.strip(), expected.strip()
    if printed == expected:
        return True
    if printed.count("\n") != expected.count("\n"):
        return False
    return all(map(_same_line, printed.split("\n"), expected.split("\n")))


def _same_line(one: str, other: str) -> bool:
    one, other = one.strip(), other.strip()
    if one == other:
        return True
    if len(one.split()) != len(other.split()):
        return False
    first, second = _decimals(one), _decimals(other)
    try:
        return first is not None and first == second
    except InvalidOperation:  # a signalling NaN
        return False


def _decimals(line: str) -> list[Decimal] | None:
    try:
        return [Decimal(word) for word in line.split()]
    except InvalidOperation:
        return None


def same_value(returned: str, expected: str) -> bool:
    """Whether JSON texts mean the same; floats may differ by one in 100,000."""
    try:
        one, other = json.loads(returned), json.loads(expected)
        return bool(one == other) or json.dumps(one) == json.dumps(other) or _close(one, other)
    except (ValueError, RecursionError):  # no JSON, numbers beyond all bounds, too many brackets
        return returned.strip() == expected.strip() != ""


def _close(one: Any, other: Any) -> bool:
    """Numbers, or lists of the same shape of them, of which at least one is a float."""
    pairs: list[tuple[float, float]] = []
    if not _pair(one, other, pairs):
        return False
    if not any(isinstance(number, float) for pair in pairs for number in pair):
        return False
    try:
        return all(_near(first, second) for first, second in pairs)
    except OverflowError:
        return False


def _near(one: float, other: float) -> bool:
    if math.isinf(one) or math.isinf(other):
        return one == other
    return abs(one - other) <= _ABSOLUTE + _RELATIVE * abs(other)


def _pair(one: Any, other: Any, found: list[tuple[float, float]]) -> bool:
    """Collects the numbers at the same places; false where the two differ in shape."""
    if isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return False
        return all(_pair(first, second, found) for first, second in zip(one, other, strict=True))
    if isinstance(one, bool) or isinstance(other, bool):
        return False
    if not (isinstance(one, int | float) and isinstance(other, int | float)):
        return False
    found.append((one, other))
    return True
