"""The answers of BFCL score in full here, and what its checker refuses does not."""

import importlib
import json
import random
import sys
import types
from importlib.util import find_spec

import pytest
from tests.envs.golden import play_all
from tests.envs.steps import calls

import athlos
from athlos.envs.single_step import tool_spec
from athlos.envs.xlam_fc.bfcl import CATEGORIES, OTHER_TYPES, bfcl_task, read_rows
from athlos.scoring.calls import ToolUse, matched_calls, score_action
from athlos.scoring.possible_calls import first_choice, possible_calls


def cases(category):
    """Of each row: the row, its answers, and the task that it becomes."""
    if find_spec("bfcl_eval") is None:
        pytest.skip("the package bfcl-eval is not installed (pip install --no-deps bfcl-eval)")
    for row, answers in read_rows(category):
        yield row, answers, bfcl_task(category, row, answers)


def accepted(task, made):
    schemas = {tool["name"]: tool["parameters"] for tool in task.info["tools"]}
    return possible_calls(task.info["possible_answers"], made, schemas)


def expected_calls(task):
    return [ToolUse(call["name"], call["arguments"]) for call in task.info["expected_answers"]]


@pytest.fixture(scope="module")
def checker():
    """BFCL's checker, without the table of models that imports the clients of all of them."""
    if find_spec("bfcl_eval") is None:
        pytest.skip("the package bfcl-eval is not installed (pip install --no-deps bfcl-eval)")
    name = "bfcl_eval.constants.model_config"
    stub = types.ModuleType(name)
    stub.MODEL_CONFIG_MAPPING = {"none": types.SimpleNamespace(underscore_to_dot=False)}
    sys.modules[name] = stub
    try:
        found = importlib.import_module("bfcl_eval.eval_checker.ast_eval.ast_checker")
    finally:
        del sys.modules[name]
    language = importlib.import_module("bfcl_eval.constants.enums").Language.PYTHON

    def check(category, row, answers, made):
        verdict = found.ast_checker(row["function"], made, answers, language, category, "none")
        return bool(verdict["valid"])

    return check


def choices(rng, allowed, required, inside=False):
    """Arguments with a value for each, at random of those that it may have."""
    made = {}
    for name, values in allowed.items():
        value = rng.choice(values or [[]])
        if value == "" and (name not in required or len(values) > 1):
            if name not in required and rng.random() < 0.5:
                continue
            value = next((one for one in values if one != ""), None)
            if value is None:
                continue
        made[name] = value if inside else members(rng, value)
    return made


def members(rng, value):
    if isinstance(value, dict):
        return choices(rng, value, (), inside=True)
    return [members(rng, one) for one in value] if isinstance(value, list) else value


def changed(rng, made):
    """The calls, one of them with something else in it."""
    made = json.loads(json.dumps(made))
    number = rng.randrange(len(made))
    ((name, given),) = made[number].items()
    kind = rng.choice(["name", "drop", "extra", "value", "call", "again"])
    if kind == "name":
        made[number] = {f"{name}x": given}
    elif kind == "drop" and given:
        del given[rng.choice(list(given))]
    elif kind == "extra":
        given["zz"] = 1
    elif kind == "value" and given:
        key = rng.choice(list(given))
        old = given[key]
        if isinstance(old, bool):
            given[key] = not old
        elif isinstance(old, int | float):
            given[key] = rng.choice([old + 1, float(old), str(old), -old])
        elif isinstance(old, str):
            given[key] = rng.choice([f"{old}q", old.upper(), f"{old}.", old.replace(" ", ""), 5])
        elif isinstance(old, list):
            given[key] = rng.choice([[*old, old[0] if old else "x"], old[:-1], old[::-1], {}])
        else:
            given[key] = {**(old or {}), "zz": 1}
    elif kind == "call":
        del made[number]
    else:
        made.append(made[number])
    return made


def beyond_its_checker(row, answers):
    """Whether an answer has what its own checker refuses: undeclared arguments, or no value."""
    declared = {tool["name"]: tool["parameters"]["properties"] for tool in row["function"]}
    return any(
        argument not in declared[name] or values == []
        for answer in answers
        for name, allowed in answer.items()
        for argument, values in allowed.items()
    )


@pytest.mark.parametrize("category", [*CATEGORIES, *OTHER_TYPES])
def test_its_answers_score_in_full(category):
    count = 0
    for row, _, task in cases(category):
        count += 1
        made = expected_calls(task)
        assert accepted(task, made), row["id"]
        assert matched_calls(made, made) == len(made), row["id"]
        assert [tool_spec(tool) for tool in task.info["tools"]] == task.info["tools"]
        batch = [{"name": use.name, "arguments": json.dumps(use.arguments)} for use in made]
        action = (
            {"type": "function_call_batch", "calls": batch}
            if made
            else {"type": "message", "content": "None fits."}
        )
        assert score_action(action, made, "None fits.").reward == 1.0, row["id"]
    assert count >= 16


@pytest.mark.parametrize("category", [name for name in CATEGORIES if "irrelevance" not in name])
def test_its_checker_says_the_same(category, checker):
    rng = random.Random(category)
    verdicts = {True: 0, False: 0}
    differing = []
    for row, answers, task in cases(category):
        required = {tool["name"]: tool["parameters"]["required"] for tool in row["function"]}
        made = [
            {name: choices(rng, allowed, required[name])}
            for answer in answers
            for name, allowed in answer.items()
        ]
        for attempt in (made, changed(rng, made), changed(rng, made)):
            renamed = dict(
                zip(required, (tool["name"] for tool in task.info["tools"]), strict=True)
            )
            uses = [
                ToolUse(renamed.get(name, name), given)
                for call in attempt
                for name, given in call.items()
            ]
            theirs = checker(category, row, answers, attempt)
            verdicts[theirs] += 1
            if accepted(task, uses) != theirs and not beyond_its_checker(row, answers):
                differing.append((row["id"], theirs, attempt, answers))
    assert min(verdicts.values()) >= 5
    assert not differing, (len(differing), differing[:5])


def test_a_task_is_played_as_any_other():
    env = athlos.load("xlam_fc")
    if find_spec("bfcl_eval") is None:
        with pytest.raises(athlos.ConfigError, match="bfcl-eval"):
            next(iter(env.tasks(env.make_config({"source": "bfcl"}), "test")))
        return
    tasks = list(env.tasks(env.make_config({"source": "bfcl", "size": 10_000}), "test"))
    assert len(tasks) == len({task.id for task in tasks}) == 3_475
    few = tasks[::350]
    right = [calls(*((use.name, use.arguments) for use in expected_calls(task))) for task in few]
    none = [task.info["category"].endswith("irrelevance") for task in few]
    right = ["None fits." if no else one for no, one in zip(none, right, strict=True)]
    played = play_all("xlam_fc", [*zip(few, right, strict=True), *((t, "Hm.") for t in few)])
    rewards = [rollout.reward for rollout in played]
    assert rewards == [1.0] * len(few) + [float(no) for no in none]


@pytest.mark.parametrize(
    ("made", "right"),
    [
        ([("f", {"a": "New York", "b": 1})], True),
        ([("f", {"a": "new-york", "b": 2})], True),
        ([("f", {"a": "NYC"})], True),  # b may be left out
        ([("f", {"a": "Boston"})], False),
        ([("f", {"b": 1})], False),
        ([("f", {"a": "NYC", "b": 3})], False),
        ([("f", {"a": "NYC", "b": 1.0})], False),  # an integer is asked for
        ([("f", {"a": "NYC", "b": True})], False),
        ([("f", {"a": "NYC", "c": 1})], False),
        ([("g", {"a": "NYC"})], False),
        ([("f", "not json")], False),
        ([("f", {"a": "NYC"}), ("f", {"a": "NYC"})], False),
        ([], False),
    ],
)
def test_the_rule(made, right):
    answers = [{"f": {"a": ["New York", "NYC"], "b": ["", 1, 2]}}]
    integer = {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["a"]}
    assert possible_calls(answers, [ToolUse(*one) for one in made], {"f": integer}) == right
    assert first_choice(answers[0]) == ToolUse("f", {"a": "New York"})
