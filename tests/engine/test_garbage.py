import gc

import pytest

from athlos.engine import garbage


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets; each look at the old objects takes as long as it says."""

    class Clock:
        now = 100.0
        takes = 0.0
        looks = 0

        def monotonic(self):
            return self.now

        def collect(self):
            self.looks += 1
            self.now += self.takes

    clock = Clock()
    monkeypatch.setattr(garbage, "time", clock)
    monkeypatch.setattr(garbage.gc, "collect", clock.collect)
    return clock


def test_thresholds_come_back_when_the_last_user_leaves():
    before = gc.get_threshold()
    with garbage.calm_garbage_collection():
        calm = gc.get_threshold()
        with garbage.calm_garbage_collection():
            assert gc.get_threshold() == calm
        assert gc.get_threshold() == calm != before
    assert gc.get_threshold() == before


def test_old_objects_are_looked_at_for_a_share_of_the_time(clock):
    clock.takes = 0.5
    with garbage.calm_garbage_collection():
        for _ in range(10_000):
            clock.now += 0.01
            garbage.collect_garbage()
    assert 3 <= clock.looks <= 5  # half a second of every 25


def test_outside_of_a_collection_nothing_is_done(clock):
    clock.now += 1e6
    garbage.collect_garbage()
    assert clock.looks == 0


def test_a_collector_that_is_switched_off_stays_off(clock):
    gc.disable()
    try:
        with garbage.calm_garbage_collection():
            clock.now += 1e6
            garbage.collect_garbage()
        assert not gc.isenabled()
    finally:
        gc.enable()
    assert clock.looks == 0
