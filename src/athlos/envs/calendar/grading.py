"""The rule by which a calendar is right; source: NeMo Gym's environment `calendar`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations
from typing import Any

__all__ = ["grade", "minutes"]

_MOST_LISTS = 200  # places at which a list may begin that are looked at
_MOST_EVENTS = 1000


def grade(text: str, expected: Mapping[str, Any]) -> str:
    """Why an answer is wrong, in a word; `pass` if it is right.

    Args:
        text: The answer.
        expected: By event id: `duration`, `min_time`, `max_time` and `constraint`.
    """
    if not text.strip():
        return "no_answer"
    if "<think>" in text:
        return "think_found"
    if not expected:
        return "pass"
    events = _first_list(text)
    if not events:
        return "no_json_list"
    try:
        return _compare(events, expected)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
        return "error_in_grading"


def minutes(time: str) -> int:
    """Minutes since midnight of `10am`, `2:15pm` or `14:30`.

    Raises:
        ValueError: It is no such time.
    """
    time = time.strip()
    half = 12 * 60 if "pm" in time else 0
    if "am" not in time and "pm" not in time:
        hour, minute = map(int, time.split(":"))
        return hour * 60 + minute
    digits = time.replace("pm" if half else "am", "")
    hour, minute = map(int, digits.split(":")) if ":" in digits else (int(digits), 0)
    return (hour if hour != 12 else 0) * 60 + minute + half


def _first_list(text: str) -> list[Any] | None:
    """The first JSON list in a text that holds an object."""
    decoder = json.JSONDecoder()
    start = -1
    for _ in range(_MOST_LISTS):
        start = text.find("[", start + 1)
        if start < 0:
            break
        try:
            found, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if any(isinstance(item, dict) for item in found):
            return list(found)
    return None


def _compare(events: list[Any], expected: Mapping[str, Any]) -> str:
    by_id = {str(event["event_id"]): event for event in events}
    if len(by_id) != len(expected) or len(events) > _MOST_EVENTS:
        return "different_number_of_events"
    for one, other in combinations(events, 2):
        if one != other and _overlap(one, other):
            return "conflicting_events"
    for name, limits in expected.items():
        if not _fits(by_id[name], limits):
            return "constraint_violated"
    return "pass"


def _span(event: Mapping[str, Any]) -> tuple[int, int]:
    start = minutes(event["start_time"])
    return start, start + event["duration"]


def _overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    (start, end), (other_start, other_end) = _span(one), _span(other)
    return not (end <= other_start or start >= other_end)


def _fits(event: Mapping[str, Any], limits: Mapping[str, Any]) -> bool:
    if event["duration"] != limits["duration"]:
        return False
    start, end = _span(event)
    if start < minutes(limits["min_time"]) or end > minutes(limits["max_time"]):
        return False
    constraint = limits["constraint"]
    if constraint is None:
        return True
    word, _, times = constraint.partition(" ")
    if word == "before":
        return end <= minutes(times)
    if word == "after":
        return start >= minutes(times)
    if word == "at":
        return start == minutes(times)
    if word == "between":
        first, last = times.split(" and ")
        return start >= minutes(first) and end <= minutes(last)
    return True
