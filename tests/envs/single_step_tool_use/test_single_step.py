"""Golden cases of `single_step_tool_use_with_argument_comparison`."""

import json

import pytest
from tests.envs.golden import play, reward
from tests.envs.steps import HOSTILE, calls

import athlos
from athlos import Task

ENV = "single_step_tool_use_with_argument_comparison"


def one(name="find", **arguments):
    return {"type": "function_call", "name": name, "arguments": json.dumps(arguments)}


def info(*expected):
    if len(expected) == 1:
        return {"expected_action": expected[0]}
    return {"expected_action": {"type": "function_call_batch", "calls": list(expected)}}


MESSAGE = {"expected_action": {"type": "message", "content": "Hello."}}
A, B = one(query="alpha"), one(query="beta")
CALL_A, CALL_B, CALL_C = (("find", {"query": word}) for word in ("alpha", "beta", "gamma"))

ARGUMENTS = [  # expected, given, right
    ({"n": 1}, {"n": 1}, 1),
    ({"n": 1}, {"n": 2}, 0),
    ({"n": 1}, {"n": 1, "m": 2}, 0),  # the same keys
    ({"n": 1, "m": 2}, {"n": 1}, 0),
    ({"o": {"n": 1}}, {"o": {"n": 1}}, 1),
    ({"o": {"n": 1}}, {"o": {"n": 1, "m": 2}}, 0),  # at each level
    ({"l": [1, 2]}, {"l": [1, 2]}, 1),
    ({"l": [1, 2]}, {"l": [1, 2, 3]}, 0),
    ({"l": [1, 2]}, {"l": [2, 1]}, 0),
    ({"n": 1}, {"n": "1"}, 0),  # the type of the expected value
    ({"n": 1.0}, {"n": 1}, 0),
    ({"n": True}, {"n": 1}, 0),
    ({"n": 1}, {"n": True}, 1),  # a bool is an int
    ({"n": None}, {"n": None}, 1),
    ({"n": None}, {"n": 0}, 0),
    ({"x": 0.5}, {"x": 0.5000005}, 1),
    ({"x": 0.5}, {"x": 0.500002}, 0),
    ({"s": "Oslo"}, {"s": "Oslo"}, 1),
    ({"s": "Oslo"}, {"s": "oslo"}, 0),  # under two words: equal
    ({"s": "Oslo"}, {"s": "Oslo city"}, 0),
    ({"s": "the red fox"}, {"s": "THE RED FOX"}, 1),
    ({"s": "a b c d e"}, {"s": "a v w x y"}, 1),  # 1 of 10 words: 0.1
    ({"s": "a b c d e f"}, {"s": "a v w x y"}, 0),  # 1 of 11
    ({"s": "a b"}, {"s": "x y"}, 0),
]


@pytest.mark.parametrize(("expected", "given", "right"), ARGUMENTS)
def test_arguments(expected, given, right):
    assert reward(ENV, info(one(**expected)), calls(("find", given))) == right


def test_equal_texts_have_a_similarity_of_one_half():
    gold, made = info(one(s="a b c")), calls(("find", {"s": "a b c"}))
    assert reward(ENV, gold, made, word_count_similarity_threshold=0.5) == 1
    assert reward(ENV, gold, made, word_count_similarity_threshold=0.51) == 0


def test_any_message_is_right_where_one_is_expected():
    assert reward(ENV, MESSAGE, "Something else.") == 1
    assert reward(ENV, MESSAGE, "") == reward(ENV, MESSAGE, " \n") == 0
    assert reward(ENV, MESSAGE, "<think>what now") == 0
    assert reward(ENV, MESSAGE, calls(CALL_A, text="Hello.")) == 0  # calls win over text


def test_names_and_unreadable_arguments():
    assert reward(ENV, info(A), calls(("look", {"query": "alpha"}))) == 0
    for arguments in ("", "{", "[]", "null", '"alpha"', "[" * 5000):
        assert reward(ENV, info(A), calls(("find", arguments))) == 0


def test_surplus_calls_are_free_by_default_and_order_does_not_matter():
    assert reward(ENV, info(A), calls(CALL_C, CALL_A)) == 1
    assert reward(ENV, info(A, B), calls(CALL_B, CALL_C, CALL_A)) == 1
    assert reward(ENV, info(A, B), calls(CALL_A)) == 0
    assert reward(ENV, info(A, A), calls(CALL_A)) == 0
    assert reward(ENV, {"expected_action": {"type": "function_call_batch", "calls": [A]}},
                  calls(CALL_A)) == 1  # fmt: skip


def test_as_many_as_possible_are_paired():
    loose, strict = one(s="a b c"), one(s="a b x y")
    first, second = ("find", {"s": "a b"}), ("find", {"s": "c c c c"})
    # the first expected call matches both; the second only one
    assert reward(ENV, info(loose, strict), calls(first, second)) == 1


PARALLEL = [  # expected, made, settings, reward
    ((A, B), (CALL_A, CALL_B), {}, 1),
    ((A, B), (CALL_A,), {}, 0),
    ((A, B), (CALL_A, CALL_B, CALL_C), {}, 0),
    ((A, B), (CALL_A,), {"allow_subset": True}, 1),
    ((A, B), (CALL_C,), {"allow_subset": True}, 0),
    ((A, B), (CALL_A, CALL_B, CALL_C), {"allow_superset": True}, 1),
    ((A, B), (CALL_A, CALL_C), {}, 0),
    ((A, B), (CALL_A, CALL_C), {"parallel_tool_call_reward_mode": "fractional"}, 0.5),
    ((A, B), (CALL_A, CALL_C), {"parallel_tool_call_reward_mode": "f1"}, 0.5),
    ((A, B), (CALL_A, CALL_B, CALL_C),
     {"parallel_tool_call_reward_mode": "f1", "allow_superset": True}, 0.8),
    ((A, B), (CALL_A, CALL_B, CALL_C),
     {"parallel_tool_call_reward_mode": "fractional", "allow_superset": True}, 1),
    ((A,), (CALL_A, CALL_C), {}, 0),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "made", "settings", "value"), PARALLEL)
def test_the_number_of_calls_may_matter(expected, made, settings, value):
    settings = {"parallel_tool_call_rewarding": True, **settings}
    assert reward(ENV, info(*expected), calls(*made), **settings) == value
    assert reward(ENV, {**info(*expected), **settings}, calls(*made)) == value  # by row


CATEGORIES = [
    (info(A), calls(CALL_A), "expected_tool_call"),
    (info(A, B), calls(CALL_B, CALL_A), "expected_tool_call_batch"),
    (info(A), calls(("look", {})), "unexpected_tool"),
    (info(A), calls(("find", "oops")), "arguments_decode_error"),
    (info(A), calls(("find", {"query": 1})), "argument_value_type_different"),
    (info(A), calls(("find", {"q": "alpha"})), "argument_object_keys_different"),
    (info(one(l=[1])), calls(("find", {"l": []})), "argument_list_length_different"),
    (info(A), calls(CALL_B), "argument_value_different"),
    (info(A), "Hello.", "no_expected_tool_call"),
    (info(A, B), calls(CALL_A), "function_call_batch_length_different"),
    (MESSAGE, "Hello.", "expected_chat_message_found"),
    (MESSAGE, calls(CALL_A), "no_expected_chat_message"),
    (MESSAGE, "", "no_action_found"),
]


def test_the_category_says_why():
    for gold, answer, category in CATEGORIES:
        assert play(ENV, Task("?", gold), answer).extra["category"] == category


def test_hostile_texts_and_a_malformed_row():
    for text in HOSTILE:
        assert reward(ENV, info(A), text) == 0
    from athlos.scoring.calls import ToolUse, score_action

    for action in ({}, {"type": "x"}, {"type": "function_call", "name": "a", "arguments": "["},
                   {"type": "function_call_batch", "calls": []}):  # fmt: skip
        with pytest.raises(ValueError, match="expected_action"):
            score_action(action, [ToolUse("find", "{}")], "")


def test_gold_of_every_level_scores_and_guesses_do_not():
    env = athlos.load(ENV)
    for task in list(env.tasks(env.make_config(), "train"))[:40]:
        action = task.info["expected_action"]
        gold = [(one["name"], one["arguments"]) for one in action.get("calls", [action])]
        assert play(env, task, calls(*gold)).reward == 1
        assert play(env, task, calls(*gold, ("find", {}))).reward == 0
