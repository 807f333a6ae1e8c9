"""Golden cases of `graphwalks`."""

import json

import pytest
from tests.envs.golden import play, reward
from tests.envs.steps import HOSTILE

import athlos
from athlos import Task

GOLD = {"expected_answer": '["a", "b"]'}
CASES = [
    ("Final Answer: [a, b]", 1),
    ("Final Answer: [b, a]", 1),
    ("I walked.\n\nFinal Answer: [a, b]\n\n", 1),
    ("Final Answer: [a]", 2 / 3),
    ("Final Answer: [a, c]", 0.5),
    ("Final Answer: [a, b, c, d]", 2 / 3),
    ("Final Answer: [c]", 0),
    ("Final Answer: []", 0),
    ("Final Answer: [A, B]", 0),
    ('Final Answer: ["a", "b"]', 0),  # no quotes here
    ("Final Answer: [a, b]\nDone.", 0),  # the last line counts
    ("Final Answer: a, b", 0),
    ("[a, b]", 0),
    ("Final Answer: [a, b", 0),
    ("<think>Final Answer: [a, b]", 0),
    ("<think>x</think>\nFinal Answer: [a, b]", 1),
]


@pytest.mark.parametrize(("answer", "value"), CASES)
def test_golden_cases(answer, value):
    assert reward("graphwalks", GOLD, answer) == pytest.approx(value)


def test_empty_sets_and_hostile_texts():
    assert reward("graphwalks", {"expected_answer": "[]"}, "Final Answer: []") == 1
    assert reward("graphwalks", {"expected_answer": "[]"}, "Final Answer: [a]") == 0
    assert reward("graphwalks", {"expected_answer": "[]"}, "None.") == 0
    assert reward("graphwalks", {"expected_answer": ["a", "b"]}, "Final Answer: [a, b]") == 1
    for text in HOSTILE:
        assert reward("graphwalks", GOLD, text) == 0
    assert play("graphwalks", Task("?", GOLD), "no").extra["parse_failed"]


def solve(task):
    graph, _, question = task.prompt.partition("\n\n")
    edges = [tuple(line.split(" -> ")) for line in graph.splitlines()]
    if "leads to" in question:
        target = question.partition("leads to ")[2][:8]
        return {start for start, end in edges if end == target}
    start = question.partition("edges from ")[2][:8]
    depth = int(question.partition("after ")[2].split()[0])
    distance = {start: 0}
    queue = [start]
    for node in queue:
        for one, other in edges:
            if one == node and other not in distance:
                distance[other] = distance[node] + 1
                queue.append(other)
    return {node for node, far in distance.items() if far == depth}


def test_every_level_is_right_and_repeating_the_prompt_is_not():
    env = athlos.load("graphwalks")
    config = env.make_config({"size": 40, "length": 700})
    for task in env.tasks(config, "train"):
        nodes = json.loads(task.info["expected_answer"])
        assert nodes and solve(task) == set(nodes)
    assert play(env, task, f"Final Answer: [{', '.join(nodes)}]").reward == 1
    assert play(env, task, task.prompt).reward == 0


@pytest.mark.parametrize("length", [500, 8000])
def test_a_prompt_has_the_length_asked_for(length):
    env = athlos.load("graphwalks")
    for task in env.tasks(env.make_config({"size": 4, "length": length}), "test"):
        assert 0.85 * length < len(task.prompt) / 4 < 1.1 * length


def test_settings_that_cannot_be():
    env = athlos.load("graphwalks")
    for wrong in ({"length": 20}, {"level": 9}, {"size": 0}):
        with pytest.raises(athlos.ConfigError):
            list(env.tasks(env.make_config(wrong), "test"))
