"""Text of any length to hide something in: sentences that mean little, from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random

from athlos import ConfigError
from athlos.envs.seeds import split_seeds

__all__ = [
    "CHARACTERS",
    "SHARES",
    "check_length",
    "hide",
    "key",
    "kinds_in_turn",
    "prose",
    "sentence",
    "uuid",
]

CHARACTERS = 4
"""Of a token, about: lengths of tasks are given in tokens."""

SHARES: Mapping[str, str] = {
    f"attack.{name}": "stands for one of several values; the others earn their share, as elsewhere"
    for name in ("empty", "whitespace", "random")
}
"""Findings of the gate where several values are asked for."""

_SHORTEST, _LONGEST = 200, 4_000_000


def _words(text: str) -> list[str]:
    return text.split()


ADJECTIVES = _words(
    "amber brisk calm dusty eager faint golden hollow idle jagged keen lively mellow narrow ornate "
    "pale quiet rusty silver tidal upright velvet wooden young zealous ashen bitter crimson dim "
    "early frozen gentle humble ivory lucid misty noble old plain round scarlet timid usual vast"
)
NOUNS = _words(
    "anchor bridge candle donkey engine falcon garden harbour island jacket kettle lantern meadow "
    "needle orchard pebble quarry river saddle tunnel umbrella valley window yard zebra barrel "
    "cabin desert ember feather glacier hammer inlet jungle kiosk ladder mirror nest otter piano"
)
_PEOPLE = (
    "The baker", "A sailor", "The teacher", "One of the clerks", "The old gardener", "A visitor",
    "The ferryman", "My neighbour", "The watchmaker", "A student", "The miller", "Somebody",
)  # fmt: skip
_VERBS = _words(
    "painted carried found described repaired counted forgot sold watched measured borrowed cleaned"
)
_PLACES = (
    "near the market", "behind the mill", "on the second floor", "by the water", "under the arch",
    "at the end of the lane", "in the next town", "beside the station", "across the square",
)  # fmt: skip
_TIMES = (
    "on a cold morning", "after the rain", "before lunch", "late in the year", "without a word",
    "for the third time", "as everybody knew", "while the bells rang", "at dusk", "all summer",
)  # fmt: skip


def check_length(length: int) -> int:
    """A length in tokens, in characters.

    Raises:
        ConfigError: It is out of range.
    """
    if not _SHORTEST <= length <= _LONGEST:
        raise ConfigError(f"length must be {_SHORTEST} to {_LONGEST:,} tokens, not {length}")
    return length * CHARACTERS


def kinds_in_turn(
    kinds: Sequence[str], kind: str, split: str, size: int
) -> Iterator[tuple[int, str]]:
    """Seeds of a split, each with a kind of question.

    Args:
        kinds: Those that there are.
        kind: Of all of them; "" takes them in turn.
        split: `train` or `test`.
        size: How many.

    Raises:
        ConfigError: There is no such kind.
    """
    if kind and kind not in kinds:
        raise ConfigError(
            f"there is no kind of question {kind!r:.100}", hint=f"There are: {', '.join(kinds)}"
        )
    for seed in split_seeds(split, size):
        yield seed, kind or kinds[seed % len(kinds)]


def sentence(rng: Random) -> str:
    """One sentence of no importance."""
    choice = rng.choice
    return (
        f"{choice(_PEOPLE)} {choice(_VERBS)} the {choice(ADJECTIVES)} {choice(NOUNS)} "
        f"{choice(_PLACES)} {choice(_TIMES)}."
    )


def prose(rng: Random) -> Iterator[str]:
    """Such sentences without end."""
    while True:
        yield sentence(rng)


def hide(
    rng: Random,
    needles: Sequence[str],
    characters: int,
    filler: Callable[[Random], Iterator[str]] = prose,
    between: str = " ",
) -> str:
    """Needles at random places of a text, in their order.

    Args:
        rng: Draws the places, and the filler.
        needles: Sentences that the text must have.
        characters: About how long the text is.
        filler: Makes the other sentences.
        between: What stands between two.
    """
    left = characters - sum(len(needle) + len(between) for needle in needles)
    hay: list[str] = []
    made = filler(rng)
    while left > 0:
        one = next(made)
        hay.append(one)
        left -= len(one) + len(between)
    places = sorted(rng.randint(0, len(hay)) for _ in needles)
    parts: list[str] = []
    done = 0
    for place, needle in zip(places, needles, strict=True):
        parts += [*hay[done:place], needle]
        done = place
    return between.join([*parts, *hay[done:]])


def key(rng: Random) -> str:
    """A name that hardly occurs twice."""
    return f"{rng.choice(ADJECTIVES)}-{rng.choice(NOUNS)}-{rng.randint(10, 999)}"


def uuid(rng: Random) -> str:
    """Thirty-two digits in the form of a UUID."""
    digits = f"{rng.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
