"""Formatting tasks of our own: a form of lines to write, or sources to mark in a way.

`form` maps a seed to one task; the same seed gives the same task on every machine. No prompt has a
line or a marker of the form that it asks for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from athlos.envs.seeds import draw

__all__ = ["Form", "form"]


@dataclass(frozen=True, slots=True)
class Form:
    """One task."""

    prompt: str
    verifier: dict[str, Any]
    """As a row has it."""
    sample_answer: str
    """An answer that passes."""


_TOPICS = [
    "night trains", "city bees", "old maps", "street markets", "wooden boats", "public libraries",
    "mountain huts", "lighthouses", "bread", "bicycles", "school gardens", "radio plays", "bridges",
    "choirs", "chess", "pottery", "ferries", "kites", "folk dances", "mushrooms", "birds",
]  # fmt: skip
_ACTS = ["Write about", "List facts about", "Collect advice on", "Make notes on", "Sum up"]

# What is asked, the pattern of a line, a line of that form with a word in it.
_LINES: list[tuple[str, str, str]] = [
    ("bullet points, each a line that begins with a hyphen and a space", r"^\s*-\s+\S", "- {}"),
    ("bullet points, each a line that begins with an asterisk and a space", r"^\s*\*\s+\S", "* {}"),
    ("lines that begin with a number, a full stop and a space", r"^\s*\d+\.\s+\S", "1. {}"),
    ("lines that begin with a number, a round bracket and a space", r"^\s*\d+\)\s+\S", "1) {}"),
    ("Markdown headings of the second level", r"^##\s+\S", "## {}"),
    ("lines of a bold key in Markdown, a colon and a value", r"^\s*\*\*[^*]+\*\*:", "**K**: {}"),
    ("rows of a Markdown table, with vertical bars at both ends", r"^\s*\|.+\|\s*$", "| {} | 1 |"),
    ("check-list items in Markdown that are not ticked", r"^\s*[-*]\s+\[ \]\s+\S", "- [ ] {}"),
    ("quotations in Markdown, one a line", r"^>\s*\S", "> {}"),
]  # fmt: skip
# How it is said, the marker of a number, the pattern of all markers.
_MARKERS: list[tuple[str, Callable[[int], str], str]] = [
    ("ref, a colon and the number in square brackets", "[ref:{}]".format, r"\[ref:\d+\]"),
    ("ref, a colon and the number in braces", "{{ref:{}}}".format, r"\{ref:\d+\}"),
    ("the number in square brackets", "[{}]".format, r"\[\d+\]"),
    ("the number in double angle brackets", "<<{}>>".format, r"<<\d+>>"),
    ("web, a colon and the number in square brackets", "[web:{}]".format, r"\[web:\d+\]"),
    ("Part, a space and the number in round brackets", "(Part {})".format, r"\(Part \d+\)"),
]  # fmt: skip


def form(seed: int) -> Form:
    """The task with this number."""
    return draw("format_verification", seed, _drawn, lambda made: made.prompt)


def _drawn(rng: Random) -> Form:
    topic = rng.choice(_TOPICS)
    return rng.choice((_lines, _markers))(rng, f"{rng.choice(_ACTS)} {topic}.")


def _lines(rng: Random, request: str) -> Form:
    said, pattern, line = rng.choice(_LINES)
    count = rng.randint(3, 9)
    return Form(
        f"{request} Have at least {count} {said}.",
        {"type": "regex", "verify_regex": [pattern], "verify_min_matches": count},
        "\n".join(line.format(word) for word in "abcdefghi"[:count]),
    )


def _markers(rng: Random, request: str) -> Form:
    said, marker, pattern = rng.choice(_MARKERS)
    numbers = sorted(rng.sample(range(2, 60), rng.randint(2, 5)))
    markers = [marker(number) for number in numbers]
    listed = ", ".join(map(str, numbers))
    return Form(
        f"{request} Say that you rely on the sources {listed} and on no others. Mark each where "
        f"you use it, with {said}.",
        {"type": "string_match", "expected_markers": markers, "patterns": [pattern]},
        " ".join(f"So it says {one}." for one in markers),
    )
