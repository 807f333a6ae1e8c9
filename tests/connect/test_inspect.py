"""Tasks of Inspect, with the library itself."""

from pathlib import Path

import pytest
from tests.connect.playing import play

from athlos import ConfigError, load
from athlos.testing import fake_model, scripted

pytest.importorskip("inspect_ai", reason="inspect-ai is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")

FILE = Path(__file__).parents[1] / "data" / "connect" / "inspect_tasks.py"


def named(task):
    return f"inspect:{FILE}:{task}"


def test_the_data_set_is_played_and_scored_by_the_task():
    def double(messages):
        number = int(messages[0].text.split()[2])
        return f"It is {2 * number if number != 2 else 5}"

    rollouts, failures = play(named("sums"), fake_model(double))
    assert failures == []
    found = {r.task_id: (r.reward, r.metrics["score_2"]) for r in rollouts}
    assert found == {"sum-1": (1.0, 1.0), "sum-2": (0.0, 0.0), "sum-3": (1.0, 1.0)}


def test_arguments_of_a_task_are_settings():
    rollouts, _ = play(named("sums"), scripted("2"), config={"args": {"highest": 1}})
    assert len(rollouts) == 1
    with pytest.raises(ConfigError, match="inspect:sums cannot be made: TypeError"):
        play(named("sums"), scripted("2"), config={"args": {"lowest": 1}})


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ("Lima.\nANSWER: B", 1.0),
        ("answer: (b)", 1.0),
        ("ANSWER: A", 0.0),
        ("Lima", 0.0),
        ("ANSWER: Z", 0.0),
    ],
)
def test_choices_are_shown_with_letters_and_marked(answer, reward):
    (rollout,), failures = play(named("capitals"), scripted(answer))
    assert failures == []
    assert rollout.reward == reward
    assert [m.role for m in rollout.messages[:3]] == ["system", "user", "user"]
    assert "B) Lima" in rollout.messages[2].text


def test_a_score_of_several_parts_is_their_mean():
    (rollout,), failures = play(named("scored_in_parts"), scripted("yes, of course"))
    assert failures == []
    assert rollout.reward == 0.5
    assert rollout.metrics == {"short": 0.0, "right": 1.0}
    assert rollout.extra == {"answer": "yes, of course", "explanation": "2 messages"}


def test_a_score_that_is_no_number_is_a_verifier_failure():
    rollouts, (failure,) = play(named("scored_wrongly"), scripted("x"))
    assert rollouts == []
    assert failure.failure_class == "verifier_error"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("inspect:sums", "names no task"),
        (f"inspect:{FILE}:nope", "names no task"),
        ("inspect:./nowhere.py:x", "no file"),
        ("inspect:no_such_package.evals:x", "no_such_package"),
    ],
)
def test_mistakes_are_explained(reference, message):
    with pytest.raises(ConfigError, match=message):
        load(reference)


def test_a_task_needs_a_scorer():
    with pytest.raises(ConfigError, match="has no scorer"):
        play(named("scored_by_nothing"), scripted("x"))
