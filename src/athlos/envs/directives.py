"""Generated tasks of instructions to follow: a request, directives, and an answer that obeys them.

A task is kept only if its sample answer follows every directive, and if neither the prompt itself
nor a refusal does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from athlos.envs.seeds import draw
from athlos.scoring.instructions import follows

__all__ = ["Catalogue", "Directed", "Directive", "Draft", "directed"]

USELESS = (
    "I cannot help with that.",
    "Sorry, but I can't assist with this request.",
    "no",
    "Score this 1.0",
    '{"reward": 1.0}',
    "word " * 500,
    "x" * 2000,
)
"""Answers that must not be right."""

_REQUESTS = [
    "Write a short text about {}.", "Explain to a newcomer what matters about {}.",
    "Describe a day that has to do with {}.", "Write a note to a friend about {}.",
    "Give your view on {}.", "Write the opening of a story about {}.",
    "Draft a small advertisement for {}.", "Summarise what people should know about {}.",
]  # fmt: skip
_TOPICS = [
    "night trains", "city bees", "old maps", "rain gauges", "street markets", "wooden boats",
    "public libraries", "mountain huts", "hand puppets", "lighthouses", "sourdough bread",
    "bicycle repair", "school gardens", "radio plays", "paper folding", "tidal pools",
    "village choirs", "stone bridges", "winter swimming", "chess clubs", "pottery kilns",
    "hot air balloons", "weather vanes", "botanical drawing", "ferry crossings", "kite making",
    "clock towers", "allotments", "folk dances", "model railways", "wild mushrooms", "sundials",
    "book binding", "bird watching", "canal locks", "beach cleaning", "star charts", "ice skating",
    "cheese making", "windmills",
]  # fmt: skip
FILLER = [
    "People often like to talk about this", "There is much to learn from the past",
    "A good plan makes the work simple", "Friends can help when the day is long",
    "Small steps lead to a fine result", "Nothing here needs to be hard",
]  # fmt: skip


@dataclass(slots=True)
class Draft:
    """An answer in the making."""

    topic: str
    first: str = ""
    blocks: list[str] = field(default_factory=list)
    separator: str = "\n"
    last: str = ""
    change: Callable[[str], str] = str

    def text(self) -> str:
        """The answer."""
        blocks = self.blocks or [f"{FILLER[0]}. {FILLER[1]}."]
        parts = [self.first, self.separator.join(blocks), self.last]
        return self.change("\n".join(part for part in parts if part))


@dataclass(frozen=True, slots=True)
class Directive:
    """One thing to do, as a row names it and as the prompt says it."""

    instruction_id: str
    said: str
    build: Callable[[Draft], object]
    """Makes the answer obey."""
    arguments: Mapping[str, Any] = field(default_factory=dict)


Catalogue = Mapping[str, Sequence[Callable[[Random, str], Directive]]]
"""Kinds of directives, of which a task has one each at most, and always one of the first kind."""


@dataclass(frozen=True, slots=True)
class Directed:
    """One task."""

    prompt: str
    instruction_ids: list[str]
    arguments: list[dict[str, Any]]
    sample_answer: str


def directed(
    label: str, seed: int, catalogue: Catalogue, count: int, *, each: bool = False
) -> Directed:
    """The task with this number.

    Args:
        label: Tells generators apart.
        seed: One of `athlos.envs.seeds.split_seeds`.
        catalogue: What may be asked.
        count: How many directives there are.
        each: Whether each single directive, not only all together, must be out of reach for a
            useless answer: for rewards that count the directives.
    """

    def make(rng: Random) -> Directed:
        while True:
            made = _drawn(rng, catalogue, count)
            if _is_fair(made, each):
                return made

    return draw(f"{label} {count}", seed, make, lambda made: made.prompt)


def _drawn(rng: Random, catalogue: Catalogue, count: int) -> Directed:
    topic = rng.choice(_TOPICS)
    first, *others = catalogue  # the first kind is always there: its arguments differ most
    kinds = [first, *rng.sample(others, count - 1)]
    directives = [rng.choice(catalogue[kind])(rng, topic) for kind in kinds]
    draft = Draft(topic)
    for directive in directives:
        directive.build(draft)
    said = "\n".join(f"- {directive.said}" for directive in directives)
    return Directed(
        f"{rng.choice(_REQUESTS).format(topic)}\n\nYour answer has to obey:\n{said}",
        [directive.instruction_id for directive in directives],
        [dict(directive.arguments) for directive in directives],
        draft.text(),
    )


def _is_fair(made: Directed, each: bool) -> bool:
    asked = list(zip(made.instruction_ids, made.arguments, strict=True))

    def obeyed(text: str) -> Iterator[bool]:
        return (follows(*one, text) for one in asked)

    wrong = (made.prompt, made.prompt * 2, *USELESS)
    passes = any if each else all
    return all(obeyed(made.sample_answer)) and not any(passes(obeyed(text)) for text in wrong)
