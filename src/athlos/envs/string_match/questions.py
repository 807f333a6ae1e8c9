"""Short-answer questions of our own, generated from small tables of facts and from string rules.

`question` maps a seed to one question with one expected answer, a word, a number or a short phrase;
the same seed gives the same question on every machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from random import Random

from athlos.envs.seeds import draw

__all__ = ["TOPICS", "Question", "question"]


@dataclass(frozen=True, slots=True)
class Question:
    """One question and the answer it expects."""

    question: str
    """The text to show."""
    expected_answer: str
    """What `athlos.scoring.score_string` compares with."""
    case_sensitive: bool
    """Whether only the exact string will do: the lenient comparison drops letters, as in ``cm``."""
    topic: str
    """The family it comes from, one of `TOPICS`."""


_Family = Callable[[Random], tuple[str, str]]

_CAPITALS = {
    "Albania": "Tirana", "Algeria": "Algiers", "Argentina": "Buenos Aires", "Armenia": "Yerevan",
    "Australia": "Canberra", "Austria": "Vienna", "Bangladesh": "Dhaka", "Belgium": "Brussels",
    "Botswana": "Gaborone", "Bulgaria": "Sofia", "Cambodia": "Phnom Penh", "Canada": "Ottawa",
    "Chile": "Santiago", "Colombia": "Bogota", "Croatia": "Zagreb", "Cuba": "Havana",
    "Denmark": "Copenhagen", "Ecuador": "Quito", "Egypt": "Cairo", "Estonia": "Tallinn",
    "Ethiopia": "Addis Ababa", "Finland": "Helsinki", "France": "Paris", "Georgia": "Tbilisi",
    "Germany": "Berlin", "Ghana": "Accra", "Greece": "Athens", "Hungary": "Budapest",
    "Iceland": "Reykjavik", "India": "New Delhi", "Iran": "Tehran", "Iraq": "Baghdad",
    "Ireland": "Dublin", "Italy": "Rome", "Jamaica": "Kingston", "Japan": "Tokyo",
    "Jordan": "Amman", "Kenya": "Nairobi", "Latvia": "Riga", "Lebanon": "Beirut",
    "Lithuania": "Vilnius", "Madagascar": "Antananarivo", "Mali": "Bamako",
    "Mongolia": "Ulaanbaatar",
    "Morocco": "Rabat", "Mozambique": "Maputo", "Nepal": "Kathmandu", "New Zealand": "Wellington",
    "Norway": "Oslo", "Pakistan": "Islamabad", "Peru": "Lima", "Poland": "Warsaw",
    "Portugal": "Lisbon", "Romania": "Bucharest", "Senegal": "Dakar", "Slovakia": "Bratislava",
    "Slovenia": "Ljubljana", "Spain": "Madrid", "Sweden": "Stockholm", "Thailand": "Bangkok",
    "Tunisia": "Tunis", "Turkey": "Ankara", "Uganda": "Kampala", "Uruguay": "Montevideo",
    "Vietnam": "Hanoi", "Zambia": "Lusaka", "Zimbabwe": "Harare",
}  # fmt: skip
_WORDS = [
    "apricot", "balance", "cabinet", "dolphin", "elastic", "factory", "glacier", "horizon",
    "imagine", "journey", "kingdom", "lantern", "machine", "network", "octopus", "package",
    "quality", "rainbow", "science", "texture", "uniform", "village", "weather", "blanket",
    "captain", "diamond", "evening", "fortune", "gallery", "harvest", "justice", "library",
    "morning", "opinion", "picture", "railway", "shelter", "thought", "volcano", "whisper",
]  # fmt: skip
_UNITS = [
    ("kilometres", "metres", 1000), ("metres", "centimetres", 100), ("kilograms", "grams", 1000),
    ("litres", "millilitres", 1000), ("hours", "minutes", 60), ("minutes", "seconds", 60),
    ("days", "hours", 24), ("weeks", "days", 7), ("dozens", "pieces", 12), ("years", "months", 12),
]  # fmt: skip
_MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
]  # fmt: skip
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh"]
_ROMAN = [
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"),
    (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
]  # fmt: skip


def question(seed: int) -> Question:
    """The question with this number."""
    return draw("string match", seed, _draft, lambda made: made.question)


def _draft(rng: Random) -> Question:
    topic = rng.choice(TOPICS)
    text, answer = _FAMILIES[topic](rng)
    return Question(text, answer, topic in _EXACT, topic)


def _day(rng: Random) -> date:
    return date(1900, 1, 1) + timedelta(days=rng.randrange(73_000))


def _written(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def _roman(number: int) -> str:
    text = ""
    for value, numeral in _ROMAN:
        text += numeral * (number // value)
        number %= value
    return text


def _capital(rng: Random) -> tuple[str, str]:
    country, capital = rng.choice(list(_CAPITALS.items()))
    ask = rng.choice(["What is the capital of {}?", "Which city is the capital of {}?"])
    return ask.format(country), capital


def _country(rng: Random) -> tuple[str, str]:
    country, capital = rng.choice(list(_CAPITALS.items()))
    return f"{capital} is the capital of which country?", country


def _backwards(rng: Random) -> tuple[str, str]:
    word = rng.choice(_WORDS)
    ask = rng.choice(['Spell the word "{}" backwards.', 'Write "{}" with its letters reversed.'])
    return ask.format(word), word[::-1]


def _nth_word(rng: Random) -> tuple[str, str]:
    words, place = rng.sample(_WORDS, 7), rng.randrange(7)
    return f"Which word is the {_ORDINALS[place]} in this list: {' '.join(words)}?", words[place]


def _nth_letter(rng: Random) -> tuple[str, str]:
    word, place = rng.choice(_WORDS), rng.randrange(7)
    return f'What is the {_ORDINALS[place]} letter of the word "{word}"?', word[place]


def _letter_count(rng: Random) -> tuple[str, str]:
    words = rng.sample(_WORDS, 3)
    letter = rng.choice("".join(words))
    return (
        f'How many times does the letter "{letter}" occur in "{" ".join(words)}"? Give a number.',
        str(" ".join(words).count(letter)),
    )


def _vowels_removed(rng: Random) -> tuple[str, str]:
    word = rng.choice(_WORDS)
    return (
        f'Remove the vowels a, e, i, o and u from "{word}". Which letters are left, in order?',
        "".join(letter for letter in word if letter not in "aeiou"),
    )


def _in_order(rng: Random) -> tuple[str, str]:
    words = rng.sample(_WORDS, 4)
    return (
        f"Put these words into alphabetical order, separated by commas: {', '.join(words)}.",
        ", ".join(sorted(words)),
    )


def _shifted_letters(rng: Random) -> tuple[str, str]:
    word, shift = rng.choice(_WORDS), rng.randint(1, 5)
    moved = "".join(chr((ord(letter) - ord("a") + shift) % 26 + ord("a")) for letter in word)
    return (
        f'Replace each letter of "{word}" by the letter {shift} places after it in the alphabet, '
        "going on with a after z.",
        moved,
    )


def _unit(rng: Random) -> tuple[str, str]:
    large, small, factor = rng.choice(_UNITS)
    halves = rng.randint(2, 60)
    count = halves // 2 if halves % 2 == 0 else f"{halves // 2}.5"
    number = Fraction(halves, 2) * factor
    answer = str(number) if number.denominator == 1 else str(float(number))
    return f"How many {small} are {count} {large}? Give only the number.", answer


def _to_roman(rng: Random) -> tuple[str, str]:
    number = rng.randint(4, 2100)
    return f"Write {number} in Roman numerals, in capital letters.", _roman(number)


def _from_roman(rng: Random) -> tuple[str, str]:
    number = rng.randint(4, 2100)
    return f"Which number is {_roman(number)} in Roman numerals?", str(number)


def _weekday(rng: Random) -> tuple[str, str]:
    day = _day(rng)
    return f"On which day of the week was or will be {_written(day)}?", _DAYS[day.weekday()]


def _later_date(rng: Random) -> tuple[str, str]:
    day, days = _day(rng), rng.randint(5, 60)
    return (
        f"Which date is {days} days after {_written(day)}? Write it in the same form.",
        _written(day + timedelta(days=days)),
    )


def _days_between(rng: Random) -> tuple[str, str]:
    day, days = _day(rng), rng.randint(5, 120)
    return (
        f"How many days after {_written(day)} is {_written(day + timedelta(days=days))}?",
        str(days),
    )


def _month(rng: Random) -> tuple[str, str]:
    month, months = rng.randrange(12), rng.randint(2, 30)
    return (
        f"It is {_MONTHS[month]}. Which month is it {months} months later?",
        _MONTHS[(month + months) % 12],
    )


_FAMILIES: dict[str, _Family] = {
    family.__name__.strip("_"): family
    for family in (
        _capital,
        _country,
        _backwards,
        _nth_word,
        _nth_letter,
        _letter_count,
        _vowels_removed,
        _in_order,
        _shifted_letters,
        _unit,
        _to_roman,
        _from_roman,
        _weekday,
        _later_date,
        _days_between,
        _month,
    )
}

_EXACT = {"backwards", "nth_letter", "shifted_letters", "to_roman", "vowels_removed"}

TOPICS = tuple(_FAMILIES)
"""The families of questions, all equally likely."""
