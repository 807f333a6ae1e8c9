"""Estimates and their uncertainty: pure functions on numbers.

Rollouts of one task are not independent, so every interval treats the task as the unit that was
sampled. A quantity that the data cannot give is None, never NaN.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from math import ceil, comb, cos, floor, fsum, pi, sin, sqrt, tan
from statistics import NormalDist

from msgspec import Struct

__all__ = [
    "LEVEL",
    "AtK",
    "Mean",
    "avg_at_k",
    "clustered_mean",
    "half_width",
    "pass_at_k",
    "pass_at_k_over_tasks",
    "pass_hat_k",
    "pass_hat_k_over_tasks",
    "percentiles",
    "t_quantile",
]

LEVEL = 0.95
"""Coverage of every interval."""


class Mean(Struct, frozen=True):
    """A mean over rollouts with its 95 % interval, clustered by task.

    Attributes:
        mean: None if there was no value.
        low: Lower end of the interval; None with fewer than two tasks.
        high: Upper end of the interval; None with fewer than two tasks.
        n: Values that entered.
        tasks: Tasks that they came from.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    tasks: int


class AtK(Struct, frozen=True):
    """An estimate for k attempts per task, averaged over the tasks that have at least k.

    Attributes:
        k: Attempts per task that the estimate is about.
        value: None if no task has k valid samples.
        low: Lower end of the 95 % interval; None with fewer than two tasks.
        high: Upper end of the 95 % interval; None with fewer than two tasks.
        tasks: Tasks that entered.
    """

    k: int
    value: float | None
    low: float | None
    high: float | None
    tasks: int


def clustered_mean(groups: Iterable[tuple[int, float]]) -> Mean:
    """Mean of all values, with an interval from the cluster-robust standard error.

    The error is the clustered one of Miller 2024, "Adding Error Bars to Evals", with the correction
    G/(G-1) for few clusters and Student's t with G-1 degrees of freedom; G is the number of tasks.
    An interval of zero width says that the tasks agreed, not that the mean is certain.

    Args:
        groups: (number of values, sum of values) of each task; tasks without a value are ignored.
    """
    return _clustered(Counter(groups))


def _clustered(known: Counter[tuple[int, float]]) -> Mean:
    """The same, with equal tasks counted: where rewards are 0 or 1, few differ."""
    n = sum(count * times for (count, _), times in known.items())
    if not n:
        return Mean(None, None, None, 0, 0)
    tasks = sum(times for (count, _), times in known.items() if count)
    mean = fsum(total * times for (_, total), times in known.items()) / n
    spread = fsum((total - count * mean) ** 2 * times for (count, total), times in known.items())
    half = half_width(spread, n, tasks)
    if half is None:
        return Mean(mean, None, None, n, tasks)
    return Mean(mean, mean - half, mean + half, n, tasks)


def half_width(spread: float, n: int, tasks: int) -> float | None:
    """Half the width of the clustered interval; None with fewer than two tasks.

    Args:
        spread: Sum over tasks of (sum of the task's deviations from the mean) squared.
        n: Values in all.
        tasks: Tasks that they came from.
    """
    if tasks < 2:
        return None
    return t_quantile(tasks - 1) * sqrt(spread * tasks / (tasks - 1)) / n


@lru_cache(maxsize=1024)
def t_quantile(df: int) -> float:
    """The t with P(-t < T < t) = 0.95 for Student's distribution with `df` degrees of freedom.

    Inverts the finite series for integer `df` (Abramowitz & Stegun 26.7.3 and 26.7.4) by bisection;
    from 200 on, the expansion around the normal quantile (26.7.5) is exact to 1e-9.
    """
    if df < 1:
        raise ValueError(f"degrees of freedom must be at least 1, not {df}")
    if df >= 200:
        z = NormalDist().inv_cdf((1 + LEVEL) / 2)
        first = z * (z**2 + 1) / 4
        second = z * (5 * z**4 + 16 * z**2 + 3) / 96
        third = z * (3 * z**6 + 19 * z**4 + 17 * z**2 - 15) / 384
        return z + first / df + second / df**2 + third / df**3
    low, high = 0.0, pi / 2  # angles: t = sqrt(df) * tan(angle)
    while low < (middle := (low + high) / 2) < high:
        if _within(middle, df) < LEVEL:
            low = middle
        else:
            high = middle
    return sqrt(df) * tan(high)


def _within(angle: float, df: int) -> float:
    """P(-t < T < t) for t = sqrt(df) * tan(angle)."""
    odd = df % 2
    total, term = 0.0, cos(angle) ** odd
    for j in range(odd, df - 1, 2):
        total += term
        term *= cos(angle) ** 2 * (j + 1) / (j + 2)
    within = sin(angle) * total
    return (angle + within) * 2 / pi if odd else within


@lru_cache(maxsize=65536)
def pass_at_k(n: int, passed: int, k: int) -> float:
    """Probability that at least one of k attempts passes, from `passed` of `n`, without bias.

    1 - C(n - passed, k) / C(n, k), Chen et al. 2021, "Evaluating Large Language Models Trained on
    Code"; computed in integers, so it is exact up to the final rounding.
    """
    _check(n, passed, k)
    return (comb(n, k) - comb(n - passed, k)) / comb(n, k)


@lru_cache(maxsize=65536)
def pass_hat_k(n: int, passed: int, k: int) -> float:
    """Probability that all of k attempts pass (pass^k), from `passed` of `n`, without bias.

    C(passed, k) / C(n, k), Yao et al. 2024, "tau-bench".
    """
    _check(n, passed, k)
    return comb(passed, k) / comb(n, k)


def _check(n: int, passed: int, k: int) -> None:
    if not (0 <= passed <= n and 1 <= k <= n):
        raise ValueError(f"need 0 <= passed <= n and 1 <= k <= n: n={n}, passed={passed}, k={k}")


def pass_at_k_over_tasks(groups: Iterable[tuple[int, int]], k: int) -> AtK:
    """Mean pass@k over the tasks with at least k samples; `groups` holds (n, passed) of each."""
    return _over_tasks(groups, k, pass_at_k)


def pass_hat_k_over_tasks(groups: Iterable[tuple[int, int]], k: int) -> AtK:
    """Mean pass^k over the tasks with at least k samples; `groups` holds (n, passed) of each."""
    return _over_tasks(groups, k, pass_hat_k)


def avg_at_k(groups: Iterable[tuple[int, float]], k: int) -> AtK:
    """Expected mean reward of k samples of a task, over the tasks with at least k samples.

    Every sample of such a task is used: the mean of all n is the mean over all subsets of k.
    Tasks weigh the same, however many samples they have.

    Args:
        groups: (number of samples, sum of their rewards) of each task.
        k: Samples per task, at least 1.
    """
    found = clustered_mean((1, total / n) for n, total in groups if n >= k)
    return AtK(k, found.mean, found.low, found.high, found.tasks)


def _over_tasks(
    groups: Iterable[tuple[int, int]], k: int, of: Callable[[int, int, int], float]
) -> AtK:
    """Mean of a probability over the tasks; its interval is cut to [0, 1]."""
    values: Counter[tuple[int, float]] = Counter()
    for (n, passed), times in Counter(groups).items():
        if n >= k:
            values[1, of(n, passed, k)] += times
    found = _clustered(values)
    low, high = found.low, found.high
    if low is not None and high is not None:
        low, high = max(low, 0.0), min(high, 1.0)
    return AtK(k, found.mean, low, high, found.tasks)


def percentiles(values: Iterable[float], at: Sequence[float]) -> list[float | None]:
    """Percentiles (0 to 100), interpolated linearly between neighbours; None if there is no value.

    Definition 7 of Hyndman & Fan 1996, which is also NumPy's default.
    """
    ordered = sorted(values)
    if not ordered:
        return [None] * len(at)
    found: list[float | None] = []
    for percent in at:
        place = (len(ordered) - 1) * percent / 100
        below, above = ordered[floor(place)], ordered[ceil(place)]
        found.append(below + (above - below) * (place - floor(place)))
    return found
