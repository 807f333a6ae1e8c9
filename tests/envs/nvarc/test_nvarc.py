"""Golden cases of `nvarc`."""

import shutil

import pytest
from tests.envs.golden import play, reward
from tests.envs.steps import HOSTILE

from athlos import Task
from athlos.envs.nvarc.programs import read_program

GOLD = {"expected_output": [[1, 2], [3, 4]], "test_input": [[2, 1], [4, 3]]}
CASES = [
    (r"\boxed{[[1, 2], [3, 4]]}", 1),
    ("[[1, 2], [3, 4]]", 1),
    ("\\boxed{1 2\n3 4}", 1),
    ("1 2\n3 4", 1),
    ("1, 2\n\n3, 4", 1),
    ("[1, 2]\n[3, 4]", 1),
    ("The grid:\n1 2\n3 4\nThat is all.", 1),
    ("<think>9 9</think>\n1 2\n3 4", 1),
    ("1 2\n3 5", 0),
    ("1 2\n3", 0),
    ("12\n34", 0),
    ("1 2 3 4", 0),
    ("It has 2 rows:\n1 2\n3 4", 0),
    ("<think>1 2\n3 4", 0),
    ("[[1, 2], [3, 4]", 0),
    ("\\boxed{9 9\n9 9} 1 2\n3 4", 0),
]


@pytest.mark.parametrize(("answer", "value"), CASES)
def test_golden_cases_of_grids(answer, value):
    assert reward("nvarc", GOLD, answer) == value


def test_hostile_texts():
    for mode in ("transductive", "inductive"):
        for text in HOSTILE:
            assert reward("nvarc", {**GOLD, "agent_mode": mode}, text) == 0


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\na\n```\n```python\nb\n```", "b"),
        ("```python\na\n```\n```\nb\n```", "a"),
        ("```\nb\n```", "b"),
        ("def transform(g): return g", "def transform(g): return g"),
        ("```python\na", None),
        ("", None),
    ],
)
def test_programs_are_found(text, program):
    assert read_program(text) == program


PROGRAMS = [
    ("def transform(grid):\n    return [row[::-1] for row in grid]", 1),
    ("import numpy as np\ndef transform(grid):\n    return np.fliplr(np.array(grid))", 1),
    ("print('x')\ndef transform(grid):\n    return tuple(tuple(r[::-1]) for r in grid)", 1),
    ("def transform(grid):\n    return grid", 0),
    ("def transform(grid):\n    return None", 0),
    ("def transform(grid):\n    return [[1, 2], [3]]", 0),
    ("def transform(grid):\n    raise ValueError", 0),
    ("def transform(grid)\n    return grid", 0),
    ("def other(grid):\n    return [row[::-1] for row in grid]", 0),
    ("import os\ndef transform(grid):\n    return [row[::-1] for row in grid]", 0),
    ("def transform(grid):\n    open('x', 'w')\n    return [row[::-1] for row in grid]", 0),
    ("def transform(grid):\n    while True: pass", 0),
    ("raise SystemExit(0)", 0),
]


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")
@pytest.mark.parametrize(("program", "value"), PROGRAMS)
def test_golden_cases_of_programs(program, value):
    if "numpy" in program:
        pytest.importorskip("numpy")
    answer = f"Here:\n```python\n{program}\n```"
    info = {**GOLD, "agent_mode": "inductive"}
    rollout = play("nvarc", Task("?", info), answer, python_timeout_seconds=1.0)
    assert rollout.reward == value


def test_a_grid_is_no_program():
    assert reward("nvarc", GOLD, "1 2\n3 4", agent_mode="inductive") == 0
