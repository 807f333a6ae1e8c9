"""Advantages: the formulas, and what failures and splits must not change."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sequences.rollouts import call, rollout

from athlos import ConfigError, Failure
from athlos.sequences import advantages

MODES = ("grpo", "loo", "centered")
rewards = st.lists(st.floats(-100, 100), min_size=1, max_size=12)


def group(values):
    return [rollout(id=f"t.{n}.0", sample=n, reward=value) for n, value in enumerate(values)]


def failure(sample):
    return Failure(f"t.{sample}.0", "t", sample, 0, "model_error", "it broke")


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("centered", [-1.0, -1.0, 2.0]),
        ("loo", [-1.5, -1.5, 3.0]),
        (
            "grpo",
            [-1 / (math.sqrt(3) + 1e-6), -1 / (math.sqrt(3) + 1e-6), 2 / (math.sqrt(3) + 1e-6)],
        ),
    ],
)
def test_the_formulas(mode, expected):
    assert list(advantages(group([0.0, 0.0, 3.0]), mode).values()) == pytest.approx(expected)


def test_none_computes_nothing():
    one = rollout(call([1], [2]))
    [sequence] = one.sequences()
    assert advantages([one], "none", sequences=[sequence]) == {}
    assert sequence.advantage is None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("values", [[0.7], [0.1, 0.1, 0.1], []])
def test_nothing_to_compare_is_exactly_zero(mode, values):
    assert list(advantages(group(values), mode).values()) == [0.0] * len(values)


def test_all_sequences_of_a_rollout_have_its_advantage():
    split = rollout(call([1], [2]), call([3], [4]), id="t.0.0", reward=1.0)
    whole = rollout(call([1], [2]), id="t.1.0", sample=1, reward=0.0)
    other = rollout(call([1], [2]), id="u.0.0", task_id="u")
    sequences = [one for each in (split, whole, other) for one in each.sequences()]
    assert advantages([split, whole], "centered", sequences=sequences) == {
        "t.0.0": 0.5,
        "t.1.0": -0.5,
    }
    assert [one.advantage for one in sequences] == [0.5, 0.5, -0.5, None]


def test_mistakes_in_the_arguments():
    with pytest.raises(ConfigError, match="no advantage mode 'gpro'"):
        advantages([], "gpro")
    with pytest.raises(ConfigError, match="these are of 2: t, u"):
        advantages([rollout(), rollout(task_id="u")])


@settings(deadline=None)
@given(rewards, st.sampled_from(MODES))
def test_they_add_up_to_zero_and_keep_the_order(values, mode):
    found = list(advantages(group(values), mode).values())
    assert math.fsum(found) == pytest.approx(0, abs=1e-6 * max(1, *map(abs, found)))
    for one, other in zip(range(len(values)), range(1, len(values)), strict=False):
        if values[one] <= values[other]:
            assert found[one] <= found[other]


@settings(deadline=None)
@given(rewards, st.sampled_from(MODES), st.integers(1, 5))
def test_failures_change_nothing(values, mode, count):
    rollouts = group(values)
    failures = [failure(len(values) + n) for n in range(count)]
    assert advantages([*failures, *rollouts], mode) == advantages(rollouts, mode)
