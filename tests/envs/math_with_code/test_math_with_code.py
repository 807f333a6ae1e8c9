r"""Golden cases of `math_with_code`, and its tool."""

import asyncio
import json
import shutil
from itertools import islice

import pytest
from tests.envs.golden import play, play_all

import athlos
from athlos import ConfigError, Task
from athlos.envs.math_with_code.answers import same
from athlos.rows import row_to_task
from athlos.testing import call, scripted

pytestmark = pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not installed")

CASES = [
    # right
    ("42", r"So \boxed{42}.", 1),
    ("42", r"\boxed{41} or rather \boxed{42}", 1),
    ("42", r"\boxed{$42$}", 1),
    ("42", r"\boxed{\(42\)}", 1),
    ("42", r"\boxed{ 4 2 }", 1),
    ("42", r"\boxed{\text{42}}", 1),
    ("42", r"\boxed{42.0}", 1),
    ("0.123456789", r"\boxed{0.1234567}", 1),
    (r"\frac{1}{2}", r"\boxed{\frac{1}{2}}", 1),
    ("yes", r"\boxed{\text{yes}}", 1),
    (42, r"\boxed{42}", 1),
    # wrong, and nearly so
    ("42", r"\boxed{43}", 0),
    ("42", r"\boxed{42} no, \boxed{43}", 0),
    ("1000000", r"\boxed{1000002}", 0),
    ("0.5", r"\boxed{\frac{1}{2}}", 0),
    ("yes", r"\boxed{Yes}", 0),
    ("1000", r"\boxed{1_000}", 0),
    ("0", r"\boxed{1e-9}", 0),
    # malformed
    ("42", "42", 0),
    ("42", r"\boxed{42", 0),
    ("42", r"\boxed{}", 0),
    ("42", "", 0),
    ("42", r"\boxed{nan}", 0),
    ("inf", r"\boxed{infinity}", 0),
    ("42", "<think>\\boxed{42}", 0),
    ("42", "\\boxed{" + "9" * 100_000 + "}", 0),
]


def test_golden_cases():
    answers = [({"expected_result": gold}, answer) for gold, answer, _ in CASES]
    rollouts = play_all("math_with_code", answers)
    for (gold, answer, expected), rollout in zip(CASES, rollouts, strict=True):
        assert rollout.reward == expected, (gold, answer, rollout.extra)


def run(*cells, last="Done.", info=None, **config):
    """The tool's answers, and the rollout."""
    said = [call("execute_python", code=code) for code in cells]
    task = Task("?", info or {"expected_result": "7"}, tools=["execute_python"])
    rollout = play("math_with_code", task, *said, last, **config)
    return [json.loads(m.text) for m in rollout.messages if m.role == "tool"], rollout


def test_variables_stay_from_call_to_call():
    (first, second, third), rollout = run("x = 3", "print('hi')\nx + 4", "x / 0")
    assert first == {
        "success": True, "stdout": "", "stderr": "", "error_message": None, "result": None,
    }  # fmt: skip
    assert (second["success"], second["stdout"], second["result"]) == (True, "hi\n", "7")
    assert (third["success"], third["error_message"]) == (
        False,
        "ZeroDivisionError: division by zero",
    )
    assert (rollout.reward, rollout.tool_calls, rollout.tool_errors) == (0, 3, 0)


def test_a_call_that_takes_too_long_costs_the_variables():
    (_, late, after, names), _ = run(
        "x = 1", "while True: pass", "x", "math.isqrt(50)", seconds=1.5
    )
    assert not late["success"]
    assert "took longer than 1.5 s" in late["error_message"]
    assert after["error_message"] == "NameError: name 'x' is not defined"
    assert names["result"] == "7"


def test_packages_are_there_without_an_import():
    pytest.importorskip("numpy")
    ((found,), _) = run("np.arange(4).sum() + len(np.zeros(1))")
    assert found["result"] in ("7", "np.int64(7)", "np.float64(7.0)")


def test_a_box_that_the_tool_printed_counts_if_the_model_gave_none():
    printed = "print(r'\\boxed{7}')"
    assert run(printed)[1].reward == 1
    assert run(printed, last=r"\boxed{8}")[1].reward == 0
    assert run(r"'\boxed{7}'")[1].reward == 0  # a value was not printed
    assert run(printed, "print(r'\\boxed{8}')")[1].reward == 0


def test_an_earlier_message_counts_if_the_last_has_no_box():
    task = Task("?", {"expected_result": "7"}, tools=["execute_python"])
    first = call("execute_python", code="1")
    first = athlos.Message("assistant", r"\boxed{7}", tool_calls=first.tool_calls)
    assert play("math_with_code", task, first, "Done.").reward == 1


def test_a_session_can_be_ended():
    task = Task("?", {"expected_result": "7"})
    said = [call("execute_python", code="x = 1"), call("end_session"),
            call("execute_python", code="x"), "."]  # fmt: skip
    rollout = play("math_with_code", task, *said)
    replies = [json.loads(m.text) for m in rollout.messages if m.role == "tool"]
    assert replies[1] == {"success": True}
    assert replies[2]["success"] is False


def test_the_oracle_solves_each_level():
    env = athlos.load("math_with_code")
    for level in (1, 2, 3):
        for task in islice(env.tasks(env.make_config({"level": level}), "train"), 1):
            rollout = play("math_with_code", task, *env(task).oracle())
            assert rollout.reward == 1
            shown = json.loads(next(m.text for m in rollout.messages if m.role == "tool"))
            assert same(shown["result"], task.info["expected_result"])


def test_settings_of_the_tasks():
    env = athlos.load("math_with_code")
    made = [list(env.tasks(env.make_config({"size": 100}), split)) for split in ("train", "test")]
    prompts = [{task.messages()[0].text for task in tasks} for tasks in made]
    assert not prompts[0] & prompts[1]
    assert min(map(len, prompts)) > 97
    with pytest.raises(ConfigError, match="no level 4"):
        next(env.tasks(env.make_config({"level": 4}), "test"))
    with pytest.raises(ConfigError, match="seconds is 0"):
        athlos.collect("math_with_code", scripted(""), config={"seconds": 0})


def test_a_row_of_nemo_gym():
    tools = [{"type": "function", "name": "execute_python", "parameters": {}}]
    row = {
        "responses_create_params": {"input": "2 + 5?", "tools": tools},
        "verifier_metadata": {"expected_result": "7"},
    }
    task = row_to_task(row)
    assert task.tools == ["execute_python"]
    assert play("math_with_code", task, r"\boxed{7}").reward == 1


def test_a_row_without_a_result_is_refused():
    collection = athlos.collect("math_with_code", scripted("x"), tasks=[Task("?")])
    with pytest.raises(athlos.ConfigError, match="the row has no `expected_result`"):
        asyncio.run(collection.run())
