"""Every environment of the library passes the gate."""

import pytest

import athlos
from athlos.registry import listing
from athlos.testing import check_environment

LIBRARY = [entry.name for entry in listing() if entry.source == "library"]


@pytest.mark.parametrize("name", LIBRARY)
def test_the_gate_finds_nothing_wrong(name):
    check_environment(name, limit=2, processes=1, compared=100).assert_passed()


@pytest.mark.parametrize("name", ["leg_counting", "spell_backward"])
def test_the_gate_finds_nothing_wrong_with_reasoning_gym(name):
    check_environment(f"reasoning-gym:{name}", limit=2, processes=0, compared=50).assert_passed()


@pytest.mark.parametrize("name", LIBRARY)
def test_every_exception_says_why(name):
    for code, reason in athlos.load(name).check_exceptions.items():
        assert len(reason) > 10, code
