"""When a server is given up, and when it comes back."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlos.models.breaker import Breaker


def breaker(seed=0):
    return Breaker(random.Random(seed))


def fail(breaker, numbers, now=0.0, **options):
    for number in numbers:
        breaker.failed(number, now, "gone", **options)


def test_three_refused_connections_are_enough():
    found = breaker()
    fail(found, [1, 2], refused=True)
    assert found.until is None
    fail(found, [3], refused=True)
    assert found.until is not None
    assert found.reason == "gone"


def test_twenty_other_failures_are_needed():
    found = breaker()
    fail(found, range(1, 20))
    assert found.until is None
    fail(found, [20])
    assert found.until is not None


def test_an_answer_ends_the_streak():
    found = breaker()
    fail(found, range(1, 20))
    found.succeeded(20)
    fail(found, range(21, 40))
    assert found.until is None


def test_an_answer_to_an_older_request_says_nothing_about_now():
    found = breaker()
    for number in range(100, 120):
        found.failed(number, 0.0, "503")
        found.succeeded(number - 99)
    assert found.until is not None
    found.succeeded(50)
    assert found.until is not None


def test_failures_of_requests_older_than_an_answer_do_not_count():
    found = breaker()
    found.succeeded(1000)
    fail(found, range(1, 500))
    assert found.until is None


def test_one_probe_at_a_time_and_longer_and_longer_waits():
    found = breaker()
    found.open(0.0, "gone")
    now, waits = 0.0, []
    for number in range(1, 9):
        waits.append(found.until - now)
        assert not found.due(found.until - 0.01)
        now = found.until
        assert found.due(now)
        found.probe = number
        assert not found.due(now + 1000)
        found.failed(number, now, "still gone")
    for wait, nominal in zip(waits, [1, 2, 4, 8, 15, 15, 15, 15], strict=True):
        assert 0.75 * nominal <= wait <= nominal
    assert found.reason == "still gone"


def test_an_answered_probe_closes_and_the_next_wait_is_short_again():
    found = breaker()
    fail(found, range(1, 21))
    for number in (21, 22, 23):
        found.probe = number
        found.failed(number, 10.0, "gone")
    found.probe = 24
    found.succeeded(24)
    assert found.until is None
    assert found.probe is None
    found.open(100.0, "again")
    assert found.until <= 101.0


def test_a_probe_that_was_given_up_leaves_room_for_another():
    found = breaker()
    found.open(0.0, "gone")
    found.probe = 5
    found.dropped(5)
    assert found.due(2.0)


def test_failures_while_it_is_open_do_not_put_the_probe_off():
    found = breaker()
    fail(found, range(1, 21))
    until = found.until
    fail(found, range(21, 400), now=until)
    assert found.until == until


@given(st.integers(0, 2**32), st.sampled_from([0.3, 0.5]))
def test_a_server_that_fails_at_random_stays_in_the_rotation(seed, rate):
    rng = random.Random(seed)
    found = breaker()
    under_way, number = [], 0
    for _ in range(2000):
        while len(under_way) < 64:
            number += 1
            under_way.append(number)
        ended = under_way.pop(rng.randrange(64))
        if rng.random() < rate:
            found.failed(ended, 0.0, "500")
        else:
            found.succeeded(ended)
    assert found.until is None


@pytest.mark.parametrize("fault", [True, False])
def test_a_dead_server_is_always_given_up(fault):
    found = breaker()
    found.succeeded(50)
    fail(found, range(51, 80), refused=fault)
    assert found.until is not None


def test_a_server_that_works_on_others_lives():
    found = breaker()
    for number in range(2, 120, 2):  # each second one fails at once, the others take their time
        found.failed(number, 0.0, "500", under_way=range(1, number + 3, 2))
    assert found.until is None
    for number in range(200, 240):  # later than the failures: these say nothing yet
        found.failed(number, 0.0, "500", under_way=range(number + 1, 400))
    assert found.until is not None
