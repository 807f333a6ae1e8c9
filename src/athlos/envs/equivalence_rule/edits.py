"""Editing tasks of our own: a text, instructions to apply in order, and the one result.

`edit` maps a seed and a level to one task; the same pair gives the same task on every machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from athlos.envs.seeds import draw

__all__ = ["LEVELS", "Edit", "edit"]

LEVELS = range(1, 6)
"""How many instructions there are."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One task."""

    text: str
    """The words to edit."""
    steps: tuple[str, ...]
    """What to do, in order."""
    expected_answer: str
    """The words that are left, with single spaces between them."""
    level: int
    """1 to 5."""


_WORDS = [
    "amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "heron", "inlet", "jetty",
    "kelp", "lagoon", "maple", "nectar", "oasis", "plume", "quartz", "ridge", "sable", "thicket",
    "umbra", "valley", "willow", "yarrow", "zephyr", "acorn", "brook", "clover", "dune", "elm",
    "fern", "gully", "hazel", "ivy", "juniper", "knoll", "lichen", "meadow", "nettle", "orchid",
    "pebble", "quarry", "reed", "spruce", "tundra", "urchin", "vine", "wharf", "yew", "zinnia",
]  # fmt: skip

_Words = list[str]
_Step = Callable[[Random, _Words], tuple[str, _Words]]


def edit(seed: int, level: int) -> Edit:
    """The task with this number at this level."""
    return draw(
        f"equivalence {level}", seed, lambda rng: _drawn(rng, level), lambda made: made.text
    )


def _drawn(rng: Random, level: int) -> Edit:
    while True:
        words = rng.sample(_WORDS, 5 + level)
        words.insert(rng.randrange(len(words)), rng.choice(words))
        text = " ".join(words)
        steps: list[str] = []
        last: _Step | None = None
        while len(steps) < level:
            step = rng.choice([step for step in _STEPS if step is not last])
            said, changed = step(rng, words)
            if changed != words and len(changed) >= 3:
                words, last = changed, step
                steps.append(said)
        if " ".join(words) not in text:  # the prompt must not hold the answer
            return Edit(text, tuple(steps), " ".join(words), level)


def _reverse(_: Random, words: _Words) -> tuple[str, _Words]:
    return "Reverse the order of the words.", words[::-1]


def _sort(_: Random, words: _Words) -> tuple[str, _Words]:
    return "Put the words into alphabetical order.", sorted(words)


def _by_length(_: Random, words: _Words) -> tuple[str, _Words]:
    said = "Order the words from the shortest to the longest; words of one length keep their order."
    return said, sorted(words, key=len)


def _drop(rng: Random, words: _Words) -> tuple[str, _Words]:
    letter = rng.choice("".join(words))
    said = f'Remove every word that contains the letter "{letter}".'
    return said, [word for word in words if letter not in word]


def _once(_: Random, words: _Words) -> tuple[str, _Words]:
    said = "Where a word occurs more than once, keep only its first occurrence."
    return said, list(dict.fromkeys(words))


def _swap(_: Random, words: _Words) -> tuple[str, _Words]:
    return "Swap the first word and the last one.", [words[-1], *words[1:-1], words[0]]


def _second(_: Random, words: _Words) -> tuple[str, _Words]:
    return "Keep the first, the third, the fifth word and so on; remove the others.", words[::2]


def _mirror(rng: Random, words: _Words) -> tuple[str, _Words]:
    place = rng.randrange(len(words))
    said = f"Write word number {place + 1} with its letters in reverse order."
    return said, [*words[:place], words[place][::-1], *words[place + 1 :]]


def _replace(rng: Random, words: _Words) -> tuple[str, _Words]:
    old, new = rng.choice(words), rng.choice(_WORDS)
    said = f'Replace every "{old}" by "{new}".'
    return said, [new if word == old else word for word in words]


def _rotate(rng: Random, words: _Words) -> tuple[str, _Words]:
    count = rng.randint(1, len(words) - 1)
    moved = "word" if count == 1 else f"{count} words, in their order,"
    said = f"Move the first {moved} to the end."
    return said, words[count:] + words[:count]


_STEPS: list[_Step] = [
    _reverse, _sort, _by_length, _drop, _once, _swap, _second, _mirror, _replace, _rotate,
]  # fmt: skip
