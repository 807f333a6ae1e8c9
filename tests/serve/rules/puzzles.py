"""Grids, programs that make them, and reasoning-gym."""

from tests.serve.rules.asking import Case, think

GRIDS = {"train": [{"input": [[1, 2]], "output": [[2, 1]]}], "test_input": [[3, 4]],
         "expected_output": [[4, 3]], "task_id": "t"}  # fmt: skip
SQUARE = {**GRIDS, "test_input": [[1, 2], [3, 4]], "expected_output": [[2, 1], [4, 3]]}
TURN = "def transform(grid):\n    return [row[::-1] for row in grid]"
BOTH = [
    Case("a grid in a box", GRIDS, r"So \boxed{[[4, 3]]}.", 1),
    Case("another grid", GRIDS, r"\boxed{[[3, 4]]}", 0),
    Case("a row less", SQUARE, r"\boxed{[[2, 1]]}", 0),
    Case("the first box that can be read", GRIDS, r"\boxed{[[4,]]} \boxed{[[4, 3]]}", 1),
    Case("the first, right or wrong", GRIDS, r"\boxed{[[3, 4]]} \boxed{[[4, 3]]}", 0),
    Case("boxes come before grids without one", GRIDS, r"[[3, 4]] \boxed{[[4, 3]]}", 1),
    Case("a grid without a box", GRIDS, "It is [[4, 3]].", 1),
    Case("the first without a box", GRIDS, "[[3, 4]] [[4, 3]]", 0),
    Case("an empty grid is none", GRIDS, r"\boxed{[[]]} \boxed{[[4, 3]]}", 1),
    Case("over several lines", SQUARE, "\\boxed{[[2, 1],\n [4, 3]]}", 1),
    Case("reasoning is not read", GRIDS, [think("[[4, 3]]"), "Hm."], 0),
]
ARC = [
    *BOTH,
    Case("cells must be whole numbers", GRIDS, r"\boxed{[[4.0, 3.0]]}", 0),
]
PROGRAMS = {**GRIDS, "agent_mode": "inductive"}


def program(rule, answer, reward):
    return Case(rule, PROGRAMS, answer, reward, also={"agent_mode": "inductive"})


def fenced(code):
    return f"```python\n{code}\n```"


NVARC = [
    *BOTH,
    Case("rows as lines of digits", SQUARE, "\\boxed{2 1\n4 3}", 1),
    Case("without a box", SQUARE, "2 1\n4 3", 1),
    Case("signs between them do not matter", SQUARE, "2, 1\n4, 3", 1),
    Case("lines of different length", SQUARE, "2 1\n4", 0),
    Case("a grid where that is said", {**GRIDS, "agent_mode": "transductive"}, "4 3", 1),
    program("a program", fenced(TURN), 1),
    program("the last block", fenced("def transform(grid):\n    return grid") + fenced(TURN), 1),
    program("it returns something else", fenced("def transform(grid):\n    return grid"), 0),
    program("it raises", fenced("def transform(grid):\n    return grid[9]"), 0),
    program("it has no such function", fenced("x = 1"), 0),
    program("a module that reaches outside", fenced(f"import os\n{TURN}"), 0),
    program("a function that reaches outside", fenced(f"open('x')\n{TURN}"), 0),
    program("a grid in place of a program", "[[4, 3]]", 0),
]


def gym(rule, answer, reward, name="gcd", expected="6", **metadata):
    fields = {"question": "?", "answer": expected,
              "metadata": {"source_dataset": name, "source_index": 0, **metadata}}  # fmt: skip
    return Case(rule, fields, answer, reward)


REASONING_GYM = [
    gym("between tags", "So: <answer>6</answer>", 1),
    gym("the last tag", "<answer>5</answer> no, <answer>6</answer>", 1),
    gym("else in the first box", r"\boxed{6} or \boxed{5}", 1),
    gym("tags come before boxes", r"\boxed{6} <answer>5</answer>", 0),
    gym("else everything", " 6 ", 1),
    gym("all messages", ["<answer>", "6</answer>"], 1),
    gym("another answer", "<answer>5</answer>", 0),
    gym("the library's own partial credit", "<answer>6 is it</answer>", 1 / 7, name="leg_counting"),
    gym(
        "partial credit of another data set",
        "<answer>abx</answer>",
        2 / 3,
        name="spell_backward",
        expected="abc",
        word="cba",
        word_len=3,
    ),
    gym("reasoning is not read", [think("<answer>6</answer>"), "I do not know."], 0),
    gym("a tag that stays open is text, of which the library likes a ninth", "<answer>6", 1 / 9),
    gym(
        "what the scorer stumbles over",
        "<answer>6</answer>",
        0,
        name="number_sorting",
        expected="['1', '2']",
    ),
]

CASES = {"arc_agi": ARC, "nvarc": NVARC, "reasoning_gym": REASONING_GYM}
