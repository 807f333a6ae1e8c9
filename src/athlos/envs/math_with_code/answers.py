r"""The answer of an attempt, and whether it is the expected one.

The answer is the ``\boxed{...}`` of the last message that has one, else of what the tool printed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence

from athlos import Message
from athlos.envs.texts import drop_open_thought
from athlos.scoring import last_boxed

__all__ = ["final_answer", "same"]

_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_TAKEN_OFF = re.compile(r"\\[()]|\$|\s")
_LONGEST = 10_000  # characters of a number


def final_answer(said: Sequence[Message], tools: Sequence[Message]) -> str | None:
    r"""The content of the box that counts; None if there is no box.

    Args:
        said: The model's messages.
        tools: What the tool answered.
    """
    for message in reversed(said):
        if (found := last_boxed(drop_open_thought(message.text))) is not None:
            return found
    for printed in _printed(reversed(tools)):
        if (found := last_boxed(printed)) is not None:
            return found
    return None


def _printed(tools: Iterable[Message]) -> Iterable[str]:
    for message in tools:
        try:
            value = json.loads(message.text)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and isinstance(value.get("stdout"), str):
            yield value["stdout"]


def same(answer: str, expected: str) -> bool:
    """Whether two texts are equal but for their LaTeX, or are numbers within a millionth."""
    one, other = _plain(answer), _plain(expected)
    if not one:
        return False
    return one == other or _close(one, other)


def _plain(text: str) -> str:
    return _TAKEN_OFF.sub("", _TEXT.sub(r"\1", text))


def _close(one: str, other: str) -> bool:
    if max(len(one), len(other)) > _LONGEST or "_" in one:
        return False
    try:
        first, second = float(one), float(other)
    except ValueError:
        return False
    if not (math.isfinite(first) and math.isfinite(second)):
        return False
    return math.isclose(first, second, rel_tol=1e-6, abs_tol=0.0)
