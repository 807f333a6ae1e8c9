"""Golden cases of `reasoning_gym`."""

import pytest
from tests.envs.golden import play_all
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


def test_golden_cases():
    rollouts = play_all("reasoning_gym", [(GOLD, answer) for answer, _ in CASES])
    for (answer, value), rollout in zip(CASES, rollouts, strict=True):
        assert (rollout.reward == 1) == bool(value), answer


def test_gold_of_every_data_set_scores_and_nothing_else_does():
    env = athlos.load("reasoning_gym")
    tasks = list(env.tasks(env.make_config({"size": 18}), "train"))
    assert len({task.info["metadata"]["source_dataset"] for task in tasks}) == 18
    gold = [(task, f"<answer>{task.info['answer']}</answer>") for task in tasks]
    assert [rollout.reward for rollout in play_all(env, gold)] == [1] * 18
    useless = (*HOSTILE[:4], HOSTILE[5], HOSTILE[8])
    wrong = [(task, text) for task in tasks for text in (*useless, task.prompt)]
    for (task, text), rollout in zip(wrong, play_all(env, wrong), strict=True):
        assert rollout.reward < 0.5, (task.id, text)


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
