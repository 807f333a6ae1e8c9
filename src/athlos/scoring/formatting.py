"""Formatting that a text must have: lines that match patterns, or markers and no others.

The semantics are those of NeMo Gym's ``format_verification`` verifier. The patterns are those of a
row, and so is what they cost: bound the time.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["LineMatches", "MarkerMatches", "match_lines", "match_markers"]


class LineMatches(NamedTuple):
    """Whether enough lines match."""

    passed: bool
    matching_lines: int


class MarkerMatches(NamedTuple):
    """Whether all markers are there, and no others."""

    passed: bool
    missing: list[str]
    spurious: list[str]


def match_lines(text: str, patterns: Iterable[str], at_least: int = 1) -> LineMatches:
    """Counts the lines in which one of the patterns is found.

    A text of nothing but white space never passes.

    Raises:
        re.error: A pattern is none.
    """
    compiled = [re.compile(pattern) for pattern in patterns]
    count = sum(any(p.search(line) for p in compiled) for line in text.split("\n"))
    return LineMatches(bool(text.strip()) and count >= at_least, count)


def match_markers(
    text: str, expected: Sequence[str], patterns: Iterable[str] = ()
) -> MarkerMatches:
    """Looks for each marker, and for what the patterns take for one and is not expected.

    A text of nothing but white space never passes.

    Raises:
        re.error: A pattern is none.
    """
    missing = [marker for marker in expected if marker not in text]
    found = (match.group() for pattern in patterns for match in re.finditer(pattern, text))
    spurious = [marker for marker in found if marker not in set(expected)]
    return MarkerMatches(bool(text.strip()) and not missing and not spurious, missing, spurious)
