"""The waits between tries, and the budget of repetitions."""

import random

from hypothesis import given
from hypothesis import strategies as st

from athlos.models.retry import RetryBudget


def repeat_until_refused(budget, now=0.0):
    count = 0
    while budget.ready() <= now:
        budget.sent += 1
        budget.spend(now)
        count += 1
    return count


@given(st.integers(0, 100_000))
def test_without_answers_there_are_a_tenth_or_ten(sent):
    budget = RetryBudget()
    budget.sent = sent
    count = repeat_until_refused(budget)
    assert count <= max(10, 0.1 * budget.sent + 1)
    assert count >= max(10, 0.1 * sent)


def test_an_empty_budget_gives_one_now_and_then():
    budget = RetryBudget()
    repeat_until_refused(budget, now=100.0)
    assert budget.ready() == 108.0
    budget.spend(108.0)
    assert budget.ready() == 116.0


def test_an_answer_earns_it_back():
    budget = RetryBudget()
    repeat_until_refused(budget)
    budget.earn()
    assert repeat_until_refused(budget) == 10


@given(st.integers(0, 2**32), st.sampled_from([0.5, 0.8]))
def test_a_server_that_fails_at_random_does_not_use_it_up(seed, rate):
    rng = random.Random(seed)
    budget = RetryBudget()
    budget.sent = 1000
    for _ in range(5000):
        budget.sent += 1
        if rng.random() < rate:
            assert budget.ready() == 0.0
            budget.spend(0.0)
        else:
            budget.earn()
