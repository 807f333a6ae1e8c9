from random import Random

import pytest

from athlos.scoring.listed import answer_items, listed_matches
from athlos.scoring.node_lists import expected_nodes, read_node_list, set_f1
from athlos.scoring.overlap import (
    contained,
    longest_common_share,
    ngram_share,
    soft_match,
    without_documents,
)
from athlos.scoring.relaxed_choice import relaxed_choice
from athlos.scoring.thinking import is_unfinished_thought, without_thoughts


def longest_common(text: str, source: str) -> int:
    return max(
        end - start
        for start in range(len(text) + 1)
        for end in range(start, len(text) + 1)
        if text[start:end] in source
    )


def test_the_longest_common_passage_is_found() -> None:
    rng = Random(1)
    for _ in range(300):
        text, source = ("".join(rng.choices("abc", k=rng.randint(1, 14))) for _ in range(2))
        assert longest_common_share(text, source) == longest_common(text, source) / len(text)
    assert longest_common_share("", "abc") == 0
    assert longest_common_share("abc", "") == 0
    assert longest_common_share("A  B\nc", "x a b C y") == 1
    assert longest_common_share("a" * 50_000, "a" * 50_000) == 1


def test_runs_of_words() -> None:
    words = [f"w{number}" for number in range(20)]
    text = " ".join(words)
    assert ngram_share(text, text.upper()) == 1
    assert ngram_share(" ".join(words[:15]), text) == 0  # too short to have a run
    assert ngram_share(text, " ".join(words[:16])) == 0.2


def test_word_error_rate() -> None:
    assert soft_match("It is The Red fox.", "the red fox") == 1
    assert soft_match("the blue fox", "the red fox") == pytest.approx(2 / 3)
    assert soft_match("red fox", "the red fox") == pytest.approx(2 / 3)
    assert soft_match("the very red fox", "the red fox") == pytest.approx(2 / 3)
    assert soft_match("nothing of it", "the red fox") == 0
    assert soft_match("word " * 100_000, "the red fox") == 0
    assert soft_match("x", " ") == 0


def test_documents_are_left_out() -> None:
    assert without_documents("Document 1:\na\nb\n\nkept") == "kept"
    assert without_documents("x Document 12: a\n\ny") == "x y"
    assert without_documents("Document 1:\nall the rest") == "Document 1:\nall the rest"
    assert without_documents("Document 1: " * 50_000).startswith("Document 1")


def test_containment_is_of_either_case() -> None:
    assert contained("Alpha beta", ["ALPHA", "gamma", "a b"]) == [True, False, True]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("Answer: a, B and c.", ["a", "b", "c"]),
        ("answer: a\nso\n**Answer:** b", ["b"]),
        ("Final answer: x", ["x"]),
        ("The answer: x", []),
        ("Answer:", []),
        ("Answer: a or b", ["a", "or", "b"]),
        ("x", []),
    ],
)
def test_answer_lines(text: str, items: list[str]) -> None:
    assert answer_items(text) == items


def test_a_list_may_not_be_longer_than_was_asked_for() -> None:
    assert listed_matches("Answer: b, a", ["A", "b"], 2) == [True, True]
    assert listed_matches("Answer: a", ["a", "b"], 2) == [True, False]
    assert listed_matches("Answer: a, b, c", ["a", "b"], 2) == [False, False]
    assert listed_matches("Answer: ab.a", ["a"], 1) == [False]


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("so\nFinal Answer: [a, b]", ["a", "b"]),
        ("Final Answer: [a, b]\n \n", ["a", "b"]),
        ("Final Answer:[a,,b ]. Done.", ["a", "b"]),
        ("Final Answer: []", []),
        ("Final Answer: [a]\nThat is all.", None),
        ("Final Answer: a, b", None),
        ("final answer: [a]", None),
        ("Final Answer: [a", None),
        ("Final Answer: ] [a", None),
        ("", None),
        ("Final Answer: x Final Answer: [a]", ["a"]),
        ("Final Answer: [a] [b]", ["a] [b"]),
    ],
)
def test_node_lists(text: str, nodes: list[str] | None) -> None:
    assert read_node_list(text) == nodes


def test_a_line_of_markers_is_no_trouble() -> None:
    assert read_node_list("Final Answer: " * 200_000 + "]") is None
    assert read_node_list("Final Answer: [" * 100_000 + "a]") is not None


def test_quotes_of_nodes() -> None:
    assert read_node_list("Final Answer: [\"a\", 'b', c]", drop_quotes=True) == ["a", "b", "c"]
    assert read_node_list('Final Answer: ["a"]') == ['"a"']


def test_f1_of_sets() -> None:
    assert set_f1(["a", "b"], {"b", "a"}) == 1
    assert set_f1(["a", "b", "b"], {"b", "c"}) == 0.5
    assert set_f1(["x"], {"b"}) == 0
    assert set_f1([], set()) == 1
    assert set_f1([], {"a"}) == set_f1(["a"], set()) == set_f1(None, set()) == 0
    assert expected_nodes('["a", "b"]') == expected_nodes(["a", "b"]) == {"a", "b"}
    assert expected_nodes("oops") == expected_nodes(None) == expected_nodes("3") == set()


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        (r"\boxed{B}", "B"),
        (r"\boxed{b}", "B"),
        (r"\boxed{A} no \boxed{C}", "C"),
        (r"\boxed{the option B}", "B"),
        ("The final answer is D\n" + r"\boxed{A}", "D"),
        ("The final answer is A, not B", "B"),
        ("**Answer:** C", "C"),
        ("Answer: C\nAnswer: D", "D"),
        ("Answer: Dog", None),
        (r"\boxed{letter}", None),
        (r"\boxed{B", None),
        ("B", None),
        ("", None),
    ],
)
def test_relaxed_choices(text: str, letter: str | None) -> None:
    assert relaxed_choice(text) == letter


def test_thoughts() -> None:
    assert is_unfinished_thought("a <think> b")
    assert is_unfinished_thought("<think>a</think> b <think>")
    assert not is_unfinished_thought("<think>a</think> b")
    assert not is_unfinished_thought("b")
    assert without_thoughts("a <think>b</think> c<think>d") == "a  c"
    assert without_thoughts("<think>b</think> c") == "c"
