"""Values that a run file takes over from a NeMo Gym configuration."""

import math

import pytest

from athlos import ConfigError
from athlos.connect.nemo_gym_values import checked


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("samples", 8, 8),
        ("samples", "8", 8),  # of a variable
        ("limit", 8.0, 8),
        ("seed", -1, -1),
        ("temperature", "0.7", 0.7),
        ("top_p", 1, 1),
        ("base_url", ["http://a", "http://b"], ["http://a", "http://b"]),
        ("top_k", {"any": 1}, {"any": 1}),  # not ours to judge
    ],
)
def test_a_value_that_a_run_can_have(setting, value, expected):
    assert checked("f.yaml", "k", value, setting) == expected


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("limit", "abc", "k must be a whole number, 1 or more, not 'abc'"),
        ("samples", -1, "a whole number, 1 or more, not -1"),
        ("samples", True, "not True"),
        ("concurrency", [1], r"not \[1\]"),
        ("port", "abc", "a whole number from 1 to 65535, not 'abc'"),
        ("port", 0, "from 1 to 65535, not 0"),
        ("max_turns", 1.5, "a whole number, 1 or more, not 1.5"),
        ("seed", math.inf, "a whole number, not inf"),
        ("temperature", math.nan, "a number, 0 or more, not nan"),
        ("top_p", 2, "a number from 0 to 1, not 2"),
        ("base_url", ["http://a", 1], "a text, or a list of texts, not"),
        ("tasks", ["a"], "a text, not"),
    ],
)
def test_one_that_no_run_can_have(setting, value, message):
    with pytest.raises(ConfigError, match=message):
        checked("f.yaml", "k", value, setting)
