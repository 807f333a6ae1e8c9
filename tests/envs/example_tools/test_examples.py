"""Golden cases of the three example environments with tools."""

import json

from tests.envs.golden import play, reward
from tests.envs.steps import HOSTILE, calls

import athlos
from athlos import Task
from athlos.envs.example_multi_step import value

# example_multi_step

STEPS = "example_multi_step"
GOLD = {"expected_synonym_values": [407, 325], "minefield_label": "hot",
        "minefield_label_value": 331}  # fmt: skip
HANDED_IN = [
    ({"synonym_values": [407, 325]}, 1),
    ({"synonym_values": [325, 407]}, 0),
    ({"synonym_values": [407]}, 0),
    ({"synonym_values": [407, 325, 325]}, 0),
    ({"synonym_values": []}, 0),
    ({"synonym_values": ["407", "325"]}, 0),
    ({"synonym_values": "[407, 325]"}, 0),
    ({"values": [407, 325]}, 0),
    ("oops", 0),
    ("[407, 325]", 0),
    ("null", 0),
    ('{"synonym_values": [407, 325', 0),
]


def test_values_are_handed_in():
    for arguments, right in HANDED_IN:
        assert reward(STEPS, GOLD, calls(("extract_synonym_values", arguments)), "Done.") == right
    assert reward(STEPS, GOLD, calls(("verify", {"synonym_values": [407, 325]})), "Done.") == 0
    for text in (*HOSTILE, "[407, 325]"):
        assert reward(STEPS, GOLD, text) == 0


def test_the_last_call_counts():
    right = calls(("extract_synonym_values", {"synonym_values": [407, 325]}))
    wrong = calls(("extract_synonym_values", {"synonym_values": [1]}))
    assert reward(STEPS, GOLD, wrong, right, "Done.") == 1
    assert reward(STEPS, GOLD, right, wrong, "Done.") == 0


def test_metrics_of_what_was_handed_in():
    def metrics(*values):
        made = calls(("extract_synonym_values", {"synonym_values": list(values)}))
        return play(STEPS, Task("?", GOLD), made, "Done.").metrics

    swapped = metrics(325, 407)
    assert swapped["set_overlap"] == swapped["order_instruction_following_failure"] == 1
    assert metrics(407)["set_overlap"] == 0.5
    assert metrics(331)["original_term_minefield_hit"] == 1
    assert metrics(407, 325)["original_term_minefield_hit"] == 0
    assert metrics([], {})["set_overlap"] == 0


def test_the_value_of_a_word_is_the_sum_of_its_code_points():
    rollout = play(STEPS, Task("?", GOLD), calls(("get_synonym_value", {"synonym": "ab"})), "Done.")
    assert json.loads(rollout.messages[2].text) == {"synonym_value": 195}
    assert value("é") == 233


def test_generated_synonyms_can_be_found():
    env = athlos.load(STEPS)
    for task in list(env.tasks(env.make_config(), "train"))[:30]:
        info = task.info
        word = info["minefield_label"]
        entry = next(line for line in task.prompt.splitlines() if line.startswith(f"{word}: "))
        synonyms = sorted(entry.partition(": ")[2].split(", "), reverse="reverse" in task.prompt)
        assert synonyms == info["expected_synonyms"]
        made = calls(("extract_synonym_values", {"synonym_values": list(map(value, synonyms))}))
        assert play(env, task, made, "Done.").reward == 1


# example_session_state_mgmt

COUNTER = "example_session_state_mgmt"
COUNT = {"initial_count": 3, "expected_count": 7}


def add(count):
    return calls(("increment_counter", {"count": count}))


def test_the_counter_has_a_state():
    assert reward(COUNTER, COUNT, add(4), "Done.") == 1
    assert reward(COUNTER, COUNT, add(9), add(-5), "Done.") == 1
    assert reward(COUNTER, COUNT, calls(*[("increment_counter", {"count": 2})] * 2), "7") == 1
    assert reward(COUNTER, COUNT, add(7), "Done.") == 0
    assert reward(COUNTER, COUNT, calls(("get_counter_value", {})), "7") == 0
    assert reward(COUNTER, {"expected_count": 4}, add(4), "Done.") == 1  # it begins at 0
    assert reward(COUNTER, COUNT, calls(("increment_counter", '{"count": "x"}')), "7") == 0
    assert reward(COUNTER, COUNT, calls(("increment_counter", "oops")), "7") == 0
    assert reward(COUNTER, COUNT, calls(("set_counter", {"count": 7})), "7") == 0
    assert reward(COUNTER, COUNT, add(10**18), *[add(10**18)] * 9, "Done.") == 0
    for text in (*HOSTILE, "7"):
        assert reward(COUNTER, COUNT, text) == 0


def test_the_counter_is_read():
    rollout = play(COUNTER, Task("?", COUNT), add(4), calls(("get_counter_value", {})), "7")
    assert [json.loads(m.text) for m in rollout.messages if m.role == "tool"] == [
        {"success": True},
        {"count": 7},
    ]
    assert rollout.metrics["calls"] == 2


def test_generated_counters_move():
    env = athlos.load(COUNTER)
    for task in env.tasks(env.make_config(), "test"):
        start, end = task.info["initial_count"], task.info["expected_count"]
        assert start != end
    assert play(env, task, add(end - start), "Done.").reward == 1


# example_tool_call_multireward

MULTI = "example_tool_call_multireward"
TOOLS = [{"name": "get_weather",
          "parameters": {"type": "object", "required": ["city"], "properties": {}}}]  # fmt: skip
CALL = {"expected_call": {"name": "get_weather", "arguments": {"city": "Rome"}}, "tools": TOOLS}
RIGHT = ("get_weather", {"city": "Rome"})
COMPONENTS = [  # answer, correctness, schema_valid, format
    (calls(RIGHT), 1, 1, 1),
    (calls(RIGHT, text="Here you are."), 1, 1, 0),
    (calls(RIGHT, RIGHT), 1, 1, 0),
    (calls(("get_weather", {"city": "Oslo"})), 0, 1, 1),
    (calls(("get_weather", {"town": "Rome"})), 0, 0, 1),
    (calls(("get_weather", {"city": "Rome", "day": 1})), 1, 1, 1),
    (calls(("get_weather", "oops")), 0, 0, 1),
    (calls(("get_weather", "[]")), 0, 0, 1),
    (calls(("get_weather", {}), RIGHT), 1, 0, 0),
    (calls(("verify", {})), 0, 0, 0),
    (calls(RIGHT, ("verify", {})), 0, 0, 0),
    (calls(RIGHT, text="<think>hm"), 0, 0, 0),
    ("Rome", 0, 0, 0),
    ("", 0, 0, 0),
]


def test_three_components():
    for answer, *expected in COMPONENTS:
        rollout = play(MULTI, Task("?", CALL), answer)
        assert list(rollout.rewards.values()) == expected, answer
        assert rollout.reward == sum(expected)


def test_an_empty_expected_call_is_never_made():
    task = Task("?", {"tools": TOOLS, "expected_call": {}})
    assert play(MULTI, task, calls(RIGHT)).rewards["correctness"] == 0


def test_gold_scores_three():
    env = athlos.load(MULTI)
    for task in list(env.tasks(env.make_config(), "train"))[:20]:
        gold = task.info["expected_call"]
        assert play(env, task, calls((gold["name"], gold["arguments"]))).reward == 3
