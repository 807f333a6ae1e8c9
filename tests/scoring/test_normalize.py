import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlos.scoring import normalize
from athlos.scoring.normalize import closeness

Form = Callable[[str], str]
FORMS: list[Form] = [
    normalize.abbreviate_states,
    normalize.collapse,
    normalize.drop_latex,
    normalize.drop_number_commas,
    normalize.drop_units,
    normalize.flatten_list,
    normalize.float_form,
    normalize.fold,
    normalize.nfkc,
    normalize.strip_final_punctuation,
    normalize.strip_outer_quotes,
]
IDEMPOTENT: list[Form] = [
    normalize.collapse,
    normalize.float_form,
    normalize.nfkc,
    normalize.strip_final_punctuation,
]

texts = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from(
            [r"\text{", r"\boxed{", "{", "}", "$", r"\(", "1", ",", "1,234", "%", "cm", " ", "°"]
        ),
        max_size=12,
    ).map("".join),
)


@pytest.mark.parametrize(
    ("form", "text", "result"),
    [
        (normalize.nfkc, "Ａｎｓｗｅｒ", "Answer"),  # noqa: RUF001
        (normalize.nfkc, "x² ½ ﬁ", "x2 1⁄2 fi"),  # noqa: RUF001
        (normalize.collapse, "  a \t b\n\u00a0c ", "a b c"),
        (normalize.fold, " Red\n APPLE ", "red apple"),
        (normalize.strip_outer_quotes, '"Paris"', "Paris"),
        (normalize.strip_outer_quotes, "'it's'", "it's"),
        (normalize.strip_outer_quotes, "\"'Paris'\"", "'Paris'"),
        (normalize.strip_outer_quotes, "\"Paris'", "\"Paris'"),
        (normalize.strip_outer_quotes, '"', '"'),
        (normalize.strip_final_punctuation, "yes!?.", "yes"),
        (normalize.strip_final_punctuation, "?!", "?!"),
        (normalize.strip_final_punctuation, "3.5", "3.5"),
        (normalize.float_form, "5", "5.0"),
        (normalize.float_form, " $5.50 ", "5.5"),
        (normalize.float_form, r"\$7", "7.0"),
        (normalize.float_form, r"50\%", "50.0"),
        (normalize.float_form, "50%", "50%"),
        (normalize.float_form, "1e3", "1000.0"),
        (normalize.float_form, "five", "five"),
        (normalize.float_form, "", ""),
        (normalize.drop_number_commas, "1,234", "1234"),
        (normalize.drop_number_commas, "1,234 and 5,678.9", "1234 and 5678.9"),
        (normalize.drop_number_commas, "1,234,567", "1234,567"),
        (normalize.drop_number_commas, "1,234,567,890", "1234,567890"),
        (normalize.drop_number_commas, "a,1,b", "a,1,b"),
        (normalize.drop_number_commas, "1, 2", "1, 2"),
        (normalize.drop_number_commas, ",1,,2,", ",1,,2,"),
        (normalize.drop_number_commas, r"5\%", "5%"),
        (normalize.drop_latex, r"$\text{Paris}$", "Paris"),
        (normalize.drop_latex, r"\(\mathbf{x} + \mathrm{y}\)", "x + y"),
        (normalize.drop_latex, r"\boxed{\textbf{a {b}}}", "a {b}"),
        (normalize.drop_latex, r"\text{a} and \emph{b", "a and b"),
        (normalize.drop_latex, r"\frac{1}{2}", r"\frac{1}{2}"),
        (normalize.drop_latex, r"\[ \url{x.y} \]  z", "x.y z"),
        (normalize.flatten_list, "red, green, blue", "red green blue"),
        (normalize.flatten_list, "carrots;onions,potatoes", "carrots onions potatoes"),
        (normalize.flatten_list, "all the kings; and others", "all the kings others"),
        (normalize.flatten_list, "salt and oil", "salt and oil"),
        (normalize.flatten_list, "sand", "sand"),
        (normalize.flatten_list, "", ""),
        (normalize.abbreviate_states, "buffalo, new york", "buffalo ny"),
        (normalize.abbreviate_states, "west virginia", "wv"),
        (normalize.abbreviate_states, "arkansas", "ar"),
        (normalize.abbreviate_states, "paris", "paris"),
        (normalize.drop_units, "12 cm", "12"),
        (normalize.drop_units, r"$12^{\circ}$", "12"),
        (normalize.drop_units, "12°", "12"),
        (normalize.drop_units, r"12 \text{kg}", "12"),
        (normalize.drop_units, "3 mm", "3"),
        (normalize.drop_units, "team", "tea"),
        (normalize.drop_units, "π", r"\pi"),
    ],
)
def test_form(form: Form, text: str, result: str) -> None:
    assert form(text) == result


def test_every_state_has_its_own_abbreviation() -> None:
    names = dict(normalize._STATES)
    assert len(names) == len(set(names.values())) == 51
    for name, abbreviation in names.items():
        assert normalize.abbreviate_states(name) == abbreviation.lower()


@pytest.mark.parametrize(
    ("expected", "answer", "low", "high"),
    [
        ("100", "100", 1.0, 1.0),
        ("100", "99.5", 0.98, 1.0),
        ("100", "98.9", 0.0, 0.98),
        ("100", "50", 0.25, 0.25),
        ("100", "-100", 0.0, 0.0),
        ("100", "300", 0.0, 0.0),
        ("0", "0", 1.0, 1.0),
        ("0", "0.001", 0.0, 0.0),
        ("0", "1e-12", 0.98, 1.0),
        ("€1,234,567", "1234567", 1.0, 1.0),
        ("50%", "50", 1.0, 1.0),
        ("12 cm", "12 km", 1.0, 1.0),
        ("ten", "10", 0.0, 0.0),
        ("10", "", 0.0, 0.0),
        ("nan", "nan", 0.0, 0.0),
        ("inf", "inf", 0.0, 0.0),
        ("1", "inf", 0.0, 0.0),
    ],
)
def test_closeness(expected: str, answer: str, low: float, high: float) -> None:
    assert low <= closeness(expected, answer) <= high


@given(texts)
def test_forms_of_any_text_are_texts(text: str) -> None:
    for form in FORMS:
        assert isinstance(form(text), str)
    assert 0.0 <= closeness(text, text) <= 1.0


@given(texts)
def test_idempotent_forms(text: str) -> None:
    for form in IDEMPOTENT:
        assert form(form(text)) == form(text)


@given(st.text(max_size=60))
def test_nfkc_is_unicode_nfkc(text: str) -> None:
    assert normalize.nfkc(text) == unicodedata.normalize("NFKC", text)


@given(st.text(alphabet="a\u0301\u0327\u0300éＡ\u3099が", min_size=200, max_size=200))  # noqa: RUF001
def test_nfkc_leaves_short_runs_of_marks_whole(text: str) -> None:
    assert normalize.nfkc("x" + text * 3) == unicodedata.normalize("NFKC", "x" + text * 3)


@pytest.mark.parametrize(
    "text",
    [
        "1" * 1_000_000,
        "1," * 300_000,
        "a" + "\u0301" * 200_000 + "\u0327" * 200_000,
        "\u0301\u0327" * 200_000,
        r"\text{" * 100_000,
        r"\text{" * 100_000 + "}" * 100_000,
        "{" * 500_000,
        " " * 1_000_000,
        "and" * 300_000,
        "." * 1_000_000,
        "^{" * 300_000,
    ],
)
def test_long_texts_take_linear_time(text: str) -> None:
    for form in FORMS:
        assert isinstance(form(text), str)
    assert closeness(text, "1") <= 1.0
