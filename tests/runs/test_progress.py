"""What is known of each sample agrees with a plain dict, whatever the numbers."""

from hypothesis import given
from hypothesis import strategies as st

from athlos.runs import Pairs, Progress

tasks = st.integers(0, 5) | st.integers(0, 5000)
samples = st.integers(0, 3) | st.integers(60, 70) | st.integers(0, 10**6)
values = st.integers(0, 3) | st.integers(250, 260)


@given(st.lists(st.tuples(tasks, samples, values), max_size=50))
def test_pairs_are_a_dict(changes):
    pairs, expected = Pairs(), {}
    for task, sample, value in changes:
        assert pairs.swap(task, sample, value) == expected.get((task, sample), 0)
        expected[task, sample] = value
    for (task, sample), value in expected.items():
        assert pairs.get(task, sample) == value
    assert pairs.get(6000, 1) == pairs.get(1, 10**6 + 1) == 0
    for value in (1, 2, 3, 250):
        assert pairs.count(value) == list(expected.values()).count(value)


def test_the_next_attempt_has_a_number_of_its_own():
    progress = Progress()
    for attempt in range(300):
        progress.add_failure(3, 1, attempt)
    assert progress.attempts(3, 1) == 300
    assert progress.failures == 300
    assert progress.add_rollout(3, 1)
    assert not progress.add_rollout(3, 1)
    assert progress.done(3, 1)
    assert progress.rollouts == 1
    progress.remove_rollout(3, 1)
    assert not progress.done(3, 1)
    assert progress.rollouts == 0
