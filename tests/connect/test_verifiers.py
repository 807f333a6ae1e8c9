"""Environments of verifiers, with the library itself."""

import signal
from pathlib import Path

import pytest
from tests.connect.playing import play

from athlos import ConfigError, load
from athlos.testing import call, fake_model, scripted

library = pytest.importorskip("verifiers", reason="verifiers is not installed")
if not library.__version__.startswith("0.1."):
    pytest.skip("verifiers is not of its in-process line, 0.1", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore")

NAME = "verifiers:athlos-test-vf"


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "data" / "connect"))


def double(messages):
    return str(2 * int(next(m for m in messages if m.role == "user").text.split()[2]))


def test_the_data_set_is_played_and_scored_by_the_rubric():
    rollouts, failures = play(NAME, fake_model(double))
    assert failures == []
    assert [r.reward for r in rollouts] == [1.5] * 3
    assert rollouts[0].metrics["right"] == 1.0
    assert [m.role for m in rollouts[0].messages] == ["system", "user", "assistant"]
    assert rollouts[0].stop_reason == "answered"
    assert len(rollouts[0].calls) == 1


def test_tools_run_in_the_environment():
    model = scripted(call("double", number=1), "2")
    (rollout,), failures = play(NAME, model, config={"args": {"kind": "tool", "count": 1}})
    assert failures == []
    assert [m.role for m in rollout.messages] == ["user", "assistant", "tool", "assistant"]
    assert (rollout.messages[2].text, rollout.reward, rollout.tool_calls) == ("2", 1.5, 1)
    assert [one.prompt_messages for one in rollout.calls] == [1, 3]


@pytest.mark.parametrize("name", ["nope", "__class__"])
def test_a_bad_call_is_answered_by_the_environment(name):
    (rollout,), failures = play(
        NAME, scripted(call(name, number=1), "2"), config={"args": {"kind": "tool", "count": 1}}
    )
    assert failures == []
    assert name in rollout.messages[2].text


def test_the_loop_is_the_environments_own():
    config = {"args": {"kind": "multi", "count": 1}}
    (rollout,), failures = play(NAME, scripted("5", "2"), config=config)
    assert failures == []
    assert [m.text for m in rollout.messages[1:]] == ["5", "No. Again.", "2"]
    assert (rollout.reward, rollout.status) == (1.5, "completed")
    (rollout,), _ = play(NAME, scripted("5"), config=config)
    assert (rollout.turns, rollout.status, rollout.stop_reason) == (3, "truncated", "max_turns")


def test_a_reward_that_raises_is_a_failure_and_no_zero():
    rollouts, failures = play(NAME, scripted("2"), config={"args": {"kind": "broken", "count": 2}})
    assert rollouts == []
    assert {f.failure_class for f in failures} == {"verifier_error"}
    assert "broken" in failures[0].message


def test_signals_are_handled_as_before():
    before = signal.getsignal(signal.SIGINT)
    play(NAME, scripted("2"), limit=1)
    assert signal.getsignal(signal.SIGINT) is before


def test_there_is_no_such_environment():
    env = load("verifiers:no-such-environment")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        list(env.tasks(env.make_config(), "test"))
