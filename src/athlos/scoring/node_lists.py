"""Lists of nodes on a last line ``Final Answer: [a, b]``, scored by F1 over the sets.

The rules are those of OpenAI's graphwalks benchmark, as NeMo Gym's ``graphwalks`` and ``lc_niah``
have them.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

__all__ = ["expected_nodes", "read_node_list", "set_f1"]

_OPENING = re.compile(r"Final Answer:\s*\[")


def read_node_list(text: str, *, drop_quotes: bool = False) -> list[str] | None:
    """The items of the list on the last line that is not blank; None if it has no such list.

    The list reaches from the first ``Final Answer: [`` to the last ``]``.

    Args:
        text: The answer.
        drop_quotes: Whether quotes around an item are taken off.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return None
    line = lines[-1]
    opening, end = _OPENING.search(line), line.rfind("]")
    if opening is None or end < opening.end():
        return None
    items = [item.strip() for item in line[opening.end() : end].split(",")]
    if drop_quotes:
        items = [item.strip("\"'").strip() for item in items]
    return [item for item in items if item]


def expected_nodes(expected: Any) -> set[str]:
    """The nodes of a row: a list, or the JSON text of one; anything else has none."""
    if isinstance(expected, str):
        try:
            expected = json.loads(expected)
        except (ValueError, RecursionError):
            return set()
    return {str(node) for node in expected} if isinstance(expected, list) else set()


def set_f1(found: Iterable[str] | None, expected: set[str]) -> float:
    """F1 of two sets: 1.0 if both are empty, 0.0 if nothing was found to read."""
    if found is None:
        return 0.0
    got = set(found)
    if not got and not expected:
        return 1.0
    return 2 * len(got & expected) / (len(got) + len(expected))
