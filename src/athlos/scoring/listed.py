"""Answers on a line ``Answer: a, b``: a list that names as many things as were asked for.

Where an answer only has to be contained in a text, repeating the question would be right. These
rules are for tasks that ask for such a line.
"""

import re
from collections.abc import Sequence

__all__ = ["answer_items", "listed_matches"]

_LINE = re.compile(r"^[*_# ]{0,8}(?:final )?answer[*_ ]{0,8}:(.*)$", re.IGNORECASE | re.MULTILINE)
_APART = re.compile(r"[\s,;|]+")
_AROUND = ".*_`\"'()[]"


def answer_items(text: str) -> list[str]:
    """The words of the last answer line, in lower case, without what stands around them."""
    lines = _LINE.findall(text)
    words = _APART.split(lines[-1].lower()) if lines else []
    items = [word.strip(_AROUND) for word in words]
    return [item for item in items if item and item != "and"]


def listed_matches(text: str, expected: Sequence[str], most: int) -> list[bool]:
    """Of each expected word, whether it is on the answer line; none if that has too many.

    Args:
        text: The answer.
        expected: Single words.
        most: How many words the line may have.
    """
    items = answer_items(text)
    if len(items) > most:
        items = []
    return [one.lower() in items for one in expected]
