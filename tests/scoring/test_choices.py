from typing import cast, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlos.scoring import GradingMode, Options, allowed_letters, extract_choice, score_choice

MODES: tuple[GradingMode, ...] = get_args(GradingMode)
OPTIONS: Options = [
    {"A": "Circle"},
    {"B": "Blue square"},
    {"C": "Square"},
    {"D": "A long line"},
    {"E": None},
]


def test_letters_of_options() -> None:
    assert allowed_letters(OPTIONS) == {"A", "B", "C", "D"}
    assert allowed_letters([{"a": "x", "b": "y"}, {"AB": "z", "1": "w"}]) == {"A", "B"}
    assert allowed_letters(None) == allowed_letters([]) == frozenset()


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        (r"\boxed{C}", "C"),
        (r"\boxed{ [C] }", "C"),
        (r"\boxed{\text{C}}", "C"),
        (r"\boxed{\text{\text{ C }}}", "C"),
        (r"\boxed{A} then \boxed{C}", "C"),
        (r"\boxed{C: Square}", "C"),
        (r"\boxed{C) Square}", "C"),
        (r"\boxed{ C. Square}", "C"),
        (r"\boxed{C - Square}", "C"),
        (r"\boxed{\text{C: Square}}", "C"),
        (r"\boxed{C Square}", None),
        (r"\boxed{Square}", None),
        (r"\boxed{c}", None),
        (r"\boxed{A or B}", None),
        (r"\boxed{AB}", None),
        (r"\boxed{E}", None),
        (r"\boxed{Z}", None),
        (r"\boxed{}", None),
        (r"\boxed{A} then \boxed{C", None),
        ("Answer: C", None),
        ("", None),
    ],
)
def test_strict_single_letter_boxed(text: str, choice: str | None) -> None:
    assert extract_choice(text, OPTIONS) == choice


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        (r"\boxed{B}", "B"),
        (r"\boxed{circle}", "A"),
        (r"\boxed{the  CIRCLE of course}", "A"),
        (r"\boxed{\text{a long line}}", "D"),
        (r"\boxed{Blue square}", None),  # contains "square" too
        (r"\boxed{square}", "C"),
        (r"\boxed{circle or a long line}", None),
        (r"\boxed{triangle}", None),
        (r"circle \boxed{triangle}", None),
        (r"\boxed{circle} \boxed{triangle}", None),
        (r"\boxed{circle", None),
        ("circle", None),
    ],
)
def test_lenient_boxed(text: str, choice: str | None) -> None:
    assert extract_choice(text, OPTIONS, "lenient_boxed") == choice


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("Answer: B", "B"),
        ("answer : b", "B"),
        ("Answer:\nB", "B"),
        (r"Answer: \text{B}", "B"),
        ("Answer: blue  SQUARE", "B"),
        ("Answer: A\nAnswer: B", "A"),
        ("Answer: blue square.", None),
        ("Answer: B.", None),
        ("Answer: E", None),
        ("**Answer:** B", None),
        ("**Answer: B**", None),
        ("The answer is B", None),
        (r"\boxed{B}", None),
    ],
)
def test_lenient_answer_colon(text: str, choice: str | None) -> None:
    assert extract_choice(text, OPTIONS, "lenient_answer_colon") == choice


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("Answer: B", "B"),
        ("**Answer: B**", "B"),
        ("**Answer:** B", "B"),
        ("__Answer__: b", "B"),
        ("Answer: A\nAnswer: B", "B"),
        ("Answer: A\nAnswer: none of these", "A"),
        ("Answer: B because it is blue", "B"),
        ("Answer: it is (B)", "B"),
        ("Answer: not A but B", "B"),
        ("Ａｎｓｗｅｒ： Ｂ", "B"),  # noqa: RUF001
        ("Answer: أ", "A"),
        ("Answer: ঢ", "D"),
        ("Answer: A or B", None),
        ("Answer: A/B", None),
        ("Answer: A, B and C", None),
        ("Answer: B or B", "B"),
        ("Answer: E", None),
        ("Answer: Earth", None),
        ("Answer: D2", None),
        ("B", None),
    ],
)
def test_lenient_answer_colon_md(text: str, choice: str | None) -> None:
    assert extract_choice(text, OPTIONS, "lenient_answer_colon_md") == choice


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("Réponse : B", "B"),
        ("réponse :   B, bien sûr\nfin", "B"),
        ("Réponse : A\nRéponse : B", "B"),
        ("Réponse : A\nAnswer: B", "B"),
        ("Réponse : ???\nAnswer: A", "A"),
        (r"\boxed{C}", "C"),
        ("rien", None),
    ],
)
def test_an_answer_prefix_introduces_an_answer(text: str, choice: str | None) -> None:
    found = extract_choice(text, OPTIONS, "lenient_answer_colon_md", answer_prefix="Réponse :")
    assert found == choice


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        (r"\boxed{C}", "C"),
        (r"\boxed{ C }", "C"),
        (r"\boxed{A} \boxed{C}", "C"),
        (r"\boxed{\text{C}}", "C"),
        (r"\boxed{Either A or (C)}", "C"),
        (r"\boxed{none} Answer: B", "B"),
        ("Answer: A\n**Answer:** b", "B"),
        ("Answer: Blue", None),
        (r"\boxed{Z}", None),
        (r"\boxed{Z} Answer: B", None),
        (r"\boxed{C", None),
        ("C", None),
    ],
)
def test_gpqa_diamond(text: str, choice: str | None) -> None:
    assert extract_choice(text, OPTIONS, "gpqa_diamond") == choice


PICK = r"pick:\s*(\w+(?: \w+)*)"


@pytest.mark.parametrize(
    ("output_regex", "text", "choice"),
    [
        (PICK, "pick: B", "B"),
        (PICK, "PICK: b", "B"),
        (PICK, "pick: A\npick: B", "B"),
        (PICK, "pick: Z", "Z"),
        (PICK, "pick: blue  square", None),
        (PICK, "pick: Blue square", "B"),
        (PICK, "pick: nothing", None),
        (PICK, r"pick: nothing \boxed{C}", "C"),
        (PICK, r"pick: A \boxed{C}", "A"),
        (r"pick: (A|B)", r"pick: A \boxed{C}", "A"),
        ("B", "A or B", "B"),
        ("(a)|(b)", "b", "B"),
        ("(", r"\boxed{C}", "C"),
        (["(", "nope (.)", PICK], "pick: D", "D"),
        ([], r"\boxed{C}", "C"),
        (r"pick: (\S)", "pick: ب", "B"),
        ("", r"\boxed{C}", "C"),
    ],
)
def test_output_regex_comes_first(
    output_regex: str | list[str], text: str, choice: str | None
) -> None:
    assert extract_choice(text, OPTIONS, output_regex=output_regex) == choice


@pytest.mark.parametrize("mode", MODES)
def test_without_options_only_a_pattern_scores(mode: GradingMode) -> None:
    text = "\\boxed{A}\nAnswer: A"
    assert extract_choice(text, None, mode) == ("A" if mode == "gpqa_diamond" else None)
    assert extract_choice(text, None, mode, output_regex="answer: (.)") == "A"


def test_an_unknown_mode_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="found 'loose', expected one of strict_single_letter"):
        extract_choice("x", OPTIONS, cast(GradingMode, "loose"))


@pytest.mark.parametrize(
    ("expected", "choice", "reward"),
    [("B", "B", 1.0), (" b ", "B", 1.0), ("B", "A", 0.0), ("B", None, 0.0), ("", None, 0.0)],
)
def test_score_choice(expected: str, choice: str | None, reward: float) -> None:
    assert score_choice(expected, choice) == reward


pieces = st.lists(
    st.one_of(
        st.text(max_size=4),
        st.sampled_from(
            [r"\boxed{", r"\text{", "}", "Answer:", "**", " or ", "A", "b", "circle", "\n", "ঢ"]
        ),
    ),
    max_size=15,
).map("".join)


@given(pieces, st.sampled_from(MODES), st.sampled_from([None, "Answer:", "A"]))
def test_a_choice_from_any_text_is_an_option(
    text: str, mode: GradingMode, prefix: str | None
) -> None:
    choice = extract_choice(text, OPTIONS, mode, answer_prefix=prefix)
    assert choice is None or choice in allowed_letters(OPTIONS)


@given(pieces, st.text(max_size=10))
def test_any_pattern_is_tolerated(text: str, output_regex: str) -> None:
    choice = extract_choice(text, OPTIONS, output_regex=output_regex)
    assert choice is None or len(choice) == 1


@given(pieces, st.sampled_from("ABCD"))
def test_an_answer_at_the_end_is_found(before: str, letter: str) -> None:
    boxed = f"{before}\n\\boxed{{{letter}}}"
    assert score_choice(letter, extract_choice(boxed, OPTIONS)) == 1.0
    assert score_choice(letter, extract_choice(boxed, OPTIONS, "gpqa_diamond")) == 1.0
    line = f"{before}\n\nAnswer: {letter}"
    assert score_choice(letter, extract_choice(line, OPTIONS, "lenient_answer_colon_md")) == 1.0


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{" * 100_000,
        r"\boxed{" + "A " * 300_000 + "}",
        r"\boxed{" + " " * 500_000 + "x}",
        "answer" + " " * 500_000,
        ("answer" + " " * 1_000) * 1_000,
        "answer:" * 100_000,
        "answer: A\n" * 100_000 + "answer: ?",
        "answer: " + "A " * 300_000,
        "answer: " + "x A" * 100_000 + " y",
        "answer: A" + " " * 500_000 + "?",
        "*" * 500_000,
        "answer: " + "\u0301\u0327" * 100_000,
    ],
)
def test_long_texts_take_linear_time(text: str) -> None:
    for mode in MODES:
        choice = extract_choice(text, OPTIONS, mode, answer_prefix="answer:")
        assert choice is None or choice in allowed_letters(OPTIONS)
