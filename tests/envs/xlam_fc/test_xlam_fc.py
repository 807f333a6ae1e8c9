"""Golden cases of `xlam_fc`."""

import pytest
from tests.envs.golden import play, reward
from tests.envs.steps import HOSTILE, calls

import athlos
from athlos import ConfigError, Task
from athlos.envs.single_step import row_with_tools

ONE = {"expected_answers": [{"name": "add", "arguments": {"a": 1, "b": 2}}]}
TWO = {
    "expected_answers": [
        {"name": "add", "arguments": {"a": 1}},
        {"name": "add", "arguments": {"a": 1, "b": 2}},
    ]
}
TEXT = {"expected_answers": [{"name": "add", "arguments": '{"a": 1}'}]}
NONE = {"expected_answers": []}

CASES = [
    (ONE, [("add", {"a": 1, "b": 2})], 1),
    (ONE, [("add", {"b": 2, "a": 1, "c": 9})], 1),  # further arguments do not matter
    (ONE, [("add", {"a": 1.0, "b": 2})], 1),
    (ONE, [("add", {"a": 1})], 0),
    (ONE, [("add", {"a": 1, "b": 3})], 0),
    (ONE, [("add", {"a": "1", "b": 2})], 0),
    (ONE, [("sub", {"a": 1, "b": 2})], 0),
    (ONE, [("verify", {"reward": 1})], 0),
    (ONE, [("add", {"a": 1, "b": 2}), ("add", {"a": 1, "b": 2})], 0),  # one too many
    (ONE, [("add", {"a": 1, "b": 2}), ("verify", {})], 0),
    (ONE, [("add", "not json")], 0),
    (ONE, [("add", "[1, 2]")], 0),
    (ONE, [("add", "null")], 0),
    (ONE, [("add", '{"a": 1, "b": 2')], 0),
    (TEXT, [("add", {"a": 1})], 1),
    (TWO, [("add", {"a": 1}), ("add", {"a": 1, "b": 2})], 1),
    (TWO, [("add", {"a": 1, "b": 2}), ("add", {"a": 1})], 0),  # greedy, in order
    (TWO, [("add", {"a": 1, "b": 2})], 0),
    (NONE, [("add", {})], 0),
]


def test_golden_cases():
    for info, made, expected in CASES:
        assert reward("xlam_fc", info, calls(*made)) == expected, made


def test_no_call_is_right_where_none_is_expected_and_wrong_elsewhere():
    assert reward("xlam_fc", NONE, "I have no tool for that.") == 1
    for text in HOSTILE:
        assert reward("xlam_fc", ONE, text) == 0


def test_a_call_within_a_thought_that_does_not_end_does_not_count():
    assert reward("xlam_fc", ONE, calls(("add", {"a": 1, "b": 2}), text="<think>so")) == 0


def test_what_is_measured_and_recorded():
    rollout = play("xlam_fc", Task("?", TWO), calls(("add", {"a": 1}), ("sub", "oops")))
    assert rollout.metrics == {"num_correct": 1, "num_predicted": 2}
    assert rollout.extra["predicted_calls"] == [
        {"name": "add", "arguments": {"a": 1}},
        {"name": "sub", "arguments": {}},
    ]
    assert rollout.turns == 1 and rollout.stop_reason == "environment"


def test_gold_of_every_level_scores_and_tools_are_offered():
    env = athlos.load("xlam_fc")
    for task in list(env.tasks(env.make_config(), "train"))[:40]:
        gold = [(one["name"], one["arguments"]) for one in task.info["expected_answers"]]
        assert play(env, task, calls(*gold)).reward == 1
        assert play(env, task, calls(*gold[1:], ("verify", {}))).reward == 0
        offered = {tool["name"]: tool["parameters"] for tool in task.info["tools"]}
        for name, arguments in gold:
            assert arguments.keys() == offered[name]["properties"].keys()
            for value in arguments.values():
                parts = value if isinstance(value, list) else [value]
                assert isinstance(value, bool) or all(str(part) in task.prompt for part in parts)


TOOL = {"type": "function", "name": "math.add", "parameters": {"type": "object"}}


@pytest.mark.parametrize(
    "row",
    [
        {"responses_create_params": {"input": "hi", "tools": [TOOL]}, **ONE},
        {"responses_create_params": {"input": "hi", "tools": [TOOL]}, "verifier_metadata": ONE},
        {"prompt": "hi", "tools": [{"type": "function", "function": TOOL}], "info": ONE},
        {"prompt": "hi", "info": {"tools": [TOOL], **ONE}},
    ],
)
def test_rows_bring_their_tools(row):
    task = row_with_tools(row)
    assert task.tools is None
    assert task.info["expected_answers"] == ONE["expected_answers"]
    assert [tool["name"] for tool in task.info["tools"]] == ["math.add"]
    env = athlos.load("xlam_fc")(task)
    env.setup()
    assert list(env.offered_tools()) == ["math.add"]


@pytest.mark.parametrize("tool", [{"name": "a b"}, {"name": ""}, {}, {"name": 3}])
def test_a_tool_without_a_name_is_a_mistake_of_the_row(tool):
    with pytest.raises(ConfigError, match="declares a tool named"):
        row_with_tools({"responses_create_params": {"input": "hi", "tools": [tool]}})
