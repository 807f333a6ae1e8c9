"""The kinds of questions of RULER v2, with texts of our own, made from a seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from athlos.envs.haystack import hide, key, prose
from athlos.envs.seeds import draw

__all__ = ["KINDS", "Made", "made_for"]

_LINE = "End with one line that has the form Answer: followed by {what}."
_MARGIN = 500  # characters of the question
_DISTRACTORS = {"basic": 0, "easy": 4, "medium": 16, "hard": 60}
_LETTERS = "ABCD"


class Made(NamedTuple):
    """A prompt and what the verifier needs."""

    prompt: str
    info: dict[str, Any]


def made_for(kind: str, seed: int, characters: int) -> Made:
    """The question with this number; no two splits have one in common."""
    family, _, grade = kind.rpartition("_")
    room = max(characters - _MARGIN, 300)
    make = _FAMILIES[family]
    label = f"ruler2 {kind} {characters}"
    return draw(label, seed, lambda rng: make(rng, room, grade), lambda made: made.prompt)


def _codes(rng: Random, count: int) -> list[tuple[str, str]]:
    names = list(dict.fromkeys(key(rng) for _ in range(2 * count + 4)))[:count]
    return [(name, str(rng.randint(1_000_000, 9_999_999))) for name in names]


def _hidden(rng: Random, facts: list[str], room: int) -> str:
    """The facts in a text, as many as it has room for; the first ones are always there."""
    fitting = max(room // 60, 6)
    return hide(rng, rng.sample(facts[:fitting], len(facts[:fitting])), room, prose)


def _many_keys(rng: Random, room: int, grade: str) -> Made:
    codes = _codes(rng, 1 + _DISTRACTORS[grade])
    name, code = codes[0]
    text = _hidden(rng, [f"The code of {one} is {other}." for one, other in codes], room)
    ask = f"What is the code of {name}? {_LINE.format(what='the code')}"
    return Made(f"{text}\n\n{ask}", _info([code], "all"))


def _many_values(rng: Random, room: int, grade: str) -> Made:
    values = {"basic": 2, "easy": 3, "medium": 4, "hard": 6}[grade]
    codes = _codes(rng, values + _DISTRACTORS[grade])
    name = codes[0][0]
    wanted = [code for _, code in codes[:values]]
    facts = [f"One code of {name} is {code}." for code in wanted]
    facts += [f"One code of {one} is {code}." for one, code in codes[values:]]
    what = f"the {values} codes, separated by commas"
    ask = f"What are the codes of {name}? {_LINE.format(what=what)}"
    return Made(f"{_hidden(rng, facts, room)}\n\n{ask}", _info(wanted, "all"))


def _documents(rng: Random, room: int, grade: str) -> Made:
    people = list(dict.fromkeys(key(rng).title() for _ in range(24)))
    towns = list(dict.fromkeys(key(rng).title() for _ in range(24)))
    person, friend, *others = people
    town, *homes = towns
    two_steps = grade == "hard"
    born = "{} was born in the town of {}."
    facts = [born.format(friend if two_steps else person, town)]
    if two_steps:
        facts.append(f"{person} is a close friend of {friend}.")
    count = {"basic": 3, "easy": 3, "medium": 8, "hard": 12}[grade]
    facts += [born.format(*pair) for pair in zip(others[:count], homes[:count], strict=True)]
    rng.shuffle(facts)
    each = max(room // len(facts) - 20, 60)
    text = "\n\n".join(
        f"Document {number}:\n{hide(rng, [fact], each, prose)}"
        for number, fact in enumerate(facts, 1)
    )
    whom = f"the close friend of {person}" if two_steps else person
    ask = f"{text}\n\nIn which town was {whom} born?"
    if grade == "basic":
        options = rng.sample([town, *homes[:3]], 4)
        listed = "\n".join(
            f"{letter}: {one}" for letter, one in zip(_LETTERS, options, strict=True)
        )
        end = "End with the letter of the right town in a box, \\boxed{letter}."
        letter = _LETTERS[options.index(town)]
        info = {"expected_answer": letter, "eval_type": "multichoice", "listed": 1}
        return Made(f"{ask}\n\n{listed}\n\n{end}", info)
    end = _LINE.format(what="the name of the town")
    if two_steps:
        end = f"First say who that friend is. Then, as a paragraph of its own: {end}"
    return Made(f"{ask} {end}", _info([town], "2steps" if two_steps else "part"))


def _info(expected: list[str], match: str) -> dict[str, Any]:
    return {
        "expected_answer": expected,
        "eval_type": "ruler2",
        "match_type": match,
        # what is only searched for in the answer would be found in the prompt, repeated
        "listed": len(expected),
    }


_FAMILIES: dict[str, Callable[[Random, int, str], Made]] = {
    "mk_niah": _many_keys,
    "mv_niah": _many_values,
    "qa": _documents,
}

KINDS = tuple(f"{family}_{grade}" for family in _FAMILIES for grade in _DISTRACTORS)
"""Their names, those of RULER v2."""
