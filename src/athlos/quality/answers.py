"""Right and wrong answers: where they come from, how they are dressed, when two are the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import msgspec

__all__ = [
    "FIELDS",
    "PLAIN",
    "WRAPS",
    "altered",
    "candidates",
    "near_misses",
    "one_off",
    "plain",
    "same",
    "structure",
    "wrong",
]

FIELDS = (
    "expected_answer", "answer", "ground_truth", "gold", "expected_output", "expected_result",
    "solution", "target", "label",
)  # fmt: skip
"""Names of `Task.info` under which a right answer usually stands; others are tried after them."""

PLAIN = "@@"
"""Stands in a wrap for the answer."""

WRAPS = (
    PLAIN,
    rf"\boxed{{{PLAIN}}}",
    f"Final answer: {PLAIN}",
    f"<answer>{PLAIN}</answer>",
    f"The answer is {PLAIN}.",
    f'{{"answer": "{PLAIN}"}}',
    f"```\n{PLAIN}\n```",
    f"<action>{PLAIN}</action>",
)
"""Ways to write an answer down."""

_SPACES = re.compile(r"\s+")
_FRACTION = re.compile(r"(-?)\\[dt]?frac\{(-?\d+)\}\{(\d+)\}")
_WORDS = ("heliotrope", "Wednesday", "the third one", "lapis lazuli", "ostrich", "Kalamazoo")
_LONGEST = 2000


def candidates(info: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Fields of `info` that may hold a right answer, the usual ones first, with their text."""
    names = [*(name for name in FIELDS if name in info), *(n for n in info if n not in FIELDS)]
    for name in names:
        value = info[name]
        if isinstance(value, list) and value and isinstance(value[0], str | int | float):
            yield name, _text(value[0])
        if value is not None and not isinstance(value, bool):
            yield name, _text(value)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text[:_LONGEST]


def plain(text: str) -> str:
    """The text without case, outer punctuation and surplus spaces."""
    return _SPACES.sub(" ", text).strip(" .,;:!?\"'`$").lower()


def _number(text: str) -> Fraction | None:
    text = _FRACTION.sub(r"\1\2/\3", text.strip(" $")).replace(",", "")
    try:
        return Fraction(text) if len(text) < 100 else None
    except (ValueError, ZeroDivisionError):
        return None


def same(one: str, other: str) -> bool:
    """Whether two answers may mean the same: then one is no wrong answer for the other."""
    if plain(one) == plain(other):
        return True
    a, b = _number(one), _number(other)
    if a is None or b is None:
        return False
    return abs(a - b) <= Fraction(1, 50) * max(abs(a), abs(b))


def wrong(gold: str, others: Sequence[str]) -> list[str]:
    """At least three answers that are not `gold`: right ones of other tasks, then made-up ones."""
    number = _number(gold)
    made: list[str] = []
    if number is not None and number.denominator == 1:
        made = [str(number + step) for step in (17, 103, 29, -1009)]
    found: dict[str, str] = {}
    for each in (*others, *made, *_WORDS):
        if each.strip() and not same(each, gold) and not _contains(each, gold):
            found.setdefault(plain(each), each)
    return list(found.values())


def _contains(text: str, part: str) -> bool:
    return len(part) > 1 and plain(part) in plain(text)


def structure(text: str) -> Any:
    """The list or object that a text is the JSON of; None if it is of neither."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return found if isinstance(found, list | dict) else None


def altered(value: Any) -> Any:
    """A value of the same form in which all numbers, texts and truths are others."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 13
        case str():
            return f"{value}-zq"
        case list():
            return [altered(each) for each in value]
        case dict():
            return {key: altered(each) for key, each in value.items()}
    return value


def one_off(text: str) -> str:
    """A text whose last letter or digit is another."""
    for place in range(len(text) - 1, -1, -1):
        if text[place].isalnum():
            other = "7" if text[place].isdecimal() else "q"
            return f"{text[:place]}{other if text[place] != other else '3'}{text[place + 1 :]}"
    return text


def near_misses(gold: str) -> list[str]:
    """Answers that look like `gold` and are not it: other digits, letters before and behind."""
    number = _number(gold)
    if number is None and (data := structure(gold)) is not None:
        # text around it may be read over; a value in it may not
        changed = msgspec.json.encode(altered(data)).decode()
        return [changed] if changed != gold else []
    if number is None:
        found = [f"{gold}zq", f"zq{gold}"]
        # a letter is to be found alone, and that is how it stands there
        return [*found, f"anti-{gold}"] if len(gold) > 1 else found
    whole = number.denominator == 1
    found = [f"7{gold.strip().lstrip('-')}" if not gold.startswith("\\") else ""]
    if whole:
        found += [f"{gold.strip()}7"]
        step = max(1, abs(int(number)) // 8)
        found += [str(int(number) + step), str(int(number) - step)]
    else:
        value = float(number)
        found += [f"{value * 1.1:.6g}", f"{value * 0.9:.6g}"]
    if number:
        found += [str(-number) if whole else f"{-float(number):.6g}"]
    return [each for each in found if each and not same(each, gold)]
