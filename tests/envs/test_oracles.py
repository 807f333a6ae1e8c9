"""What a perfect model does earns the full reward on each level, and the gate finds nothing."""

from itertools import islice

import pytest
from tests.envs.golden import play
from tests.envs.test_generated import GAMES, NAMES

import athlos
from athlos import Message
from athlos.quality import check_environment


@pytest.mark.parametrize("name", [*NAMES, *GAMES])
def test_the_oracle_passes(name):
    env = athlos.load(name)
    for task in islice(env.tasks(env.make_config(), "test"), 13):
        one = env(task)
        one.setup()
        made = one.oracle()
        answers = [made] if isinstance(made, str | Message) else list(made)
        assert play(name, task, *answers).reward >= env.pass_threshold, task.id


@pytest.mark.parametrize("name", [*NAMES, *GAMES])
def test_the_gate_finds_nothing(name):
    report = check_environment(name, limit=3, processes=0, compared=30)
    report.assert_passed()
    assert report.gold == "oracle"
