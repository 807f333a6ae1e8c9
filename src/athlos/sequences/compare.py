"""Comparing token ids: by slices, which runs in C, and in words where they differ."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Decode", "differing", "first_difference", "starts_with"]

Decode = Callable[[list[int]], str]

_BLOCK = 4096
_AROUND = 8  # tokens before and behind a difference that are shown as text


def starts_with(ids: list[int], prefix: list[int]) -> bool:
    """Whether `ids` begins with `prefix`."""
    end = len(prefix)
    if end > len(ids):
        return False
    if end and ids[end - 1] != prefix[-1]:  # most that differ do so at the end
        return False
    return ids[:end] == prefix


def first_difference(one: list[int], other: list[int], start: int = 0) -> int:
    """The first place from `start` on where they differ, or the length of the shorter one."""
    end = min(len(one), len(other))
    for begin in range(start, end, _BLOCK):
        stop = min(begin + _BLOCK, end)
        if one[begin:stop] != other[begin:stop]:
            return next(place for place in range(begin, stop) if one[place] != other[place])
    return end


def differing(
    expected: list[int], found: list[int], decode: Decode | None = None, start: int = 0
) -> tuple[int, str]:
    """Where two lists that are not equal differ first, and a sentence about it.

    Args:
        expected: What should be there.
        found: What is there.
        decode: Makes text of ids, for a reader.
        start: Position of the first token of both.
    """
    place = first_difference(expected, found)
    if place == len(found):
        said = f"it ends at position {start + place}, where token {expected[place]} should follow"
    elif place == len(expected):
        said = f"it should end at position {start + place}, where token {found[place]} follows"
    else:
        said = f"position {start + place} has token {found[place]} instead of {expected[place]}"
    if decode is not None:
        shown = slice(max(place - _AROUND, 0), place + _AROUND)
        said += f" ({decode(found[shown])!r} instead of {decode(expected[shown])!r})"
    return start + place, said
