import pytest

from athlos.scoring.tagged import tagged_answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<answer>4</answer>", "4"),
        ("<answer> 4\n</answer> and so on", "4"),
        ("<answer>3</answer> no, <answer>4</answer>", "4"),
        ("<answer></answer>", ""),
        ("<answer>3</answer> no, <answer>4", "3"),
        ("<answer>4", "<answer>4"),
        (r"It is \boxed{4}.", "4"),
        (r"\boxed{3} <answer>4</answer>", "4"),
        (r"\boxed{3", r"\boxed{3"),
        ("  four ", "four"),
        ("", ""),
    ],
)
def test_the_answer_is_in_the_last_tag_else_in_a_box_else_it_is_all(
    text: str, expected: str
) -> None:
    assert tagged_answer(text) == expected
