"""Counting a run: live while it goes, or from its folder afterwards.

`Tally` takes one record at a time and keeps sums; `Tally.summary` makes a `Summary` of them, the
content of `metrics.json`. Failed attempts are counted beside the means and never enter one.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator

from athlos.errors import AthlosError, BudgetError, Cancelled
from athlos.metrics.estimators import (
    Mean,
    avg_at_k,
    clustered_mean,
    half_width,
    pass_at_k_over_tasks,
    pass_hat_k_over_tasks,
    percentiles,
)
from athlos.metrics.figures import (
    Accounting,
    FailureStats,
    Latency,
    Percentiles,
    RolloutStats,
    Summary,
    Tokens,
)
from athlos.runs.index import FailureEntry, RolloutEntry
from athlos.runs.progress import Pairs
from athlos.types import Failure, Rollout

__all__ = ["Tally"]

# A weighted sum such as 0.7 + 0.2 + 0.1 falls short of 1 by rounding and still is full marks.
_ROUNDING = 1e-9

# What became of a sample; no attempt ended is 0.
_SCORED, _TRUNCATED, _FAILED, _CANCELLED = 1, 2, 3, 4
_GIVEN_UP = frozenset({Cancelled.failure_class, BudgetError.failure_class})


class _Series:
    """Count and sum of one quantity per task, addressed by the task's number."""

    __slots__ = ("counts", "sums")

    def __init__(self, tasks: int = 0) -> None:
        self.counts = array("I", bytes(array("I").itemsize * tasks))
        self.sums = array("d", bytes(8 * tasks))

    def grow(self, tasks: int) -> None:
        missing = tasks - len(self.counts)
        if missing > 0:
            self.counts.frombytes(bytes(self.counts.itemsize * missing))
            self.sums.frombytes(bytes(8 * missing))

    def groups(self) -> Iterator[tuple[int, float]]:
        return zip(self.counts, self.sums, strict=True)


class _Table:
    """Rollouts with the same rewards and metrics: for each the task and a row of numbers."""

    __slots__ = ("metrics", "pack", "rewards", "seen", "tasks", "values", "width")

    def __init__(self, rewards: tuple[str, ...], metrics: tuple[str, ...]) -> None:
        self.rewards = rewards
        self.metrics = metrics
        self.width = 2 + len(rewards) + len(metrics)
        self.pack = struct.Struct(f"{self.width}d").pack
        self.tasks = array("I")
        self.values = array("d")  # reward, duration, rewards, metrics; then the next row
        self.seen = 0  # rows that `Tally.live` has counted

    def column(self, position: int, first: int = 0) -> array[float]:
        return self.values[first * self.width + position :: self.width]


class Tally:
    """Counts records as they come, in any order.

    A record costs a microsecond or two, and for each of its numbers eight bytes: it is kept as a
    row of numbers, and all else is left to `live` and `summary`.

    Tasks are numbers here, from 0. Of a record its `sample`, `attempt` and figures are used:
    `Rollout` and `Failure` while a run goes, entries of the index when it is resumed,
    `RolloutStats` and `FailureStats` when its folder is read.
    """

    def __init__(self) -> None:
        self._state = Pairs()
        self._scored = self._truncated = self._failed = self._cancelled = 0
        self._latest: dict[int, int] = {}  # sample -> its last failed attempt, if not the first
        self._tables: dict[tuple[str | None, ...], _Table] = {}
        self._tasks = 0  # the highest number of a task, plus 1
        self._call_seconds = array("d")
        self._failed_attempts: dict[str, int] = {}
        self._cancelled_attempts: dict[str, int] = {}
        self._stop_reasons: dict[str, int] = {}
        self._turns = self._tool_calls = self._tool_errors = 0
        self._prompt_tokens = self._completion_tokens = self._with_tokens = 0
        self._live = _Live()

    def add(self, task: int, rollout: Rollout | RolloutEntry | RolloutStats) -> None:
        """Counts a rollout.

        Raises:
            AthlosError: The sample has a rollout already.
        """
        state = _TRUNCATED if rollout.status == "truncated" else _SCORED
        before = self._state.swap(task, rollout.sample, state)
        if before:
            self._leave(task, rollout.sample, before)
        if state == _SCORED:
            self._scored += 1
        else:
            self._truncated += 1
        if task >= self._tasks:
            self._tasks = task + 1

        rewards, metrics = rollout.rewards, rollout.metrics
        table = self._tables.get((*rewards, None, *metrics))
        if table is None:
            table = _Table(tuple(rewards), tuple(metrics))
            self._tables[(*rewards, None, *metrics)] = table
        table.tasks.append(task)
        row = rollout.reward, rollout.timing.duration, *rewards.values(), *metrics.values()
        table.values.frombytes(table.pack(*row))
        reason = rollout.stop_reason or "unknown"
        self._stop_reasons[reason] = self._stop_reasons.get(reason, 0) + 1
        self._turns += rollout.turns
        if rollout.tool_calls:
            self._tool_calls += rollout.tool_calls
            self._tool_errors += rollout.tool_errors
        usage = rollout.usage
        if usage.prompt_tokens or usage.completion_tokens:
            self._with_tokens += 1
            self._prompt_tokens += usage.prompt_tokens
            self._completion_tokens += usage.completion_tokens
        for call in rollout.calls:
            if call.latency > 0:
                self._call_seconds.append(call.latency)

    def add_failure(self, task: int, failure: Failure | FailureEntry | FailureStats) -> None:
        """Counts a failed attempt; its sample counts as failed until it has a rollout."""
        name = failure.failure_class
        given_up = name in _GIVEN_UP
        counts = self._cancelled_attempts if given_up else self._failed_attempts
        counts[name] = counts.get(name, 0) + 1
        if task >= self._tasks:
            self._tasks = task + 1
        sample, attempt = failure.sample, failure.attempt
        before = self._state.get(task, sample)
        if before in (_SCORED, _TRUNCATED):
            return
        key = task << 32 | sample
        if before and attempt < self._latest.get(key, 0):
            return  # they come in any order, and this is not the last attempt
        if attempt:
            self._latest[key] = attempt
        if before == _FAILED:
            self._failed -= 1
        elif before == _CANCELLED:
            self._cancelled -= 1
        if given_up:
            self._cancelled += 1
        else:
            self._failed += 1
        self._state.swap(task, sample, _CANCELLED if given_up else _FAILED)

    def live(self) -> tuple[int, float | None, float | None]:
        """Rollouts so far, their mean reward and half the width of its interval.

        Takes as long as there are rollouts since it was last asked.
        """
        for table in self._tables.values():
            if table.seen < len(table.tasks):
                self._live.add(table.tasks[table.seen :], table.column(0, table.seen), self._tasks)
                table.seen = len(table.tasks)
        return self._live.estimate()

    @property
    def counted(self) -> int:
        """Samples with at least one record."""
        return self._scored + self._truncated + self._failed + self._cancelled

    def summary(self, *, offered: int | None, samples: int, pass_threshold: float = 1.0) -> Summary:
        """All figures so far; linear in tasks and rollouts.

        Args:
            offered: Tasks times samples of the run; None if no more than what was counted.
            samples: Rollouts asked for per task: the largest k of pass@k.
            pass_threshold: A rollout passes if its reward is at least this, up to rounding.

        Raises:
            AthlosError: The samples do not add up: more were counted than offered, for example.
        """
        tables = self._tables.values()
        accounting = self._account(self.counted if offered is None else offered)
        rollouts = sum(len(table.tasks) for table in tables)
        failed_attempts = sum(self._failed_attempts.values())
        reward = self._series([(table, 0) for table in tables])
        passed = self._passed(pass_threshold - _ROUNDING)
        ks = _ks(samples)
        seconds = (value for table in tables for value in table.column(1) if value > 0)
        return Summary(
            accounting=accounting,
            failed_attempts=_by_count(self._failed_attempts),
            cancelled_attempts=_by_count(self._cancelled_attempts),
            samples=samples,
            pass_threshold=pass_threshold,
            reward=clustered_mean(reward.groups()),
            rewards=self._means("rewards"),
            metrics=self._means("metrics"),
            pass_at_k=[
                pass_at_k_over_tasks(zip(reward.counts, passed, strict=True), k) for k in ks
            ],
            pass_hat_k=[
                pass_hat_k_over_tasks(zip(reward.counts, passed, strict=True), k) for k in ks
            ],
            avg_at_k=[avg_at_k(reward.groups(), k) for k in ks],
            truncation_rate=_ratio(self._truncated, rollouts),
            failure_rate=_ratio(failed_attempts, failed_attempts + rollouts),
            tool_error_rate=_ratio(self._tool_errors, self._tool_calls),
            turns=_ratio(self._turns, rollouts),
            tokens=Tokens(
                prompt=self._prompt_tokens if self._with_tokens else None,
                completion=self._completion_tokens if self._with_tokens else None,
                completion_per_rollout=_ratio(self._completion_tokens, self._with_tokens),
            ),
            latency=Latency(_seconds(array("d", seconds)), _seconds(self._call_seconds)),
            stop_reasons=_by_count(self._stop_reasons),
        )

    def _leave(self, task: int, sample: int, before: int) -> None:
        """Takes a sample out of where it was counted, or refuses its second rollout."""
        if before == _FAILED:
            self._failed -= 1
        elif before == _CANCELLED:
            self._cancelled -= 1
        else:
            self._state.swap(task, sample, before)
            raise AthlosError(
                f"task number {task} has two rollouts of sample {sample}",
                hint="A task and sample may occur once in rollouts.jsonl.",
            )

    def _series(self, columns: list[tuple[_Table, int]]) -> _Series:
        """What columns of tables amount to in each task."""
        series = _Series(self._tasks)
        counts, sums = series.counts, series.sums
        for table, position in columns:
            for task, value in zip(table.tasks, table.column(position), strict=True):
                counts[task] += 1
                sums[task] += value
        return series

    def _means(self, kind: str) -> dict[str, Mean]:
        """The mean of each reward component, or of each metric."""
        columns: dict[str, list[tuple[_Table, int]]] = {}
        for table in self._tables.values():
            first = 2 if kind == "rewards" else 2 + len(table.rewards)
            names = table.rewards if kind == "rewards" else table.metrics
            for position, name in enumerate(names, first):
                columns.setdefault(name, []).append((table, position))
        return {name: clustered_mean(self._series(c).groups()) for name, c in columns.items()}

    def _passed(self, threshold: float) -> array[int]:
        """Rollouts of each task whose reward is at least the threshold."""
        passed = array("I", bytes(array("I").itemsize * self._tasks))
        for table in self._tables.values():
            for task, reward in zip(table.tasks, table.column(0), strict=True):
                if reward >= threshold:
                    passed[task] += 1
        return passed

    def _account(self, offered: int) -> Accounting:
        """Where every sample went, by two ways of counting that have to agree."""
        states = {
            "scored": (self._scored, self._state.count(_SCORED)),
            "truncated": (self._truncated, self._state.count(_TRUNCATED)),
            "failed": (self._failed, self._state.count(_FAILED)),
            "cancelled": (self._cancelled, self._state.count(_CANCELLED)),
        }
        rows = sum(len(table.tasks) for table in self._tables.values())
        wrong = [name for name, (counted, found) in states.items() if counted != found]
        if wrong or rows != self._scored + self._truncated:
            raise AthlosError(
                f"the samples do not add up: {rows} rollouts; counted, found: {states}",
                hint="This is a defect of Athlos; please report it.",
            )
        owed = offered - sum(found for _, found in states.values())
        if owed < 0:
            raise AthlosError(
                f"{offered} samples were offered, but {rows} have a rollout, {self._failed} "
                f"failed and {self._cancelled} were cancelled"
            )
        return Accounting(
            offered, self._scored, self._truncated, self._failed, self._cancelled, owed
        )


class _Live:
    """The mean of the rewards and its interval, from sums that are kept up to date.

    With S the sum of (reward - origin) over the n rollouts of a task, these are sums over tasks.
    The origin, the first reward, keeps the difference of squares from cancelling.
    """

    def __init__(self) -> None:
        self._series = _Series()
        self._n = self._tasks = 0
        self._origin = self._s = self._ss = self._ns = 0.0
        self._nn = 0

    def add(self, numbers: array[int], rewards: array[float], tasks: int) -> None:
        series = self._series
        series.grow(tasks)
        if not self._n:
            self._origin = rewards[0]
        self._n += len(rewards)
        for task, reward in zip(numbers, rewards, strict=True):
            n = series.counts[task]
            value = reward - self._origin
            before = series.sums[task]
            self._tasks += not n
            self._s += value
            self._ss += value * (2 * before + value)
            self._ns += before + (n + 1) * value
            self._nn += 2 * n + 1
            series.counts[task] = n + 1
            series.sums[task] = before + value

    def estimate(self) -> tuple[int, float | None, float | None]:
        if not self._n:
            return 0, None, None
        mean = self._s / self._n
        spread = max(self._ss - 2 * mean * self._ns + mean * mean * self._nn, 0.0)
        return self._n, self._origin + mean, half_width(spread, self._n, self._tasks)


def _ks(samples: int) -> list[int]:
    """1, 2, 4, ... up to `samples`, and `samples` itself."""
    powers = [1 << i for i in range(samples.bit_length()) if 1 << i < samples]
    return [*powers, samples]


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _by_count(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _seconds(values: array[float]) -> Percentiles:
    p50, p90, p99 = percentiles(values, (50, 90, 99))
    return Percentiles(p50, p90, p99, len(values))
