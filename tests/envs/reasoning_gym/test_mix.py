"""Golden cases of `reasoning_gym`."""

import pytest
from tests.envs.golden import play, reward
from tests.envs.steps import HOSTILE

import athlos
from athlos import Task

pytest.importorskip("reasoning_gym")

GOLD = {"question": "2 + 2?", "answer": "4", "metadata": {"source_dataset": "basic_arithmetic"}}
CASES = [
    ("<answer>4</answer>", 1),
    ("<answer> 4 </answer>", 1),
    ("<answer>3</answer> no: <answer>4</answer>", 1),
    ("<answer>4</answer> no: <answer>3</answer>", 0),
    (r"\boxed{4}", 1),
    (r"\boxed{3}, \boxed{4}", 0),  # the first box
    (r"\boxed{3} <answer>4</answer>", 1),
    ("4", 1),
    ("5", 0),
    ("", 0),
    ("<answer></answer>", 0),
    ("<think><answer>4</answer>", 0),
    ("<think>hm</think><answer>4</answer>", 1),
]


@pytest.mark.parametrize(("answer", "value"), CASES)
def test_golden_cases(answer, value):
    assert (reward("reasoning_gym", GOLD, answer) == 1) == bool(value)


def test_gold_of_every_data_set_scores_and_nothing_else_does():
    env = athlos.load("reasoning_gym")
    tasks = list(env.tasks(env.make_config({"size": 18}), "train"))
    assert len({task.info["metadata"]["source_dataset"] for task in tasks}) == 18
    for task in tasks:
        assert play(env, task, f"<answer>{task.info['answer']}</answer>").reward == 1
        for text in (*HOSTILE[:4], HOSTILE[5], HOSTILE[8], task.prompt):
            assert play(env, task, text).reward < 0.5, (task.id, text)


def test_data_sets_of_choice_and_those_that_there_are_not():
    env = athlos.load("reasoning_gym")
    config = env.make_config({"datasets": ["gcd"], "size": 3})
    assert all(task.id.startswith("gcd-") for task in env.tasks(config, "test"))
    with pytest.raises(athlos.ConfigError, match="no data set 'nope'"):
        list(env.tasks(env.make_config({"datasets": ["nope"]}), "test"))
    row = {**GOLD, "metadata": {"source_dataset": "nope"}}
    env = env(Task("?", row), shared={})
    rollout = athlos.Rollout("x", "t", 0, "e", "m", turns=1)
    rollout.messages = [athlos.Message("assistant", "4")]
    with pytest.raises(athlos.ConfigError, match="nope"):
        env.correct(rollout)
