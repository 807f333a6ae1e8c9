"""What holds for environments whose generated tasks have levels, lengths and splits."""

import pytest

import athlos

NAMES = [
    "xlam_fc", "single_step_tool_use_with_argument_comparison", "example_multi_step",
    "example_session_state_mgmt", "example_tool_call_multireward", "math_advanced_calculations",
    "calendar", "ruler", "ruler2", "mrcr", "graphwalks", "lc_niah", "arc_agi", "nvarc",
]  # fmt: skip
GAMES = ["grl_sokoban", "grl_tetris"]


def texts(env, split, **settings):
    tasks = env.tasks(env.make_config({"size": 60, **settings}), split)
    return ["\n".join(message.text for message in task.messages()) for task in tasks]


@pytest.mark.parametrize("name", NAMES)
def test_no_prompt_is_in_both_splits_and_few_are_there_twice(name):
    env = athlos.load(name)
    train, test = texts(env, "train"), texts(env, "test")
    assert not set(train) & set(test)
    assert len(set(train)) > 55


@pytest.mark.parametrize("name", [*NAMES, *GAMES, "reasoning_gym"])
def test_settings_that_cannot_be(name):
    env = athlos.load(name)
    for split, settings in (("dev", {}), ("test", {"size": 0}), ("test", {"size": 2_000_000})):
        with pytest.raises(athlos.ConfigError):
            next(iter(env.tasks(env.make_config(settings), split)))


@pytest.mark.parametrize("name", [*NAMES, *GAMES])
def test_a_level_may_be_chosen(name):
    env = athlos.load(name)
    if "level" not in env.make_config().__struct_fields__:
        assert name in ("ruler", "ruler2")
        return
    tasks = env.tasks(env.make_config({"size": 5, "level": 2}), "test")
    assert {task.info["level"] for task in tasks} == {2}
    with pytest.raises(athlos.ConfigError, match="no level 9"):
        next(iter(env.tasks(env.make_config({"level": 9}), "test")))


@pytest.mark.parametrize("name", ["ruler", "ruler2", "mrcr", "graphwalks", "lc_niah"])
def test_prompts_get_as_long_as_is_asked_for(name):
    env = athlos.load(name)
    for length in (5_000, 60_000):
        (text,) = texts(env, "train", size=1, length=length)
        assert 0.9 < len(text) / (4 * length) < 1.2
