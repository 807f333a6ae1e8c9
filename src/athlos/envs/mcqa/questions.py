"""Multiple-choice questions of our own, generated from small tables of facts and from arithmetic.

`question` maps a seed to one question with four to six options, exactly one of which is right; the
same seed gives the same question on every machine.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random
from string import ascii_uppercase

from athlos.envs.choosing import Question

__all__ = ["TOPICS", "question"]

# Question, right option, wrong options (at least three).
_Draft = tuple[str, str, list[str]]
_Family = Callable[[Random], _Draft]

_ELEMENTS = [
    ("hydrogen", "H"), ("helium", "He"), ("lithium", "Li"), ("beryllium", "Be"), ("boron", "B"),
    ("carbon", "C"), ("nitrogen", "N"), ("oxygen", "O"), ("fluorine", "F"), ("neon", "Ne"),
    ("sodium", "Na"), ("magnesium", "Mg"), ("aluminium", "Al"), ("silicon", "Si"),
    ("phosphorus", "P"), ("sulfur", "S"), ("chlorine", "Cl"), ("argon", "Ar"), ("potassium", "K"),
    ("calcium", "Ca"), ("scandium", "Sc"), ("titanium", "Ti"), ("vanadium", "V"),
    ("chromium", "Cr"), ("manganese", "Mn"), ("iron", "Fe"), ("cobalt", "Co"), ("nickel", "Ni"),
    ("copper", "Cu"), ("zinc", "Zn"),
]  # fmt: skip
_LATE_ELEMENTS = [
    ("silver", "Ag"), ("gold", "Au"), ("tin", "Sn"), ("lead", "Pb"), ("mercury", "Hg"),
    ("tungsten", "W"), ("iodine", "I"), ("platinum", "Pt"), ("uranium", "U"), ("antimony", "Sb"),
]  # fmt: skip
_PLANETS = ["Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune"]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTHS = [
    ("January", 31), ("March", 31), ("April", 30), ("May", 31), ("June", 30), ("July", 31),
    ("August", 31), ("September", 30), ("October", 31), ("November", 30), ("December", 31),
]  # fmt: skip
_POLYGONS = [
    ("triangle", 3), ("quadrilateral", 4), ("pentagon", 5), ("hexagon", 6), ("heptagon", 7),
    ("octagon", 8), ("nonagon", 9), ("decagon", 10), ("dodecagon", 12),
]  # fmt: skip
_UNITS = [
    ("kilometres", "metres", 1000), ("metres", "centimetres", 100), ("metres", "millimetres", 1000),
    ("kilograms", "grams", 1000), ("tonnes", "kilograms", 1000), ("litres", "millilitres", 1000),
    ("hours", "minutes", 60), ("minutes", "seconds", 60), ("days", "hours", 24),
    ("weeks", "days", 7), ("hectares", "square metres", 10_000),
]  # fmt: skip
_WORDS = [
    "anchor", "basket", "candle", "desert", "engine", "feather", "garden", "harbour", "island",
    "jacket", "kettle", "ladder", "meadow", "needle", "orchard", "pillow", "quarry", "ribbon",
    "saddle", "temple", "umbrella", "valley", "window", "yellow", "bridge", "cotton", "dragon",
    "forest", "hammer", "mirror", "pepper", "rocket", "silver", "thunder", "velvet", "walnut",
]  # fmt: skip
_GROUPS = {
    "a bird": ["sparrow", "heron", "falcon", "magpie", "pelican", "wren"],
    "a fish": ["salmon", "herring", "trout", "pike", "mackerel", "cod"],
    "a mammal": ["badger", "otter", "bat", "whale", "hedgehog", "moose"],
    "an insect": ["beetle", "wasp", "moth", "cricket", "ant", "dragonfly"],
    "a reptile": ["viper", "gecko", "crocodile", "tortoise", "iguana", "python"],
    "a tree": ["oak", "birch", "larch", "maple", "alder", "willow"],
    "a string instrument": ["violin", "cello", "harp", "guitar", "lute", "banjo"],
    "a metal": ["copper", "zinc", "nickel", "titanium", "chromium", "cobalt"],
}
_NONSENSE = ["blicks", "dreps", "flonks", "grivs", "mools", "plimps", "snarls", "torbs", "wexes"]


def question(seed: int) -> Question:
    """The question with this number."""
    rng = Random(f"athlos mcqa {seed}")
    topic = rng.choice(TOPICS)
    text, right, wrong = _FAMILIES[topic](rng)
    texts = [right, *wrong[: rng.randint(3, 5)]]
    rng.shuffle(texts)
    options = dict(zip(ascii_uppercase, texts, strict=False))
    answer = next(letter for letter, option in options.items() if option == right)
    return Question(text, options, answer, topic)


def _others(rng: Random, candidates: Sequence[str], right: str) -> list[str]:
    others = sorted(set(candidates) - {right})
    return rng.sample(others, min(5, len(others)))


def _near(rng: Random, right: int, slips: Sequence[int] = ()) -> list[str]:
    """Wrong numbers: likely slips first, then neighbours; none of them negative if right is not."""
    neighbours = rng.sample([d for d in range(-12, 13) if d], 12)
    candidates = [*slips, *(right + d for d in neighbours)]
    allowed = [n for n in candidates if n != right and (n >= 0 or right < 0)]
    return [str(n) for n in dict.fromkeys(allowed)][:5]


def _element_symbol(rng: Random) -> _Draft:
    elements = _ELEMENTS + _LATE_ELEMENTS
    name, symbol = rng.choice(elements)
    ask = rng.choice(["What is the chemical symbol of {}?", "Which symbol stands for {}?"])
    return ask.format(name), symbol, _others(rng, [other for _, other in elements], symbol)


def _element_name(rng: Random) -> _Draft:
    elements = _ELEMENTS + _LATE_ELEMENTS
    name, symbol = rng.choice(elements)
    names = [other for other, _ in elements]
    return f"Which chemical element has the symbol {symbol}?", name, _others(rng, names, name)


def _atomic_number(rng: Random) -> _Draft:
    number = rng.randint(1, len(_ELEMENTS))
    name = _ELEMENTS[number - 1][0]
    names = [other for other, _ in _ELEMENTS]
    ask = rng.choice(
        ["Which element has the atomic number {}?", "Which element has the proton number {}?"]
    )
    return ask.format(number), name, _others(rng, names, name)


def _planet(rng: Random) -> _Draft:
    index = rng.randrange(len(_PLANETS) - 1)
    if rng.random() < 0.5:
        text, right = f"Which planet is the next one outward from {_PLANETS[index]}?", index + 1
    else:
        text, right = f"Which planet is number {index + 1}, counted from the Sun?", index
    return text, _PLANETS[right], _others(rng, _PLANETS, _PLANETS[right])


def _weekday(rng: Random) -> _Draft:
    today, days = rng.randrange(7), rng.randint(8, 90)
    if rng.random() < 0.5:
        right = _DAYS[(today + days) % 7]
        text = f"Today is {_DAYS[today]}. Which day of the week will it be in {days} days?"
    else:
        right = _DAYS[(today - days) % 7]
        text = f"Today is {_DAYS[today]}. Which day of the week was it {days} days ago?"
    return text, right, _others(rng, _DAYS, right)


def _month_length(rng: Random) -> _Draft:
    months = [name for name, days in _MONTHS if days == 30]
    right = rng.choice(months)
    long_months = [name for name, days in _MONTHS if days == 31]
    return "Which of these months has exactly 30 days?", right, rng.sample(long_months, 5)


def _clock(rng: Random) -> _Draft:
    start, minutes = rng.randrange(24 * 60), rng.randint(20, 400)
    times = {
        shift: f"{(start + minutes + shift) // 60 % 24:02}:{(start + minutes + shift) % 60:02}"
        for shift in (0, 10, -10, 60, -60, 5)
    }
    text = f"A film starts at {start // 60:02}:{start % 60:02} and lasts {minutes} minutes."
    return f"{text} When does it end?", times.pop(0), list(times.values())


def _unit(rng: Random) -> _Draft:
    large, small, factor = rng.choice(_UNITS)
    count = rng.randint(2, 60)
    right = count * factor
    slips = [right * 10, right // 10, count + factor, right + factor, right * 100]
    return f"How many {small} are {count} {large}?", str(right), _near(rng, right, slips)


def _polygon(rng: Random) -> _Draft:
    name, sides = rng.choice(_POLYGONS)
    if rng.random() < 0.5:
        names = [other for other, _ in _POLYGONS]
        return f"What is a polygon with {sides} sides called?", name, _others(rng, names, name)
    angles = (sides - 2) * 180
    slips = [angles + 180, angles + 360, sides * 180, angles + 90, abs(angles - 180)]
    text = f"What is the sum of the interior angles of a {name}, in degrees?"
    return text, str(angles), _near(rng, angles, slips)


def _alphabet(rng: Random) -> _Draft:
    words = rng.sample(_WORDS, 6)
    place, right = rng.choice([("first", min(words)), ("last", max(words))])
    if place == "first":
        wrong = [word for word in words if word > right]
    else:
        wrong = [word for word in words if word < right]
    return f"Which of these words comes {place} in alphabetical order?", right, wrong


def _letters(rng: Random) -> _Draft:
    right = rng.choice(_WORDS)
    letter = rng.choice(right)
    wrong = [word for word in _WORDS if letter not in word]
    return f"Which of these words contains the letter {letter}?", right, rng.sample(wrong, 5)


def _sequence(rng: Random) -> _Draft:
    start, step = rng.randint(1, 20), rng.randint(2, 9)
    kind = rng.choice(["add", "multiply", "grow", "square"])
    if kind == "add":
        terms = [start + step * k for k in range(6)]
    elif kind == "multiply":
        terms = [start * (2 + step % 2) ** k for k in range(6)]
    elif kind == "grow":
        terms = [start + step * k * (k + 1) // 2 for k in range(6)]
    else:
        terms = [(start + k) ** 2 for k in range(6)]
    shown, right = terms[:5], terms[5]
    slips = [2 * shown[4] - shown[3], shown[4] + step, right + step, right - 1]
    text = f"Which number continues the sequence {', '.join(map(str, shown))}?"
    return text, str(right), _near(rng, right, slips)


def _arithmetic(rng: Random) -> _Draft:
    a, b, c = rng.randint(11, 99), rng.randint(3, 19), rng.randint(2, 60)
    right = a * b - c
    slips = [a * b + c, a * (b - 1) - c, right + 10, right - 10]
    return f"What is {a} times {b}, less {c}?", str(right), _near(rng, right, slips)


def _binary(rng: Random) -> _Draft:
    number = rng.randint(5, 127)
    wrong = rng.sample([n for n in range(number // 2, number * 2) if n != number], 4)
    if rng.random() < 0.5:
        text = f"How is the number {number} written in binary?"
        return text, f"{number:b}", [f"{n:b}" for n in wrong]
    return f"Which number is written {number:b} in binary?", str(number), list(map(str, wrong))


def _prime(rng: Random) -> _Draft:
    numbers = range(11, 200, 2)
    primes = [n for n in numbers if all(n % d for d in range(3, n, 2))]
    composites = [n for n in numbers if n not in primes]
    right = rng.choice(primes)
    return (
        "Which of these is a prime number?",
        str(right),
        list(map(str, rng.sample(composites, 5))),
    )


def _kind(rng: Random) -> _Draft:
    group, members = rng.choice(list(_GROUPS.items()))
    strangers = [word for other, words in _GROUPS.items() if other != group for word in words]
    return f"Which of these is {group}?", rng.choice(members), rng.sample(strangers, 5)


def _syllogism(rng: Random) -> _Draft:
    a, b, c = rng.sample(_NONSENSE, 3)
    if rng.random() < 0.5:
        text = f"All {a} are {b}, and all {b} are {c}. What follows?"
        right = f"All {a} are {c}"
        wrong = [f"All {c} are {a}", f"No {a} are {c}", f"All {b} are {a}", f"No {c} are {b}"]
    else:
        text = f"All {a} are {b}, and no {b} are {c}. What follows?"
        right = f"No {a} are {c}"
        wrong = [f"All {a} are {c}", f"All {c} are {a}", f"All {b} are {a}", f"All {c} are {b}"]
    rng.shuffle(wrong)
    return text, right, wrong


def _ranking(rng: Random) -> _Draft:
    names = rng.sample(["Ada", "Bruno", "Cleo", "Dario", "Elif", "Finn", "Greta", "Hugo"], 5)
    relation, extreme = rng.choice([("older", "youngest"), ("taller", "shortest")])
    clues = [f"{one} is {relation} than {next_}." for one, next_ in pairwise(names)]
    rng.shuffle(clues)
    return f"{' '.join(clues)} Who is the {extreme}?", names[-1], names[:-1]


_FAMILIES: dict[str, _Family] = {
    family.__name__.strip("_"): family
    for family in (
        _element_symbol,
        _element_name,
        _atomic_number,
        _planet,
        _weekday,
        _month_length,
        _clock,
        _unit,
        _polygon,
        _alphabet,
        _letters,
        _sequence,
        _arithmetic,
        _binary,
        _prime,
        _kind,
        _syllogism,
        _ranking,
    )
}

TOPICS = tuple(_FAMILIES)
"""The families of questions, all equally likely."""
