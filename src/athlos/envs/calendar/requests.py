"""Conversations about a calendar, made from a seed.

A day is drawn first, and what the user asks for follows from it, so all events can be placed. The
assistant's turns that the conversation opens with show that day up to then.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any, NamedTuple

from athlos import Message
from athlos.envs.calendar.grading import minutes
from athlos.envs.seeds import draw

__all__ = ["LEVELS", "CalendarRequest", "calendar_request"]

LEVELS = (1, 2, 3, 4)
_EVENTS = {1: 1, 2: 2, 3: 4, 4: 6}
_FIRST, _LAST = 9 * 60, 18 * 60
_SLOT = 15
_NAMES = [
    "Budget review", "Design workshop", "Piano lesson", "Team breakfast", "Dentist", "Book club",
    "Safety briefing", "Sprint planning", "Physiotherapy", "Choir rehearsal", "Interview",
    "Supplier call", "Yoga", "Board meeting", "Language class", "Garden visit", "Car inspection",
    "Chess match", "Photo session", "Research seminar",
]  # fmt: skip
_RULES = (
    "You keep the calendar of one day. The day begins at {first} and ends at {last}; every event "
    "lies within it, and no two events overlap. When the user asks for an event, place it as asked "
    "and answer with the whole calendar: a JSON list with one object for each event, with the "
    "fields event_id (a number, counted from 0 in the order of the requests), event_name, "
    "start_time (such as 9am or 1:30pm) and duration (in minutes). Events placed earlier may be "
    "moved if their own limits allow it."
)


class CalendarRequest(NamedTuple):
    """A conversation whose last turn is to be answered, and what the answer must hold."""

    messages: list[Message]
    expected: dict[str, dict[str, Any]]


def calendar_request(seed: int, level: int) -> CalendarRequest:
    """The conversation with this number; no two splits have one in common."""
    return draw(
        f"calendar {level}",
        seed,
        lambda rng: _drawn(rng, level),
        lambda made: "\n".join(message.text for message in made.messages),
    )


def _drawn(rng: Random, level: int) -> CalendarRequest:
    count = _EVENTS[level]
    events = _day(rng, count)
    rules = _RULES.format(first=_clock(_FIRST), last=_clock(_LAST))
    messages = [Message("system", rules)]
    expected: dict[str, dict[str, Any]] = {}
    for number, event in enumerate(events):
        constraint = _constraint(rng, event, number == 0 and count == 1)
        asked = f"Please add the event {event['event_name']}, {event['duration']} minutes"
        when = "" if constraint is None else f", {constraint}"
        messages.append(Message("user", f"{asked}{when}."))
        expected[str(number)] = {
            "event_id": number,
            "duration": event["duration"],
            "constraint": constraint,
            "min_time": _clock(_FIRST),
            "max_time": _clock(_LAST),
        }
        if number < count - 1:
            messages.append(Message("assistant", json.dumps(events[: number + 1])))
    return CalendarRequest(messages, expected)


def _day(rng: Random, count: int) -> list[dict[str, Any]]:
    """Events that do not overlap, in the order in which the user asks for them."""
    slots = (_LAST - _FIRST) // _SLOT
    lengths = [rng.randint(2, 5) for _ in range(count)]
    free = slots - sum(lengths)
    cuts = sorted(rng.randint(0, free) for _ in range(count))
    placed: list[tuple[int, int]] = []
    used = 0
    for cut, length in zip(cuts, lengths, strict=True):
        placed.append((cut + used, length))
        used += length
    rng.shuffle(placed)
    return [
        {
            "event_id": number,
            "event_name": name,
            "start_time": _clock(_FIRST + start * _SLOT),
            "duration": length * _SLOT,
        }
        for number, (name, (start, length)) in enumerate(
            zip(rng.sample(_NAMES, count), placed, strict=True)
        )
    ]


def _constraint(rng: Random, event: dict[str, Any], must: bool) -> str | None:
    """A limit that the event keeps where the day has it."""
    start = minutes(event["start_time"])
    end = start + event["duration"]
    kinds = ["before", "after", "between", "at"]
    kind = rng.choice(kinds if must else [*kinds, "none"])
    early = max(start - _SLOT * rng.randint(0, 4), _FIRST)
    late = min(end + _SLOT * rng.randint(0, 4), _LAST)
    return {
        "before": f"before {_clock(late)}",
        "after": f"after {_clock(early)}",
        "between": f"between {_clock(early)} and {_clock(late)}",
        "at": f"at {_clock(start)}",
        "none": None,
    }[kind]


def _clock(time: int) -> str:
    hour, minute = divmod(time, 60)
    half = "am" if hour < 12 else "pm"
    hour = hour if hour <= 12 else hour - 12
    return f"{hour}{half}" if minute == 0 else f"{hour}:{minute:02}{half}"
