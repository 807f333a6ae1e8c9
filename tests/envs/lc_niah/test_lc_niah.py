"""Golden cases of `lc_niah`."""

import json

import pytest

import athlos
from athlos import Message, Rollout, Task

PROMPT = "The quick brown fox jumps over the lazy dog."
CASES = [  # reasoning, answer, reward
    (None, "Final Answer: [a, b]", 1),
    (None, "Final Answer: [\"a\", 'b']", 1),  # quotes are taken off
    (None, "Final Answer: [a]", 2 / 3),
    (None, "Final Answer: [c]", 0),
    (None, "Final Answer: [a, b]\nDone.", 0),
    (None, "a, b", 0),
    (None, "<think>Final Answer: [a, b]", 0),
    (None, "", 0),
    (PROMPT, "Final Answer: [a, b]", 0),  # all of it is copied
    (PROMPT, "Final Answer: [c]", 0),
    ("0123456789", "Final Answer: [a, b]", 1),
    ("quick12345", "Final Answer: [a, b]", 0.5),  # five characters of ten
    ("QUICK12345", "Final Answer: [a, b]", 0.5),
    ("quick12345", "Final Answer: [a]", 1 / 3),
    ("zzzz", "Final Answer: []", 0),
]


def score(reasoning, answer, expected='["a", "b"]', prompt=PROMPT, **settings):
    cls = athlos.load("lc_niah")
    task = Task(prompt, {"expected_answer": expected})
    env = cls(task, config=cls.make_config(settings))
    rollout = Rollout("x", "t", 0, "lc_niah", "m", turns=1)
    said = Message("assistant", answer, reasoning_content=reasoning)
    rollout.messages = [*task.messages(), said]
    value = env.correct(rollout)
    assert set(rollout.extra) == {"answer_score", "reasoning_overlap"}
    return value


@pytest.mark.parametrize(("reasoning", "answer", "value"), CASES)
def test_golden_cases(reasoning, answer, value):
    assert score(reasoning, answer) == pytest.approx(value)


def test_the_other_rules():
    good = "Final Answer: [a, b]"
    assert score("quick12345", good, overlap_grading_rule="base") == 1
    assert score("quick12345", good, overlap_grading_rule="minus") == 0.5
    assert score("quick12345", "no", overlap_grading_rule="minus") == -0.5
    words = " ".join(f"w{number}" for number in range(17))
    rules = {"overlap_metric_rule": "ngram16"}
    assert score(words, good, prompt=words, **rules) == 0
    assert score(f"{words} x", good, prompt=words, **rules) == pytest.approx(1 / 3)
    assert score("quick brown fox", good, **rules) == 1
    rules = {"overlap_metric_rule": "seq_match"}
    assert score("ab", good, prompt="abcd", **rules) == pytest.approx(1 / 3)
    assert score(" ", good, **rules) == 1
    assert score("", "Final Answer: []", expected="[]") == 1


def test_it_runs_in_a_worker():
    from tests.envs.golden import play

    rollout = play("lc_niah", Task("?", {"expected_answer": '["a"]'}), "Final Answer: [a]")
    assert rollout.reward == 1 and rollout.extra["answer_score"] == 1


def test_generated_texts_say_the_answer():
    env = athlos.load("lc_niah")
    for task in env.tasks(env.make_config({"size": 30, "length": 1500}), "train"):
        text, _, question = task.prompt.partition("\n\n")
        depot = question.partition("does depot ")[2].split()[0]
        nodes = [
            one.split()[-1]
            for one in text.split(".")
            if one.strip().startswith(f"Depot {depot} delivers")
        ]
        assert sorted(nodes) == json.loads(task.info["expected_answer"])
        assert 0.9 < len(task.prompt) / 6000 < 1.2
        assert score(None, task.prompt, task.info["expected_answer"]) == 0
