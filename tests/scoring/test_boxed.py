import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlos.scoring import all_boxed, last_boxed, unwrap_text

pieces = st.lists(
    st.sampled_from([r"\boxed{", r"\text{", "{", "}", "a", " ", "\n", "\\", "\x00", "é"]),
    max_size=30,
).map("".join)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{5}", "5"),
        (r"so \boxed{ x } holds", " x "),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{1} and \boxed{2}", "2"),
        (r"\boxed{outer \boxed{inner}}", "inner"),
        (r"\boxed{}", ""),
        (r"\boxed{1} and \boxed{2", "1"),
        (r"} } \boxed{7} {", "7"),
        ("\\boxed{two\nlines}", "two\nlines"),
        (r"\boxed{\boxed{3}", "3"),
        (r"\boxed{3", None),
        (r"\boxed 3", None),
        (r"boxed{3}", None),
        ("", None),
    ],
)
def test_last_boxed(text: str, content: str | None) -> None:
    assert last_boxed(text) == content


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{1} and \boxed{2}", "2"),
        (r"\boxed{1} and \boxed{2", None),
        (r"\boxed{1 and \boxed{2}", "2"),
        (r"\boxed{1 and \boxed{2", None),
        ("no box", None),
    ],
)
def test_an_unclosed_last_box_can_count_as_no_answer(text: str, content: str | None) -> None:
    assert last_boxed(text, skip_unclosed=False) == content


@pytest.mark.parametrize(
    ("text", "contents"),
    [
        ("", []),
        ("none", []),
        (r"\boxed{1}", ["1"]),
        (r"\boxed{1}, \boxed{\frac{1}{2}} and \boxed{}", ["1", r"\frac{1}{2}", ""]),
        (r"\boxed{a \boxed{b} c} \boxed{d}", [r"a \boxed{b} c", "d"]),
        (r"\boxed{open \boxed{b}", ["b"]),
        (r"{ \boxed{a} } \boxed{b", ["a"]),
        (r"} \boxed{[[1, 2]]}", ["[[1, 2]]"]),
    ],
)
def test_all_boxed(text: str, contents: list[str]) -> None:
    assert all_boxed(text) == contents


@pytest.mark.parametrize(
    ("content", "plain"),
    [
        (r"\text{A}", "A"),
        (r"\text{ A }", "A"),
        (r"\text{\text{ \text{A}} }", "A"),
        (r"\text{}", ""),
        ("A", "A"),
        (r"\text{A} ", r"\text{A} "),
        (r"\text{A", r"\text{A"),
        (r"x\text{A}", r"x\text{A}"),
        (r"\textbf{A}", r"\textbf{A}"),
        (r"\text{", r"\text{"),
        (r"\text{a} and \text{b}", r"a} and \text{b"),
        ("", ""),
    ],
)
def test_unwrap_text(content: str, plain: str) -> None:
    assert unwrap_text(content) == plain


@given(pieces)
def test_boxes_of_any_text(text: str) -> None:
    last = last_boxed(text)
    contents = all_boxed(text)
    assert (last is None) == (not contents)
    assert last is None or any(last in content for content in contents)
    assert all(rf"\boxed{{{content}}}" in text for content in contents)
    assert last_boxed(text, skip_unclosed=False) in (last, None)
    assert unwrap_text(unwrap_text(text)) == unwrap_text(text)


@given(st.text(alphabet="ab \\\n$", max_size=20), pieces)
def test_a_box_at_the_end_is_the_last(content: str, before: str) -> None:
    assert last_boxed(before + rf"\boxed{{{content}}}") == content


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{" * 100_000,
        r"\boxed{" * 100_000 + "}" * 50_000,
        "{" * 150_000 + r"\boxed{1" + "}" * 150_000,
        "}" * 300_000,
        r"\text{" * 100_000 + "}" * 100_000,
        r"\text{" + " " * 1_000_000 + "}",
        r"\boxed{}" * 100_000,
    ],
)
def test_long_texts_take_linear_time(text: str) -> None:
    last_boxed(text)
    last_boxed(text, skip_unclosed=False)
    all_boxed(text)
    assert len(unwrap_text(text)) <= len(text)
