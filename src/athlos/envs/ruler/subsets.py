"""The kinds of questions, each a long text with a question behind it, made from a seed."""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

from athlos.envs.haystack import ADJECTIVES, NOUNS, hide, key, sentence, uuid
from athlos.envs.seeds import draw

__all__ = ["SUBSETS", "Question", "question"]

_LINE = "End with one line that has the form Answer: followed by {what}."
_MARGIN = 400  # characters of the question


class Question(NamedTuple):
    """A prompt and the words that answer it."""

    prompt: str
    outputs: list[str]


def question(subset: str, seed: int, characters: int) -> Question:
    """The question with this number; no two splits have one in common."""
    make = _SUBSETS[subset]
    room = max(characters - _MARGIN, 200)
    label = f"ruler {subset} {characters}"
    return draw(label, seed, lambda rng: make(rng, room), lambda made: made.prompt)


def _number(rng: Random) -> str:
    return str(rng.randint(1_000_000, 9_999_999))


def _code(name: str, value: str) -> str:
    return f"The code of {name} is {value}."


def _codes(rng: Random, make: Callable[[Random], str]) -> Iterator[str]:
    while True:
        yield _code(key(rng), make(rng))


def _one_line(rng: Random) -> Iterator[str]:
    line = sentence(rng)
    while True:
        yield line


def _prose(rng: Random) -> Iterator[str]:
    while True:
        yield sentence(rng)


def _numbers(rng: Random) -> Iterator[str]:
    return _codes(rng, _number)


def _uuids(rng: Random) -> Iterator[str]:
    return _codes(rng, uuid)


def _needle(
    filler: Callable[[Random], Iterator[str]],
    make: Callable[[Random], str] = _number,
    *,
    keys: int = 1,
    values: int = 1,
    asked: int = 1,
) -> Callable[[Random, int], Question]:
    """Codes in a text: some names, each with as many codes, of which some names are asked for."""

    def drawn(rng: Random, room: int) -> Question:
        names = list(dict.fromkeys(key(rng) for _ in range(keys + 3)))[:keys]
        codes = {name: [make(rng) for _ in range(values)] for name in names}
        needles = [_code(name, code) for name in names for code in codes[name]]
        rng.shuffle(needles)
        between = "\n" if filler in (_numbers, _uuids) else " "
        text = hide(rng, needles, room, filler, between)
        wanted = names[:asked]
        several = values * asked > 1
        what = f"the {values * asked} codes, separated by commas" if several else "the code"
        ask = f"What {'are the codes' if several else 'is the code'} of {_and(wanted)}?"
        prompt = f"Some codes are hidden in this text.\n\n{text}\n\n{ask} {_LINE.format(what=what)}"
        return Question(prompt, [code for name in wanted for code in codes[name]])

    return drawn


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _variables(rng: Random, room: int) -> Question:
    names = ["".join(rng.sample(string.ascii_uppercase, 5)) for _ in range(20)]
    names = list(dict.fromkeys(names))
    chains = [names[:5], names[5:10], names[10:14]]
    values = rng.sample(range(10_000, 99_999), len(chains))
    lines = [
        [f"VAR {chain[0]} = {value}", *(f"VAR {b} = VAR {a}" for a, b in itertools.pairwise(chain))]
        for chain, value in zip(chains, values, strict=True)
    ]
    order = [number for number, chain in enumerate(lines) for _ in chain]
    rng.shuffle(order)  # the chains are mixed, each in its own order
    takers = [iter(chain) for chain in lines]
    needles = [next(takers[number]) for number in order]
    text = hide(rng, needles, room, _prose, "\n")
    what = f"the names of the {len(chains[0])} variables, separated by commas"
    prompt = (
        f"Assignments of variables are hidden in this text.\n\n{text}\n\nWhich variables have the "
        f"value {values[0]} in the end, directly or by way of others? {_LINE.format(what=what)}"
    )
    return Question(prompt, chains[0])


def _common_words(rng: Random, room: int) -> Question:
    pool = [f"{one}{other}" for one in ADJECTIVES for other in NOUNS]
    top, often = 10, 12
    common = rng.sample(pool, top)
    rest = [word for word in rng.sample(pool, min(len(pool), 1000)) if word not in common]
    words = common * often
    size = sum(map(len, words)) + 5 * len(words)
    for number in itertools.count():
        if size >= room:
            break
        # no other word comes near, however long the list is
        word = rest[number % len(rest)] + ("" if number < 3 * len(rest) else str(number))
        words.append(word)
        size += len(word) + 5
    rng.shuffle(words)
    listed = " ".join(f"{number}. {word}" for number, word in enumerate(words, 1))
    what = f"those {top} words, separated by commas"
    prompt = (
        f"Here is a list of words, in which some occur often.\n\n{listed}\n\nWhich {top} words are "
        f"the most frequent ones of the list? {_LINE.format(what=what)}"
    )
    return Question(prompt, common)


def _frequent_words(rng: Random, room: int) -> Question:
    words = ["".join(rng.choices(string.ascii_lowercase, k=6)) for _ in range(60)]
    words = list(dict.fromkeys(words))
    top = words[:3]
    total = room // 7
    weights = [1 / (rank + 1) ** 1.5 for rank in range(len(words))]
    share = total / sum(weights)
    text: list[str] = []
    least = 0
    for word, weight in reversed(list(zip(words, weights, strict=True))):
        count = max(int(share * weight), 1)
        if word in top:  # the first three are ahead of all others, in whatever text
            count = max(count, least + 2)
        least = max(least, count)
        text += [word] * count
    rng.shuffle(text)
    what = "those three words, separated by commas"
    prompt = (
        f"Here is a text in code.\n\n{' '.join(text)}\n\nWhich three words occur most often in it? "
        f"{_LINE.format(what=what)}"
    )
    return Question(prompt, top)


def _documents(hops: int) -> Callable[[Random, int], Question]:
    """Documents about people; the answer takes one of them, or two."""

    def drawn(rng: Random, room: int) -> Question:
        people = list(dict.fromkeys(key(rng).title() for _ in range(6)))
        towns = list(dict.fromkeys(key(rng).title() for _ in range(8)))
        person, friend = people[:2]
        town = towns[0]
        facts = [f"{person} is a close friend of {friend}."] if hops == 2 else []
        subject = friend if hops == 2 else person
        facts.append(f"{subject} was born in the town of {town}.")
        others = [other for other in people[2:] if other != subject]
        facts += [
            f"{other} was born in the town of {home}."
            for other, home in zip(others, towns[1:], strict=False)
        ]
        rng.shuffle(facts)
        each = max(room // len(facts) - 20, 100)
        documents = [
            f"Document {number}:\n{hide(rng, [fact], each, _prose)}"
            for number, fact in enumerate(facts, 1)
        ]
        whom = f"the close friend of {person}" if hops == 2 else person
        listed = "\n\n".join(documents)
        ask = f"In which town was {whom} born? {_LINE.format(what='the name of the town')}"
        return Question(f"{listed}\n\n{ask}", [town])

    return drawn


_SUBSETS: dict[str, Callable[[Random, int], Question]] = {
    "niah_single_1": _needle(_one_line),
    "niah_single_2": _needle(_prose),
    "niah_single_3": _needle(_prose, uuid),
    "niah_multikey_1": _needle(_prose, keys=4),
    "niah_multikey_2": _needle(_numbers, keys=2),
    "niah_multikey_3": _needle(_uuids, uuid, keys=2),
    "niah_multivalue": _needle(_prose, values=4),
    "niah_multiquery": _needle(_prose, keys=4, asked=4),
    "vt": _variables,
    "cwe": _common_words,
    "fwe": _frequent_words,
    "qa_1": _documents(1),
    "qa_2": _documents(2),
}

SUBSETS = tuple(_SUBSETS)
"""Their names, those of RULER."""
