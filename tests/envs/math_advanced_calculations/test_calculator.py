"""Golden cases of `math_advanced_calculations`."""

import ast
import json
import math

import pytest
from tests.envs.golden import play, reward
from tests.envs.steps import HOSTILE, calls

import athlos
from athlos import Task

ENV = "math_advanced_calculations"
RULES = [
    ("multiply", {"a": 5, "b": 2}, 11.0),
    ("divide", {"a": 10, "b": 2}, 2.5),
    ("add", {"a": 1, "b": 3}, 5.2),
    ("subtract", {"a": 15, "b": 5}, 7.0),
    ("power", {"a": 2, "b": 3}, 32.0),
    ("log", {"a": 100, "base": 8.5}, math.log(100, 10)),
    ("log", {"a": 9, "base": -4.5}, 2.0),
    ("sin", {"radians": 0}, 1.0),
    ("cos", {"radians": 0}, 0.0),
    ("pi", {}, math.e),
    ("negate", {"a": 7}, 7.0),
    ("return_constant", {"a": 42}, 42.0),
]
GOLD = {"ground_truth": "[5.2, 11.0]"}
BOTH = calls(("add", {"a": 1, "b": 3}), ("multiply", {"a": 5, "b": 2}))


@pytest.mark.parametrize(("name", "arguments", "solution"), RULES)
def test_every_function_follows_its_own_rule(name, arguments, solution):
    task = Task("?", {"ground_truth": json.dumps([solution])})
    rollout = play(ENV, task, calls((name, arguments)), "Done.")
    assert json.loads(rollout.messages[2].text) == {"solution": solution}
    assert rollout.reward == 1


def test_golden_cases():
    assert reward(ENV, GOLD, BOTH, "Done.") == 1
    assert reward(ENV, {"ground_truth": [5.2, 11.0]}, BOTH, "Done.") == 1
    assert reward(ENV, GOLD, calls(("add", {"a": 1, "b": 3})), "Done.") == 0  # each is needed
    assert reward(ENV, GOLD, calls(("add", {"a": 1, "b": 3.0000001})), "Done.") == 0  # exactly
    assert reward(ENV, {"ground_truth": "[4.0]"}, calls(("add", {"a": 1, "b": 3})), "4.0") == 0
    for text in (*HOSTILE, "5.2 and 11.0", '{"solution": 5.2}', "[5.2, 11.0]"):
        assert reward(ENV, GOLD, text) == 0


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("divide", {"a": 1, "b": 0}),
        ("power", {"a": -8, "b": 0.5}),
        ("power", {"a": 1e300, "b": 9}),
        ("multiply", {"a": 1e300, "b": 1e300}),
        ("log", {"a": -1, "base": 2}),
        ("log", {"a": 5, "base": -0.5}),
        ("add", {"a": 1}),
        ("add", {"a": "nan", "b": 1}),
        ("add", "oops"),
        ("modulo", {"a": 1, "b": 2}),
        ("verify", {}),
    ],
)
def test_what_cannot_be_computed_is_an_error_for_the_model(name, arguments):
    rollout = play(ENV, Task("?", GOLD), calls((name, arguments)), "Done.")
    assert rollout.messages[2].text.startswith("Error")
    assert rollout.reward == 0 and rollout.tool_errors == 1


def evaluate(node, env):
    """Calls the tools from the inside out, as a model should; values travel as JSON."""
    if isinstance(node, ast.Constant):
        return node.value
    arguments = [evaluate(one, env) for one in node.args]
    tool = env.tools[node.func.id]
    names = list(tool.wire["function"]["parameters"]["properties"])
    found = tool.parse(json.dumps(dict(zip(names, arguments, strict=True))))
    return json.loads(json.dumps(getattr(env, tool.method)(**found)))["solution"]


def test_using_the_tools_solves_every_level():
    cls = athlos.load(ENV)
    for task in list(cls.tasks(cls.make_config(), "train"))[:80]:
        env = cls(task)
        env.setup()
        for line in task.prompt.partition("value of:\n")[2].splitlines():
            evaluate(ast.parse(line, mode="eval").body, env)
        assert env.correct(None) == 1
        assert len(json.loads(task.info["ground_truth"])) == task.info["breadth"]
