"""A small invented world: paragraphs about people, books, companies and towns, and questions.

`question` maps a seed to paragraphs and one question whose answer takes two or three of them; the
same seed gives the same task on every machine. All names are made up of syllables, so nothing can
be known beforehand.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from athlos.envs.seeds import draw

__all__ = ["HOPS", "Question", "question"]

HOPS = (2, 3)
"""How many paragraphs a question may take."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question:
    """One task."""

    paragraphs: tuple[str, ...]
    """What there is to read, in random order."""
    question: str
    """Answered by them together, by none of them alone."""
    expected_answer: str
    """A name."""
    hops: int
    """How many paragraphs it takes."""


@dataclass(slots=True)
class _World:
    people: list[str]
    towns: list[str]
    books: list[str]
    firms: list[str]
    home: dict[str, str]
    river: dict[str, str]
    author: dict[str, str]
    seat: dict[str, str]
    founder: dict[str, str]
    born: dict[str, int]
    printed: dict[str, int]


_STARTS = [
    "Bar", "Cal", "Dor", "Fen", "Gal", "Hes", "Jor", "Kel", "Lor", "Mar", "Nor", "Pel", "Ros",
    "Sel", "Tam", "Ul", "Ver", "Wil", "Yar", "Zan",
]  # fmt: skip
_MIDDLES = ["a", "e", "i", "o", "u", "ada", "eri", "ino", "olu", "ume"]
_ENDS = ["bek", "dan", "fin", "gor", "lan", "mir", "nav", "ran", "sten", "tov", "vik", "wen"]
_GIVEN = [
    "Ada", "Bela", "Cato", "Dina", "Edo", "Fara", "Gero", "Hilde", "Ivo", "Jana", "Karo", "Lino",
    "Mira", "Nilo", "Odile", "Piet", "Runa", "Silo", "Tove", "Ugo", "Vera", "Wanda", "Yara", "Zeno",
]  # fmt: skip
_ADJECTIVES = [
    "Glass", "Quiet", "Last", "Copper", "Blue", "Hollow", "Winter", "Paper", "Distant", "Second",
    "Salt", "Broken", "Golden", "Silent", "Burning", "Crooked", "Narrow", "Patient", "Red", "Lost",
]  # fmt: skip
_NOUNS = [
    "Harbour", "Meridian", "Ferryman", "Orchard", "Ledger", "Tide", "Lantern", "Clockmaker", "Door",
    "Atlas", "Ladder", "Staircase", "Bridge", "Garden", "Letter", "Compass", "Mill", "Island",
    "Choir", "Witness",
]  # fmt: skip
_TRADES = ["lenses", "bicycles", "pianos", "clocks", "lamps", "boats", "carpets", "printing inks"]


def question(seed: int, paragraphs: int, hops: int) -> Question:
    """The task with this number, of so many paragraphs (at least six)."""
    return draw(
        f"hotpotqa {paragraphs} {hops}",
        seed,
        lambda rng: _drawn(rng, paragraphs, hops),
        lambda made: made.question,
    )


def _drawn(rng: Random, paragraphs: int, hops: int) -> Question:
    size = max(2, (paragraphs + 3) // 4)
    world = _world(rng, size)
    text, answer, needed = rng.choice(_QUESTIONS[hops])(rng, world)
    told = {
        name: tell(rng, world, name)
        for names, tell in (
            (world.people, _of_person),
            (world.towns, _of_town),
            (world.books, _of_book),
            (world.firms, _of_firm),
        )
        for name in names
    }
    others = [name for name in told if name not in needed]
    chosen = [*needed, *rng.sample(others, max(0, paragraphs - len(needed)))]
    rng.shuffle(chosen)
    return Question(tuple(told[name] for name in chosen), text, answer, hops)


def _world(rng: Random, size: int) -> _World:
    names: set[str] = set()
    while len(names) < 4 * size:
        names.add(rng.choice(_STARTS) + rng.choice(_MIDDLES) + rng.choice(_ENDS))
    pool = iter(rng.sample(sorted(names), 4 * size))
    towns, rivers, surnames, marks = ([next(pool) for _ in range(size)] for _ in range(4))
    people = [
        f"{given} {name}" for given, name in zip(rng.sample(_GIVEN, size), surnames, strict=True)
    ]
    adjectives, nouns = rng.sample(_ADJECTIVES, size), rng.sample(_NOUNS, size)
    books = [f"The {first} {second}" for first, second in zip(adjectives, nouns, strict=True)]
    firms = [f"{name} {rng.choice(('Works', 'Company', 'Brothers'))}" for name in marks]

    def paired(keys: list[str], values: Sequence[T]) -> dict[str, T]:
        return dict(zip(keys, rng.sample(values, size), strict=True))

    return _World(
        people,
        towns,
        books,
        firms,
        home=paired(people, towns),
        river=paired(towns, rivers),
        author=paired(books, people),
        seat=paired(firms, towns),
        founder=paired(firms, people),
        born=paired(people, range(1801, 1871)),
        printed=paired(books, range(1881, 1951)),
    )


def _of_person(rng: Random, world: _World, name: str) -> str:
    hobby = rng.choice(["sailing", "the cello", "chess", "gardening", "bees"])
    return f"{name} was born in {world.home[name]} in {world.born[name]} and was fond of {hobby}."


def _of_town(rng: Random, world: _World, name: str) -> str:
    people = rng.randint(4, 90) * 1000
    return f"{name} is a town of {people:,} people on the river {world.river[name]}."


def _of_book(rng: Random, world: _World, name: str) -> str:
    pages, year = rng.randint(120, 640), world.printed[name]
    return f'"{name}" is a novel of {pages} pages, written by {world.author[name]} in {year}.'


def _of_firm(rng: Random, world: _World, name: str) -> str:
    trade = rng.choice(_TRADES)
    return (
        f"{name}, a maker of {trade} with its seat in {world.seat[name]}, was founded by "
        f"{world.founder[name]}."
    )


_Made = tuple[str, str, list[str]]
_Kind = Callable[[Random, _World], _Made]


def _birthplace_of_author(rng: Random, world: _World) -> _Made:
    book = rng.choice(world.books)
    who = world.author[book]
    return f'In which town was the author of "{book}" born?', world.home[who], [book, who]


def _river_of_firm(rng: Random, world: _World) -> _Made:
    firm = rng.choice(world.firms)
    town = world.seat[firm]
    text = f"On which river does the town lie in which {firm} has its seat?"
    return text, world.river[town], [firm, town]


def _river_of_person(rng: Random, world: _World) -> _Made:
    who = rng.choice(world.people)
    town = world.home[who]
    return f"{who} was born in a town on which river?", world.river[town], [who, town]


def _older_book(rng: Random, world: _World) -> _Made:
    first, second = rng.sample(world.books, 2)
    text = f'Which novel was written first, "{first}" or "{second}"?'
    return text, min((first, second), key=lambda book: world.printed[book]), [first, second]


def _river_of_author(rng: Random, world: _World) -> _Made:
    book = rng.choice(world.books)
    who = world.author[book]
    town = world.home[who]
    text = f'The author of "{book}" was born in a town. On which river does it lie?'
    return text, world.river[town], [book, who, town]


def _river_of_founder(rng: Random, world: _World) -> _Made:
    firm = rng.choice(world.firms)
    who = world.founder[firm]
    town = world.home[who]
    text = f"On which river does the town lie in which the founder of {firm} was born?"
    return text, world.river[town], [firm, who, town]


def _older_author(rng: Random, world: _World) -> _Made:
    book = rng.choice(world.books)
    author = world.author[book]
    other = rng.choice([who for who in world.people if who != author])
    text = f'Who was born first, {other} or the author of "{book}"? Give the full name.'
    older = min((author, other), key=lambda who: world.born[who])
    return text, older, [book, author, other]


_QUESTIONS: dict[int, list[_Kind]] = {
    2: [_birthplace_of_author, _river_of_firm, _river_of_person, _older_book],
    3: [_river_of_author, _river_of_founder, _older_author],
}
