"""Long conversations in which one kind of piece was asked for several times, made from a seed."""

from __future__ import annotations

import string
from random import Random
from typing import NamedTuple

from athlos import ConfigError, Message
from athlos.envs.haystack import ADJECTIVES, NOUNS
from athlos.envs.seeds import draw

__all__ = ["LEVELS", "Conversation", "conversation"]

LEVELS = (1, 2, 3)
_NEEDLES = {1: 2, 2: 4, 3: 8}
_FORMS = ["poem", "letter", "diary entry", "news item", "speech", "riddle", "recipe", "fairy tale"]
_ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"]
_OPENINGS = ["Once", "Today", "At last", "In winter", "By the gate", "Far away", "Every day"]
_VERBS = ["carries", "follows", "remembers", "hides", "finds", "calls", "leaves", "meets"]
_ENDINGS = ["and nobody asks why", "under a slow sky", "while the light goes", "as it always did"]


class Conversation(NamedTuple):
    """A conversation and the piece that its last turn asks for.

    Attributes:
        prefix: What the answer must begin with.
        needles: How many pieces of that kind there are.
    """

    messages: list[Message]
    prefix: str
    piece: str
    needles: int


def conversation(seed: int, level: int, characters: int) -> Conversation:
    """The conversation with this number; no two splits have one in common."""
    return draw(
        f"mrcr {level} {characters}",
        seed,
        lambda rng: _drawn(rng, _NEEDLES[level], characters),
        lambda made: made.prefix + made.piece,
    )


def _drawn(rng: Random, needles: int, characters: int) -> Conversation:
    kind = rng.choice(_FORMS), rng.choice(NOUNS)
    pieces = [_piece(rng, kind[1]) for _ in range(needles)]
    turns = [(kind, piece) for piece in pieces]
    size = sum(_size(kind, piece) for piece in pieces)
    if size > 2 * characters:
        raise ConfigError(
            f"length is too short for {needles} pieces", hint="--env.length 1500 or more."
        )
    while size < characters:
        # some pieces share the form, some the subject, none shares both
        other = rng.choice(_FORMS), rng.choice(NOUNS)
        if rng.random() < 0.4:
            other = (kind[0], other[1]) if rng.random() < 0.5 else (other[0], kind[1])
        if other != kind:
            turns.append((other, _piece(rng, other[1])))
            size += _size(*turns[-1])
    rng.shuffle(turns)
    wanted = rng.randrange(needles)
    piece = [text for one, text in turns if one == kind][wanted]
    prefix = "".join(rng.choice(string.ascii_letters + string.digits) for _ in range(10))
    messages: list[Message] = []
    for one, text in turns:
        messages.append(Message("user", _request(*one)))
        messages.append(Message("assistant", text))
    messages.append(
        Message(
            "user",
            f"Write {prefix} and, directly behind it, repeat the {_ORDINALS[wanted]} {kind[0]} "
            f"about the {kind[1]} that you wrote, word for word. Write nothing else.",
        )
    )
    return Conversation(messages, prefix, piece, needles)


def _request(form: str, subject: str) -> str:
    return f"Write a {form} about the {subject}."


def _size(kind: tuple[str, str], piece: str) -> int:
    return len(_request(*kind)) + len(piece)


def _piece(rng: Random, subject: str) -> str:
    lines = [
        f"{rng.choice(_OPENINGS)} the {rng.choice(ADJECTIVES)} {subject} {rng.choice(_VERBS)} the "
        f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}, {rng.choice(_ENDINGS)}."
        for _ in range(rng.randint(3, 6))
    ]
    return "\n".join(lines)
