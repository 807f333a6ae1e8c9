import re
from collections.abc import Callable
from math import prod

import pytest

from athlos.envs.choosing import Question
from athlos.envs.mcqa.questions import TOPICS, question
from athlos.scoring import extract_choice, score_choice

SEEDS = range(1500)
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def of(topic: str) -> list[Question]:
    return [made for made in map(question, SEEDS) if made.topic == topic]


def test_there_are_hundreds_of_different_questions() -> None:
    made = [question(seed) for seed in SEEDS]
    assert made == [question(seed) for seed in SEEDS]
    assert {one.topic for one in made} == set(TOPICS)
    assert len({(one.question, tuple(one.options.values())) for one in made}) > 1200


def test_options_are_distinct_and_lettered_from_a() -> None:
    for seed in SEEDS:
        made = question(seed)
        assert "".join(made.options) == "ABCDEF"[: len(made.options)]
        assert 4 <= len(made.options) <= 6, made
        texts = [" ".join(text.lower().split()) for text in made.options.values()]
        assert len(set(texts)) == len(texts) and all(texts), made
        assert made.answer in made.options


def test_the_right_letter_is_spread_over_the_options() -> None:
    answers = [question(seed).answer for seed in SEEDS]
    assert all(answers.count(letter) > 150 for letter in "ABCD")


def test_the_right_letter_scores_one_and_the_others_zero() -> None:
    for seed in range(200):
        made = question(seed)
        options = [{letter: text} for letter, text in made.options.items()]
        for letter in made.options:
            choice = extract_choice(rf"\boxed{{{letter}}}", options)
            assert score_choice(made.answer, choice) == float(letter == made.answer)


def test_questions_do_not_change_between_versions() -> None:
    assert question(3) == Question(
        "Bruno is older than Hugo. Elif is older than Bruno. Dario is older than Elif. "
        "Ada is older than Dario. Who is the youngest?",
        {"A": "Bruno", "B": "Dario", "C": "Hugo", "D": "Ada", "E": "Elif"},
        "C",
        "ranking",
    )


def integers(text: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", text)]


def weekday(text: str) -> str:
    today = next(day for day in DAYS if day in text)
    days = integers(text)[0] * (-1 if "ago" in text else 1)
    return DAYS[(DAYS.index(today) + days) % 7]


def clock(text: str) -> str:
    hour, minute, length = integers(text)
    for _ in range(length):
        minute += 1
        if minute == 60:
            hour, minute = (hour + 1) % 24, 0
    return f"{hour:02}:{minute:02}"


def binary(text: str) -> str:
    number: str = re.findall(r"\d+", text)[0]
    return bin(int(number))[2:] if "How is" in text else str(int(number, 2))


def ranking(text: str) -> str:
    clues = re.findall(r"(\w+) is (?:older|taller) than (\w+)", text)
    (last,) = {low for _, low in clues} - {high for high, _ in clues}
    return str(last)


def arithmetic(text: str) -> str:
    a, b, c = integers(text)
    return str(prod((a, b)) - c)


SOLVERS: dict[str, Callable[[str], str]] = {
    "weekday": weekday,
    "clock": clock,
    "binary": binary,
    "ranking": ranking,
    "arithmetic": arithmetic,
}


@pytest.mark.parametrize("topic", SOLVERS)
def test_the_answer_is_right(topic: str) -> None:
    for made in of(topic):
        assert made.options[made.answer] == SOLVERS[topic](made.question), made


def fits_prime(_: str, option: str) -> bool:
    return all(int(option) % d for d in range(2, int(option)))


def fits_letters(text: str, option: str) -> bool:
    return text.rstrip("?")[-1] in option


def fits_month(_: str, option: str) -> bool:
    return option in ("April", "June", "September", "November")


def fits_syllogism(text: str, option: str) -> bool:
    """Whether an option holds in every world of three elements in which the premises hold."""
    subsets = [{n for n in range(3) if mask >> n & 1} for mask in range(8)]
    pairs = re.findall(r"(?:ll|o) (\w+) are (\w+)", text)
    names = sorted({name for pair in pairs for name in pair})

    def holds(claim: str, world: dict[str, set[int]]) -> bool:
        kind, first, second = re.findall(r"(ll|o) (\w+) are (\w+)", claim)[0]
        return world[first] <= world[second] if kind == "ll" else not world[first] & world[second]

    premises = text.split(".")[0].split(", and ")
    worlds = [
        dict(zip(names, sets, strict=True))
        for sets in ((a, b, c) for a in subsets for b in subsets for c in subsets)
    ]
    return all(holds(option, world) for world in worlds if all(holds(p, world) for p in premises))


FITS: dict[str, Callable[[str, str], bool]] = {
    "prime": fits_prime,
    "letters": fits_letters,
    "month_length": fits_month,
    "syllogism": fits_syllogism,
}


@pytest.mark.parametrize("topic", FITS)
def test_exactly_one_option_fits(topic: str) -> None:
    for made in of(topic)[:40]:
        fitting = [
            letter for letter, option in made.options.items() if FITS[topic](made.question, option)
        ]
        assert fitting == [made.answer], made


def test_alphabetical_order() -> None:
    for made in of("alphabet"):
        extreme = min if "first" in made.question else max
        assert made.options[made.answer] == extreme(made.options.values())
