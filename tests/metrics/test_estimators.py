from itertools import combinations
from math import sqrt
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlos.metrics.estimators import (
    AtK,
    Mean,
    avg_at_k,
    clustered_mean,
    pass_at_k,
    pass_at_k_over_tasks,
    pass_hat_k,
    pass_hat_k_over_tasks,
    percentiles,
    t_quantile,
)


@pytest.mark.parametrize(
    ("df", "expected"),
    [
        (1, 12.7062),
        (2, 4.3027),
        (3, 3.1824),
        (4, 2.7764),
        (5, 2.5706),
        (10, 2.2281),
        (20, 2.0860),
        (30, 2.0423),
        (60, 2.0003),
        (120, 1.9799),
        (1000, 1.9623),
        (10**9, 1.9600),
    ],
)
def test_t_quantile_matches_the_printed_table(df: int, expected: float) -> None:
    assert t_quantile(df) == pytest.approx(expected, abs=5.1e-5)


def test_t_quantile_falls_smoothly_where_the_method_changes() -> None:
    steps = [t_quantile(df) - t_quantile(df + 1) for df in range(195, 205)]
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] > 0


def test_t_quantile_needs_a_degree_of_freedom() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        t_quantile(0)


def test_clustered_mean_by_hand() -> None:
    # Two tasks: rewards (1, 1, 0) and (0). Mean 2/4. Deviations of the sums: 2 - 1.5, 0 - 0.5.
    # SE = sqrt(2/1 * (0.25 + 0.25)) / 4 = 1/4, and t(1) = 12.7062.
    found = clustered_mean([(3, 2.0), (1, 0.0)])
    assert (found.mean, found.n, found.tasks) == (0.5, 4, 2)
    assert found.low == pytest.approx(0.5 - 12.7062 / 4, abs=1e-4)
    assert found.high == pytest.approx(0.5 + 12.7062 / 4, abs=1e-4)


def test_one_value_per_task_is_the_textbook_interval() -> None:
    values = [0.1, 0.4, 0.4, 0.9]
    mean = fmean(values)
    error = sqrt(sum((v - mean) ** 2 for v in values) / 3 / 4)
    found = clustered_mean((1, v) for v in values)
    assert found.high == pytest.approx(mean + 3.18245 * error, abs=1e-5)


def test_copies_of_a_sample_do_not_narrow_the_interval() -> None:
    once = clustered_mean([(1, 0.0), (1, 1.0), (1, 1.0)])
    often = clustered_mean([(50, 0.0), (50, 50.0), (50, 50.0)])
    assert often.low == pytest.approx(once.low)
    assert often.high == pytest.approx(once.high)


def test_without_two_tasks_there_is_no_interval() -> None:
    assert clustered_mean([]) == Mean(None, None, None, 0, 0)
    assert clustered_mean([(0, 0.0), (4, 3.0)]) == Mean(0.75, None, None, 4, 1)


@pytest.mark.parametrize("n", range(1, 8))
def test_pass_at_k_and_pass_hat_k_equal_the_count_over_all_subsets(n: int) -> None:
    for passed in range(n + 1):
        outcomes = [True] * passed + [False] * (n - passed)
        for k in range(1, n + 1):
            subsets = list(combinations(outcomes, k))
            assert pass_at_k(n, passed, k) == pytest.approx(fmean(map(any, subsets)))
            assert pass_hat_k(n, passed, k) == pytest.approx(fmean(map(all, subsets)))


def test_pass_at_k_golden() -> None:
    assert pass_at_k(5, 2, 2) == pytest.approx(0.7)  # 1 - C(3,2)/C(5,2) = 1 - 3/10
    assert pass_hat_k(5, 2, 2) == pytest.approx(0.1)  # C(2,2)/C(5,2) = 1/10


def test_pass_at_k_stays_exact_for_many_samples() -> None:
    assert pass_at_k(10_000, 1, 5_000) == 0.5
    assert pass_at_k(10_000, 1, 1) == 1e-4
    assert pass_hat_k(10_000, 9_999, 5_000) == 0.5


@given(st.data())
def test_pass_at_k_is_a_probability_that_grows_with_k(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 60))
    passed = data.draw(st.integers(0, n))
    k = data.draw(st.integers(1, n - 1))
    assert 0 <= pass_at_k(n, passed, k) <= pass_at_k(n, passed, k + 1) <= 1
    assert 1 >= pass_hat_k(n, passed, k) >= pass_hat_k(n, passed, k + 1) >= 0
    assert pass_at_k(n, passed, k) == pytest.approx(1 - pass_hat_k(n, n - passed, k))


@pytest.mark.parametrize(("n", "passed", "k"), [(2, 3, 1), (2, -1, 1), (2, 1, 3), (2, 1, 0)])
def test_impossible_counts_are_refused(n: int, passed: int, k: int) -> None:
    with pytest.raises(ValueError, match=f"n={n}, passed={passed}, k={k}"):
        pass_at_k(n, passed, k)
    with pytest.raises(ValueError, match=f"n={n}, passed={passed}, k={k}"):
        pass_hat_k(n, passed, k)


def test_over_tasks_leaves_out_tasks_with_too_few_samples() -> None:
    groups = [(4, 2), (4, 4), (1, 0)]
    at = pass_at_k_over_tasks(groups, 2)
    assert at.value == pytest.approx((5 / 6 + 1) / 2)
    assert at.tasks == 2
    assert pass_hat_k_over_tasks(groups, 2).value == pytest.approx((1 / 6 + 1) / 2)
    assert pass_at_k_over_tasks(groups, 1).tasks == 3
    assert pass_at_k_over_tasks(groups, 5) == AtK(5, None, None, None, 0)


def test_an_interval_of_a_probability_stays_within_0_and_1() -> None:
    at = pass_at_k_over_tasks([(1, 0), (1, 1)], 1)
    assert (at.low, at.high) == (0.0, 1.0)


def test_avg_at_k_weighs_tasks_alike() -> None:
    at = avg_at_k([(4, 2.0), (2, 2.0), (1, -7.0)], 2)
    assert (at.value, at.tasks) == (0.75, 2)


def test_percentiles_interpolate() -> None:
    assert percentiles([4.0, 1.0, 3.0, 2.0], (0, 50, 90, 100)) == pytest.approx([1, 2.5, 3.7, 4])
    assert percentiles([7.0], (50, 99)) == [7.0, 7.0]
    assert percentiles([], (50, 90, 99)) == [None, None, None]
