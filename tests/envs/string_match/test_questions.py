import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from athlos.envs.string_match.questions import TOPICS, Question, question
from athlos.scoring import extract_answer, score_string

SEEDS = range(1500)
PLACES = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh"]
ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def of(topic: str) -> list[Question]:
    return [made for made in map(question, SEEDS) if made.topic == topic]


def test_there_are_hundreds_of_different_questions() -> None:
    made = [question(seed) for seed in SEEDS]
    assert made == [question(seed) for seed in SEEDS]
    assert {one.topic for one in made} == set(TOPICS)
    assert len({one.question for one in made}) > 1000
    assert all(one.expected_answer == one.expected_answer.strip() != "" for one in made)


def test_the_expected_answer_scores_one_and_another_zero() -> None:
    for seed in SEEDS:
        made = question(seed)
        expected, exact = made.expected_answer, made.case_sensitive
        answer = extract_answer(f"Let me see.\nFinal answer: {expected}.")
        assert score_string(expected, answer, case_sensitive=exact) == 1.0, made
        assert score_string(expected, "x" + expected, case_sensitive=exact) == 0.0, made


def test_different_answers_of_one_topic_do_not_pass_for_each_other() -> None:
    for topic in TOPICS:
        answers = {made.expected_answer: made.case_sensitive for made in of(topic)}
        for expected, exact in answers.items():
            right = [a for a in answers if score_string(expected, a, case_sensitive=exact) == 1.0]
            assert right == [expected], topic


def test_questions_do_not_change_between_versions() -> None:
    text = "Write 577 in Roman numerals, in capital letters."
    assert question(3) == Question(text, "DLXXVII", True, "to_roman")


def quoted(text: str) -> str:
    return str(re.findall(r'"([a-z ]+)"', text)[-1])


def place(text: str) -> int:
    return next(index for index, name in enumerate(PLACES) if name in text)


def roman(numeral: str) -> str:
    values = [ROMAN[letter] for letter in numeral]
    after = [*values[1:], 0]
    return str(sum(-v if v < w else v for v, w in zip(values, after, strict=True)))


def dates(text: str) -> list[datetime]:
    written = re.findall(r"\d+ [A-Z][a-z]+ \d{4}", text)
    return [datetime.strptime(day, "%d %B %Y").replace(tzinfo=UTC) for day in written]


def later_date(text: str) -> str:
    days = int(re.findall(r"is (\d+) days", text)[0])
    return f"{dates(text)[0] + timedelta(days=days):%d %B %Y}".lstrip("0")


def days_between(text: str) -> str:
    first, last = dates(text)
    return str((last - first).days)


def shifted(text: str) -> str:
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    by = int(re.findall(r"\d+", text)[0])
    return quoted(text).translate(str.maketrans(alphabet, alphabet[by:] + alphabet[:by]))


def month(text: str) -> str:
    name, months = re.findall(r"It is (\w+)\. Which month is it (\d+)", text)[0]
    index = datetime.strptime(name, "%B").replace(tzinfo=UTC).month - 1 + int(months)
    return f"{datetime(2001, index % 12 + 1, 1, tzinfo=UTC):%B}"


SOLVERS: dict[str, Callable[[str], str]] = {
    "backwards": lambda q: "".join(reversed(quoted(q))),
    "nth_word": lambda q: q.split(": ")[1].rstrip("?").split()[place(q)],
    "nth_letter": lambda q: quoted(q)[place(q)],
    "letter_count": lambda q: str(len(re.findall(re.findall(r'"(\w)"', q)[0], quoted(q)))),
    "vowels_removed": lambda q: re.sub("[aeiou]", "", quoted(q)),
    "in_order": lambda q: ", ".join(sorted(q.split(": ")[1].rstrip(".").split(", "))),
    "shifted_letters": shifted,
    "weekday": lambda q: f"{dates(q)[0]:%A}",
    "later_date": later_date,
    "days_between": days_between,
    "month": month,
    "from_roman": lambda q: roman(re.findall(r"[IVXLCDM]{1,}(?= in Roman)", q)[0]),
}


@pytest.mark.parametrize("topic", SOLVERS)
def test_the_answer_is_right(topic: str) -> None:
    for made in of(topic):
        assert made.expected_answer == SOLVERS[topic](made.question), made


def test_roman_numerals_read_back_as_the_number() -> None:
    for made in of("to_roman"):
        assert roman(made.expected_answer) == re.findall(r"\d+", made.question)[0]
