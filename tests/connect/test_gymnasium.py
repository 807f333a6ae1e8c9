"""Environments of Gymnasium, with the library itself."""

import pytest
from tests.connect.playing import play

from athlos import ConfigError, load
from athlos.testing import fake_model, scripted

pytest.importorskip("gymnasium", reason="Gymnasium is not installed")

LAKE = "gymnasium:FrozenLake-v1"
MOVES = ["left", "down", "right", "up"]
# of the lake of 4 x 4 when it is not slippery
WAY = ["down", "down", "right", "right", "down", "right"]


def act(word):
    return f"I go. <action>{word}</action>"


def walk(*words):
    return scripted(*(act(word) for word in words))


def test_an_episode_is_played_by_name():
    config = {"options": {"is_slippery": False}, "actions": MOVES, "instructions": "Reach G."}
    rollouts, failures = play(LAKE, walk(*WAY), limit=2, config=config)
    assert failures == []
    assert [r.reward for r in rollouts] == [1.0, 1.0]
    assert rollouts[0].extra["episode"] == "terminated"
    opening = rollouts[0].messages[0].text
    assert opening.startswith("Reach G.")
    assert "one of: left, down, right, up" in opening
    assert "[S]FFF\nFHFH" in opening  # where the player stands is marked, without colours
    assert "\x1b" not in opening


def test_an_episode_is_played_by_number_and_lost():
    (rollout,), _ = play(LAKE, walk("1", "2"), limit=1, config={"options": {"is_slippery": False}})
    assert (rollout.reward, rollout.extra["episode"]) == (0.0, "terminated")


@pytest.mark.parametrize("word", ["sideways", "7", "-1", "1.5", "", "[" * 300])
def test_what_is_no_action_is_said_and_counted(word):
    from athlos.agents import ToolLoop

    (rollout,), failures = play(LAKE, walk(word), limit=1, agent=ToolLoop(max_turns=2))
    assert failures == []
    assert rollout.metrics["unread"] == 2
    assert rollout.messages[2].text.startswith("No action could be read.")


def test_numbers_are_observations_and_actions_too():
    rollouts, failures = play(
        "gymnasium:CartPole-v1", fake_model(lambda messages: act(len(messages) // 2 % 2)), limit=1
    )
    assert failures == []
    assert rollouts[0].reward >= 1
    assert "Observation: (" in rollouts[0].messages[0].text
    (rollout,), failures = play("gymnasium:Pendulum-v1", walk("0.5"), limit=1)
    assert failures == []
    assert "a number" in rollout.messages[0].text
    assert rollout.status == "truncated"


def test_an_episode_depends_on_its_seed_alone():
    runs = [play(LAKE, walk("right", "down"), limit=5)[0] for _ in range(2)]
    shown = [{r.task_id: [m.text for m in r.messages] for r in rollouts} for rollouts in runs]
    assert shown[0] == shown[1]


def test_mistakes_are_explained():
    with pytest.raises(ConfigError, match=r"Gymnasium: .*NoSuch"):
        load("gymnasium:NoSuch-v1")
    _, (failure,) = play(LAKE, walk("1"), limit=1, config={"actions": ["a"]})
    assert "has 4 actions, and 1 are named" in failure.message
    _, (failure,) = play(LAKE, walk("1"), limit=1, config={"options": {"nope": 1}})
    assert (failure.failure_class, "cannot be made" in failure.message) == ("config_error", True)
