from typing import cast, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlos.scoring import ExtractionMode, extract_answer, score_string

MODES: tuple[ExtractionMode, ...] = get_args(ExtractionMode)


@pytest.mark.parametrize(
    ("mode", "text", "answer"),
    [
        ("boxed", r"\boxed{Paris}", "Paris"),
        ("boxed", r"\boxed{\text{ Paris }}", "Paris"),
        ("boxed", r"\boxed{Rome} no, \boxed{ Paris }", "Paris"),
        ("boxed", r"\boxed{Paris} or \boxed{Ro", "Paris"),
        ("boxed", r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        ("boxed", "Answer: Paris", None),
        ("boxed", r"\boxed{}", ""),
        ("final_answer", "Answer: Paris", "Paris"),
        ("final_answer", "FINAL  answer : Paris.", "Paris"),
        ("final_answer", "The final answer： Paris", "Paris"),  # noqa: RUF001
        ("final_answer", "Answer: Rome\nAnswer: Paris\nThat is all.", "Paris"),
        ("final_answer", "Answer:\n\n  Paris  \nmore", "Paris"),
        ("final_answer", "Answer: 3.5.", "3.5"),
        ("final_answer", "Answer: so be it...", "so be it"),
        ("final_answer", r"Answer: Rome \boxed{Paris}", r"Rome \boxed{Paris}"),
        ("final_answer", r"It is \boxed{Paris}", "Paris"),
        ("final_answer", "Answer: Rome\nAnswer:", "Rome"),
        ("final_answer", "It is Paris", None),
        ("final_answer", "Answer: answer: 5", "answer: 5"),
        ("last_line", "Rome\n  Paris \n\n \t\n", "Paris"),
        ("last_line", "Paris", "Paris"),
        ("last_line", " \n ", None),
        ("full_response", "  Rome\nParis ", "Rome\nParis"),
        ("full_response", "", None),
    ],
)
def test_extract_answer(mode: ExtractionMode, text: str, answer: str | None) -> None:
    assert extract_answer(text, mode) == answer


def test_the_default_mode_is_final_answer() -> None:
    assert extract_answer("Answer: 1\nlast line") == "1"


def test_an_unknown_mode_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="found 'bocksed', expected one of boxed, final_answer"):
        extract_answer("x", cast(ExtractionMode, "bocksed"))


@pytest.mark.parametrize(
    ("expected", "answer", "reward"),
    [
        # NFKC, outer quotes, case, final punctuation
        ("Paris", "paris", 1.0),
        ("Paris", '"Paris"', 1.0),
        ("Paris", "Paris!", 1.0),
        ("Paris", "Ｐａｒｉｓ", 1.0),  # noqa: RUF001
        ("Paris", '"Paris".', 0.0),
        ("Paris", "Parish", 0.0),
        # floats, with $ and an escaped %
        ("5", "5.0", 1.0),
        ("5", r"\$5.00", 1.0),
        ("50", r"50\%", 1.0),
        ("1000", "1e3", 1.0),
        # thousands commas
        ("1234", "1,234", 1.0),
        ("1234 people", "1,234 people", 1.0),
        ("1234567", "1,234,567", 0.98),
        # LaTeX commands and delimiters
        ("Paris", r"$\text{Paris}$", 1.0),
        ("x + y", r"\(\mathbf{x}  + y\)", 1.0),
        # list separators, unless the text shrinks by more than a tenth
        ("carrots; onions; potatoes", "carrots, onions, potatoes", 1.0),
        ("carrots and onions, potatoes", "carrots, onions; potatoes", 1.0),
        ("a and b", "a b", 0.0),
        # US states
        ("Buffalo, NY", "Buffalo, New York", 1.0),
        ("WV", "West Virginia", 1.0),
        ("VA", "West Virginia", 0.0),
        # soft numeric
        ("100", "100.9", 0.98),
        ("100", "99.1", 0.98),
        ("100", "101.1", 0.0),
        ("100", "98.9", 0.0),
        ("50", "50%", 0.98),
        ("-7", "7", 0.0),
        # units
        ("12 apples", r"12 \text{ cm} apples", 0.0),
        ("x=12", "x=12cm", 1.0),
        ("12", "12 cm", 0.98),
        ("12", r"12^\circ", 0.98),
        (r"$12$ kg", "12.05", 0.98),
        # nothing to compare
        ("km", "", 0.0),
        ("", "", 0.0),
        ("Paris", None, 0.0),
    ],
)
def test_score_string(expected: str, answer: str | None, reward: float) -> None:
    assert score_string(expected, answer) == reward


@pytest.mark.parametrize(
    ("expected", "answer", "reward"),
    [
        ("Paris", "Paris", 1.0),
        ("Paris", " Paris\n", 1.0),
        (" Paris", "Paris", 1.0),
        ("Paris", "paris", 0.0),
        ("Paris", "Paris.", 0.0),
        ("5", "5.0", 0.0),
        ("Paris", "", 0.0),
        ("Paris", None, 0.0),
    ],
)
def test_score_string_case_sensitive(expected: str, answer: str | None, reward: float) -> None:
    assert score_string(expected, answer, case_sensitive=True) == reward


@given(st.text(min_size=1, max_size=60))
def test_the_expected_answer_itself_is_right(answer: str) -> None:
    assert score_string(answer, answer) == 1.0
    assert score_string(answer, answer, case_sensitive=True) == 1.0


@given(st.text(max_size=60), st.text(max_size=60))
def test_rewards_are_one_of_three_values(expected: str, answer: str) -> None:
    assert score_string(expected, answer) in (0.0, 0.98, 1.0)


@given(st.floats(1, 1e6), st.floats(-0.009, 0.009))
def test_numbers_within_nine_tenths_of_a_per_cent_are_close(number: float, error: float) -> None:
    assert score_string(repr(number), repr(number * (1 + error))) >= 0.98


@given(st.text(max_size=80), st.sampled_from(MODES))
def test_extraction_from_any_text(text: str, mode: ExtractionMode) -> None:
    answer = extract_answer(text, mode)
    assert answer is None or answer == answer.strip()
    assert answer is None or answer in text


@given(st.text(alphabet="abc XYZ", min_size=1).map(str.strip).filter(bool))
def test_an_answer_line_is_found(answer: str) -> None:
    assert extract_answer(f"Thinking: x.\nFinal answer: {answer}.\n") == answer
    assert extract_answer(rf"Thinking \boxed{{x}} \boxed{{{answer}}}", "boxed") == answer


@pytest.mark.parametrize(
    "text",
    [
        "final" + " " * 500_000,
        "final " * 100_000,
        ("answer" + " " * 1_000) * 1_000,
        "answer:" * 100_000,
        "answer:" + "\n" * 500_000,
        "answer:\n" * 100_000,
        "answer: ." + ". " * 500_000,
        r"\boxed{" * 100_000,
        "1" * 500_000,
        "\u0301\u0327" * 100_000,
        "\x00\x1b" * 300_000,
    ],
)
def test_long_texts_take_linear_time(text: str) -> None:
    for mode in MODES:
        assert score_string("Paris", extract_answer(text, mode)) == 0.0
    assert score_string(text, text + "x") in (0.0, 0.98, 1.0)
