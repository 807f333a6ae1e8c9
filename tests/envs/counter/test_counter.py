"""Golden cases of `counter`."""

import pytest
from tests.envs.golden import play

from athlos import Message, Task
from athlos.testing import call

DONE = "Done."
CASES = [
    (5, [call("add", amount=5), DONE], 1),
    (5, [call("add", amount=2), call("add", amount=3), DONE], 1),
    (5, [call("add", amount=9), call("add", amount=-4), DONE], 1),
    (5, [call("add", amount="5"), DONE], 1),
    (0, [DONE], 1),
    (5, [DONE], 0),
    (5, ["The counter is at 5."], 0),
    (5, [call("add", amount=4), DONE], 0),
    (5, [call("add", amount=5), call("add", amount=1), DONE], 0),
    (5, [call("add", amount="five"), DONE], 0),
    (5, [call("add", amount=5.5), DONE], 0),
    (5, [call("add"), DONE], 0),
    (5, [call("reached"), call("__init__"), call("setup"), DONE], 0),
]


@pytest.mark.parametrize(("target", "answers", "expected"), CASES)
def test_golden_cases(target, answers, expected):
    rollout = play("counter", Task("?", {"target": target}), *answers)
    assert rollout.reward == expected
    assert rollout.metrics["calls"] == sum(isinstance(a, Message) for a in answers)


def test_the_model_reads_the_new_value():
    rollout = play("counter", Task("?", {"target": 7}), call("add", amount=3), DONE)
    assert rollout.messages[2].content == "3"
